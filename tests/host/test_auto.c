// mmu=auto on guests whose price under each mode is known: it settles, it does not flap, and it never costs
// much more than the better of both modes would have.

// link: hv/policy/auto.c
#include "support.h"

#include "hv/policy/auto.h"

#include <stdio.h>

#define WORK   10000000ull // cycles of the guest's own in an epoch
#define CHANGE 1000000ull

// What a guest does while a phase lasts, in each epoch.
struct phase {
    unsigned epochs;
    double walks;  // in one dimension, as a part of the work
    double factor; // what they take under EPT
    double faults; // for each million cycles of work
    double fault_cycles;
};

// What all epochs cost beyond the guest's own work and its walks in one dimension.
struct outcome {
    double here, ept, shadow, both; // by the policy, in each mode, in the better mode of each epoch
    unsigned changes;
    double work;
};

static struct auto_policy policy;
static double noise_part;

static double noisy(double value)
{
    return value * (1 + noise_part * ((double)random_below(2001) / 1000 - 1));
}

static double price_ept(const struct phase *p)
{
    return WORK * p->walks * (p->factor - 1);
}

static double price_shadow(const struct phase *p)
{
    return WORK / 1e6 * p->faults * p->fault_cycles;
}

static struct auto_epoch epoch_of(const struct phase *p, enum mmu_mode mode)
{
    double walks = noisy(WORK * p->walks), faults = noisy(WORK / 1e6 * p->faults);
    struct auto_epoch e = {.walks = (u64)walks};
    if (mode == MMU_EPT) {
        e.walks = (u64)(walks * p->factor);
        e.faults = (u64)faults;
    } else {
        e.shadow = (u64)(faults * p->fault_cycles);
    }
    e.cycles = WORK + e.walks + e.shadow;
    return e;
}

static void epoch(struct outcome *o, const struct phase *p)
{
    struct auto_epoch e = epoch_of(p, policy.mode);
    double ept = price_ept(p), shadow = price_shadow(p);
    o->work += WORK * (1 + p->walks);
    o->ept += ept;
    o->shadow += shadow;
    o->both += ept < shadow ? ept : shadow;
    o->here += policy.mode == MMU_EPT ? ept : shadow;
    if (auto_epoch(&policy, &e)) {
        auto_changed(&policy);
        o->changes++;
        o->here += CHANGE;
    }
}

static struct outcome run(const struct phase *phases, unsigned count, unsigned rounds)
{
    struct outcome o = {0};
    for (unsigned i = 0; i < count * rounds; i++) {
        for (unsigned j = 0; j < phases[i % count].epochs; j++)
            epoch(&o, &phases[i % count]);
    }
    return o;
}

static struct outcome from(enum mmu_mode mode, const struct phase *phases, unsigned count, unsigned rounds)
{
    auto_init(&policy, mode, CHANGE, NULL);
    return run(phases, count, rounds);
}

// The bound of hv/README.md: three times what the better mode costs, 2 % of the time, and 60 epochs.
static void assert_bounded(const struct outcome *o)
{
    double better = o->ept < o->shadow ? o->ept : o->shadow;
    double most = 3 * better + 0.02 * o->work + 60 * WORK;
    if (o->here > most)
        fail_msg("%.0f, bound %.0f: %.0f under EPT, %.0f under shadow paging, %u changes", o->here, most,
                 o->ept, o->shadow, o->changes);
}

static const struct phase walker = {
    .epochs = 300, .walks = 0.3, .factor = 2.2, .faults = 1, .fault_cycles = 5000};
static const struct phase mapper = {
    .epochs = 300, .walks = 0.02, .factor = 2, .faults = 40, .fault_cycles = 5000};
static const struct phase idler = {
    .epochs = 300, .walks = 0.001, .factor = 2, .faults = 0.1, .fault_cycles = 5000};

static void test_settles(void **unused)
{
    (void)unused;
    random_start();
    noise_part = 0.2;
    for (int mode = MMU_EPT; mode < MMU_MODES; mode++) {
        struct outcome o = from(mode, &walker, 1, 1);
        assert_int_equal(policy.mode, MMU_SHADOW);
        assert_int_equal(o.changes, mode == MMU_EPT);
        o = from(mode, &mapper, 1, 1);
        assert_int_equal(policy.mode, MMU_EPT);
        assert_int_equal(o.changes, mode == MMU_SHADOW);
        o = from(mode, &idler, 1, 1);
        assert_int_equal(policy.mode, mode);
        assert_int_equal(o.changes, 0);
    }
}

// Phases of some length: as good as the better mode of each, but for what the changes cost.
static void test_phases(void **unused)
{
    (void)unused;
    const struct phase phases[] = {walker, mapper};
    random_start();
    noise_part = 0.2;
    struct outcome o = from(MMU_EPT, phases, 2, 10);
    assert_in_range(o.changes, 19, 21);
    assert_true(o.here < 1.05 * o.both + 0.01 * o.work);
    assert_true(o.here < o.ept && o.here < o.shadow);
    assert_bounded(&o);
}

// What is told of a change: what its mode was to cost, and what it cost.
static void assert_told(const struct phase *p)
{
    double price = policy.mode == MMU_EPT ? price_ept(p) : price_shadow(p);
    u64 rate = (u64)(price / WORK * AUTO_PRICE_ONE);
    assert_in_range(policy.predicted, rate * 2 / 3, rate * 3 / 2);
    assert_in_range(policy.seen, rate * 2 / 3, rate * 3 / 2);
}

static void test_tells(void **unused)
{
    (void)unused;
    noise_part = 0;
    (void)from(MMU_EPT, &walker, 1, 1);
    assert_told(&walker);
    (void)from(MMU_SHADOW, &mapper, 1, 1);
    assert_told(&mapper);
}

// What the first factors say is wrong: it is learned, and the guest is in the better mode for most of the
// time.
static void test_learns(void **unused)
{
    (void)unused;
    static const struct phase odd[] = {
        {.epochs = 2000, .walks = 0.2, .factor = 1.3, .faults = 4, .fault_cycles = 40000},
        {.epochs = 2000, .walks = 0.1, .factor = 1.3, .faults = 8, .fault_cycles = 50000},
        {.epochs = 2000, .walks = 0.05, .factor = 4, .faults = 20, .fault_cycles = 500},
    };
    random_start();
    noise_part = 0.1;
    for (unsigned i = 0; i < ARRAY_SIZE(odd); i++) {
        for (int mode = MMU_EPT; mode < MMU_MODES; mode++) {
            struct outcome o = from(mode, &odd[i], 1, 1);
            assert_bounded(&o);
            assert_true(o.here < 0.5 * (o.ept + o.shadow));
        }
    }
}

// Phases that may keep step with the policy: one that walks and one that maps, each of a few epochs.
static void test_resonance(void **unused)
{
    (void)unused;
    noise_part = 0;
    for (unsigned a = 1; a <= 20; a++) {
        for (unsigned b = 1; b <= 20; b++) {
            struct phase phases[] = {walker, mapper};
            phases[0].epochs = a;
            phases[1].epochs = b;
            struct outcome o = from(MMU_EPT, phases, 2, 4000 / (a + b));
            assert_bounded(&o);
        }
    }
}

// It changes, and at once the guest does what is worst in the mode that it has now. No policy is near the
// better mode then; but it sees that changes bring nothing, and what they cost themselves is little.
static void test_adversary(void **unused)
{
    (void)unused;
    struct phase worst[MMU_MODES] = {[MMU_EPT] = walker, [MMU_SHADOW] = mapper};
    struct outcome o = {0};
    noise_part = 0;
    auto_init(&policy, MMU_EPT, CHANGE, NULL);
    for (unsigned i = 0; i < 5000; i++)
        epoch(&o, &worst[policy.mode]);
    assert_true(o.changes < 5000 / 16);
    assert_true(o.changes * CHANGE < 0.01 * o.work);
}

static void test_random(void **unused)
{
    (void)unused;
    random_start();
    for (unsigned trial = 0; trial < 500; trial++) {
        struct phase phases[8];
        double factor = 1 + (double)random_below(250) / 100, cycles = 500 + (double)random_below(20000);
        noise_part = 0.3; // of the factors too, from phase to phase
        for (unsigned i = 0; i < ARRAY_SIZE(phases); i++)
            phases[i] = (struct phase){
                .epochs = 1 + (unsigned)random_below(1u << (1 + random_below(9))),
                .walks = (double)random_below(1u << random_below(10)) / 1000,
                .factor = 1 + noisy(factor - 1),
                .faults = (double)random_below(1u << random_below(8)) / 2,
                .fault_cycles = noisy(cycles),
            };
        struct outcome o = from(random_below(2) ? MMU_EPT : MMU_SHADOW, phases, ARRAY_SIZE(phases), 4);
        assert_bounded(&o);
    }
}

// One epoch is for one mode and the next one, a little more, for the other: no reason to change.
static void test_uneven(void **unused)
{
    (void)unused;
    noise_part = 0;
    static const struct phase phases[] = {
        {.epochs = 1, .walks = 0.06, .factor = 2, .faults = 2, .fault_cycles = 6000},
        {.epochs = 1, .walks = 0.02, .factor = 2, .faults = 12, .fault_cycles = 6000},
    };
    struct outcome o = from(MMU_EPT, phases, 2, 100);
    assert_int_equal(o.changes, 0);
}

// What no guest measures does no harm.
static void test_odd_epochs(void **unused)
{
    (void)unused;
    random_start();
    auto_init(&policy, MMU_EPT, CHANGE, NULL);
    for (unsigned i = 0; i < 100000; i++) {
        struct auto_epoch e;
        u64 *field[] = {&e.cycles, &e.walks, &e.shadow, &e.faults, &e.visits[MMU_EPT], &e.visits[MMU_SHADOW]};
        for (unsigned j = 0; j < ARRAY_SIZE(field); j++)
            *field[j] = random_u64() >> random_below(64);
        if (random_below(8) == 0)
            e.cycles = 0;
        if (auto_epoch(&policy, &e))
            auto_changed(&policy);
        assert_in_range(policy.factors.walk, 256, 8 * 256);
        assert_in_range(policy.factors.fault, 200, 200000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settles), cmocka_unit_test(test_phases),    cmocka_unit_test(test_learns),
        cmocka_unit_test(test_tells),   cmocka_unit_test(test_resonance), cmocka_unit_test(test_adversary),
        cmocka_unit_test(test_random),  cmocka_unit_test(test_uneven),    cmocka_unit_test(test_odd_epochs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
