// The performance counters on a model of them, made from the SDM's text (vol. 3, 20.2 and tables 20-1 to
// 20-4): what refuses raises #GP, what a driver must not ask for fails the test. Every event happens at a
// rate of its own in the guest, so that a counter that counts another event shows.

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/pmu.h>
#include <arch/traps.h>

#include "hv/policy/msr_table.h"

#include <stdio.h>

#define GENERAL_MAX  8u
#define FIXED_MAX    4u
#define INSTRUCTIONS 0xc0u // event select and unit mask
#define FIXED_RATE   0x10000u

static struct {
    u32 leaves, vendor, signature;
    unsigned version, general, fixed, width;
    bool hybrid;
    u32 core; // CPUID.1AH:EAX[31:24]
    u32 dead; // bits of general-purpose counters that stand still; bit 31: all counters
} fake;

static struct cpuid pmu_cpuid(u32 leaf, u32 subleaf)
{
    assert_true(leaf <= fake.leaves);
    assert_int_equal(subleaf, 0);
    switch (leaf) {
    case 0:
        return (struct cpuid){fake.leaves, fake.vendor, 0, 0};
    case 1:
        return (struct cpuid){fake.signature, 0, 0, 0};
    case 7:
        return (struct cpuid){0, 0, 0, (u32)fake.hybrid << 15};
    case 0xa:
        return (struct cpuid){fake.version | fake.general << 8 | fake.width << 16 | 7u << 24, 0, 0,
                              fake.fixed | fake.width << 5};
    default:
        return (struct cpuid){fake.core << 24, 0, 0, 0};
    }
}

static u64 width_mask(void)
{
    return (1ull << fake.width) - 1;
}

// How often each event happens in a stretch of the guest.
static u64 rate_of(u64 select)
{
    return select & 0xffff;
}

static void add(u32 msr, u64 count)
{
    fake_msr_set(msr, (fake_msr(msr) + count) & width_mask());
}

// A stretch that ran with these counters enabled.
static void advance(u64 enabled, u64 stretch)
{
    if (fake.dead & 1u << 31)
        return;
    for (unsigned n = 0; n < fake.general; n++) {
        u64 select = fake_msr(IA32_PERFEVTSEL0 + n);
        if (enabled & 1ull << n && select & 1 << 22 && !(fake.dead & 1u << n))
            add(IA32_PMC0 + n, stretch * rate_of(select));
    }
    for (unsigned n = 0; n < fake.fixed; n++) {
        if (enabled & 1ull << (32 + n) && fake_msr(IA32_FIXED_CTR_CTRL) >> 4 * n & 3)
            add(IA32_FIXED_CTR0 + n, stretch * FIXED_RATE * (n + 1));
    }
}

static void reset(void)
{
    fake_cpu_reset();
    fake_cpuid = pmu_cpuid;
}

static u64 stretch = 1;

static bool check_select(u64 value)
{
    u64 rings = value & 3 << 16;
    assert_true(!value || rings == 3 << 16); // both rings or off
    assert_true(!(value & 1 << 20));         // no interrupt
    return value >> 32;
}

static bool check_fixed(u64 value)
{
    for (unsigned n = 0; n < FIXED_MAX; n++) {
        u64 field = value >> 4 * n & 0xf;
        assert_true(field == 0 || field == 3);
    }
    return value >> 4 * fake.fixed;
}

static bool check_global(u64 value)
{
    u64 general = (1ull << fake.general) - 1, fixed = (1ull << fake.fixed) - 1;
    return value & ~(general | fixed << 32);
}

// Does WRMSR raise #GP? When counters are stopped, the stretch since they were started is over.
static bool pmu_wrmsr(u32 msr, u64 value)
{
    fake_msr_write_count = 0;
    if (msr >= IA32_PERFEVTSEL0 && msr < IA32_PERFEVTSEL0 + GENERAL_MAX)
        return check_select(value);
    if (msr == IA32_FIXED_CTR_CTRL)
        return check_fixed(value);
    if (msr != IA32_PERF_GLOBAL_CTRL)
        return false;
    advance(fake_msr(IA32_PERF_GLOBAL_CTRL), stretch);
    return check_global(value);
}

static void make_registers(void)
{
    reset();
    fake_msr_refuses = pmu_wrmsr;
    for (unsigned n = 0; n < fake.general; n++) {
        fake_msr_set(IA32_PMC0 + n, 0x1234); // what the firmware left
        fake_msr_set(IA32_PERFEVTSEL0 + n, 0);
    }
    for (unsigned n = 0; n < fake.fixed; n++)
        fake_msr_set(IA32_FIXED_CTR0 + n, 0x1234);
    fake_msr_set(IA32_FIXED_CTR_CTRL, 0);
    fake_msr_set(IA32_PERF_GLOBAL_CTRL, 3);
}

#define SKYLAKE 0x906eau

// A processor with a version-4 PMU that has so many general-purpose counters, and what it is detected as.
static void make_pmu(u32 signature, unsigned general)
{
    memset(&fake, 0, sizeof(fake));
    fake.leaves = 0x20;
    fake.vendor = 0x756e6547;
    fake.signature = signature;
    fake.version = 4;
    fake.general = general;
    fake.fixed = 3;
    fake.width = 48;
    stretch = 1;
}

static struct pmu detect(void)
{
    struct pmu p;
    memset(&p, 0xaa, sizeof(p));
    make_registers();
    pmu_detect(&p);
    assert_int_equal(fake_msr(IA32_PERF_GLOBAL_CTRL), 0);
    assert_int_equal(fake_msr(IA32_FIXED_CTR_CTRL), 0);
    for (unsigned n = 0; n < fake.general; n++)
        assert_int_equal(fake_msr(IA32_PERFEVTSEL0 + n), 0);
    return p;
}

static void run_guest(const struct pmu *p, u64 length)
{
    stretch = length;
    wrmsr(IA32_PERF_GLOBAL_CTRL, p->enabled);
    wrmsr(IA32_PERF_GLOBAL_CTRL, 0);
}

static void assert_none(const struct pmu *p, const char *says)
{
    assert_string_equal(p->says, says);
    assert_int_equal(p->enabled, 0);
    for (unsigned i = 0; i < PMU_EVENTS; i++) {
        assert_false(pmu_counts(p, i));
        assert_int_equal(pmu_read((struct pmu *)(uintptr_t)p, i), 0);
    }
}

static void versions(void **state)
{
    (void)state;
    for (unsigned version = 0; version < 6; version++) {
        make_pmu(SKYLAKE, 4);
        fake.version = version;
        struct pmu p = {0};
        if (version >= 2) {
            p = detect();
            assert_int_equal(p.enabled, 0x30000000full);
            continue;
        }
        reset(); // not one of the registers is touched
        pmu_detect(&p);
        assert_none(&p, version ? "none: CPUID.0AH shows version 1, which cannot be switched with the guest"
                                : "none: CPUID.0AH shows version 0");
    }
    make_pmu(SKYLAKE, 4);
    fake.leaves = 9;
    struct pmu p;
    pmu_detect(&p);
    assert_none(&p, "none: CPUID.0AH shows version 0");
}

static void no_registers(void **state)
{
    (void)state;
    make_pmu(SKYLAKE, 4);
    reset();
    struct pmu p;
    pmu_detect(&p);
    assert_none(&p, "none: CPUID.0AH shows some, but their registers do not exist");
    // All but the one register: each counter is found missing.
    fake_msr_set(IA32_PERF_GLOBAL_CTRL, 0);
    pmu_detect(&p);
    assert_none(&p, "none: CPUID.0AH shows some, but they do not count");
}

static void standing_still(void **state)
{
    (void)state;
    make_pmu(SKYLAKE, 4);
    fake.dead = 1u << 31;
    struct pmu p = detect();
    assert_none(&p, "none: CPUID.0AH shows some, but they do not count");
}

// The events by processor: Intel's perfmon lists, in the order of enum pmu_event from WALK_CYCLES_LOAD on
// (unit mask, select; 0: no such event), and how many of the events fit four counters, in which order.
static const struct {
    const char *name;
    u32 signatures[4];
    unsigned counters;
    u16 codes[PMU_EVENTS - 2];
    u8 first[4];
} expected[] = {
    {"Sandy Bridge",
     {0x206a7, 0x206d7},
     8,
     {0x0408, 0x0449, 0x0485, 0x104f, 0x0208, 0x0249, 0x0285},
     {PMU_WALK_CYCLES_LOAD, PMU_WALK_CYCLES_STORE, PMU_WALK_CYCLES_FETCH, PMU_WALKS_LOAD}},
    {"Ivy Bridge",
     {0x306a9, 0x306e4},
     8,
     {0x8408, 0x0449, 0x0485, 0x104f, 0x8208, 0x0249, 0x0285},
     {PMU_WALK_CYCLES_LOAD, PMU_WALK_CYCLES_STORE, PMU_WALK_CYCLES_FETCH, PMU_WALKS_LOAD}},
    {"Haswell or Broadwell",
     {0x306c3, 0x306f2, 0x306d4, 0x406f1},
     8,
     {0x1008, 0x1049, 0x1085, 0x104f, 0x0e08, 0x0e49, 0x0e85},
     {PMU_WALK_CYCLES_LOAD, PMU_WALK_CYCLES_STORE, PMU_WALK_CYCLES_FETCH, PMU_WALKS_LOAD}},
    {"Skylake",
     {SKYLAKE, 0x50654, 0x50657, 0xa0655},
     8,
     {0x1008, 0x1049, 0x1085, 0x104f, 0x0e08, 0x0e49, 0x0e85},
     {PMU_WALK_CYCLES_LOAD, PMU_WALK_CYCLES_EPT, PMU_WALK_CYCLES_STORE, PMU_WALKS_LOAD}},
    {"Ice Lake",
     {0x706e5, 0x606a6, 0x806c1, 0xa0671},
     4,
     {0x1008, 0x1049, 0x1085, 0, 0x0e08, 0, 0},
     {PMU_WALK_CYCLES_LOAD, PMU_WALK_CYCLES_STORE, PMU_WALK_CYCLES_FETCH, PMU_WALKS_LOAD}},
    {"Golden Cove",
     {0x90672, 0xb0671, 0x806f8, 0xc06f2},
     4,
     {0x1012, 0x1013, 0x1011, 0, 0x0e12, 0, 0},
     {PMU_WALK_CYCLES_LOAD, PMU_WALK_CYCLES_STORE, PMU_WALK_CYCLES_FETCH, PMU_WALKS_LOAD}},
};

static bool among_first(const u8 *first, unsigned count, unsigned event)
{
    for (unsigned i = 0; i < count; i++) {
        if (first[i] == event)
            return true;
    }
    return false;
}

// Runs a guest and looks at every event.
static void assert_counts(size_t row, unsigned general)
{
    struct pmu p = detect();
    char family[32];
    snprintf(family, sizeof(family), " (%s)", expected[row].name);
    assert_non_null(strstr(p.says, family));
    pmu_start(&p);
    run_guest(&p, 3);
    assert_int_equal(pmu_read(&p, PMU_INSTRUCTIONS), 3 * FIXED_RATE);
    assert_int_equal(pmu_read(&p, PMU_CYCLES), 3 * 2 * FIXED_RATE);
    for (unsigned event = PMU_CYCLES + 1; event < PMU_EVENTS; event++) {
        u16 code = expected[row].codes[event - 2];
        bool counted = general > 4 ? code != 0 : among_first(expected[row].first, general, event);
        assert_int_equal(pmu_counts(&p, event), counted);
        assert_int_equal(pmu_read(&p, event), counted ? 3 * code : 0);
        assert_int_equal(strstr(p.says, pmu_event_texts[event].name) != NULL, counted);
    }
    for (unsigned n = expected[row].counters; n < general; n++)
        assert_int_equal(fake_msr(IA32_PERFEVTSEL0 + n), 0);
}

static void every_family(void **state)
{
    (void)state;
    for (size_t row = 0; row < ARRAY_SIZE(expected); row++) {
        for (size_t i = 0; i < 4 && expected[row].signatures[i]; i++) {
            for (unsigned general = 0; general <= GENERAL_MAX; general++) {
                if (general > 4 && general < 7)
                    continue;
                make_pmu(expected[row].signatures[i], general);
                assert_counts(row, general);
            }
        }
    }
}

// A counter that does not count is passed over, with all that is left in order.
static void some_counters_dead(void **state)
{
    (void)state;
    make_pmu(SKYLAKE, 4);
    fake.dead = 5;
    struct pmu p = detect();
    assert_int_equal(p.enabled, 0x30000000aull);
    pmu_start(&p);
    run_guest(&p, 1);
    assert_int_equal(pmu_read(&p, PMU_WALK_CYCLES_LOAD), 0x1008);
    assert_int_equal(pmu_read(&p, PMU_WALK_CYCLES_EPT), 0x104f);
    assert_false(pmu_counts(&p, PMU_WALK_CYCLES_STORE));
    make_pmu(0x706e5, 8); // Ice Lake, where only the first four can count these events
    fake.dead = 1;
    assert_int_equal(detect().enabled, 0x30000000eull);
    make_pmu(SKYLAKE, 4);
    fake.fixed = 1;
    p = detect();
    assert_false(pmu_counts(&p, PMU_CYCLES));
    assert_true(pmu_counts(&p, PMU_INSTRUCTIONS));
}

static void assert_only_fixed(void)
{
    struct pmu p = detect();
    char says[256];
    snprintf(
        says, sizeof(says),
        "pmu_instructions pmu_cycles (no page walks: this processor, signature 0x%x, is not in the table of their events)",
        fake.signature);
    assert_string_equal(p.says, says);
    assert_int_equal(p.enabled, 0x300000000ull);
    pmu_start(&p);
    run_guest(&p, 5);
    assert_int_equal(pmu_read(&p, PMU_INSTRUCTIONS), 5 * FIXED_RATE);
}

static void unknown_processors(void **state)
{
    (void)state;
    static const u32 signatures[] = {0x106a5, 0xf29, 0x806f2, 0x10906ea};
    for (size_t i = 0; i < ARRAY_SIZE(signatures); i++) {
        make_pmu(signatures[i], 4);
        if (signatures[i] == 0x806f2) // a Sapphire Rapids, but for its maker
            fake.vendor = 0x68747541;
        assert_only_fixed();
    }
    make_pmu(0x90672, 6); // an efficient core of Alder Lake
    fake.hybrid = true;
    fake.core = 0x20;
    assert_only_fixed();
    fake.core = 0x40;
    struct pmu p = detect();
    assert_non_null(strstr(p.says, "(Golden Cove)"));
}

// Guest, reading and monitor in any order, with narrow counters that come round often: nothing is lost.
static void totals(void **state)
{
    (void)state;
    random_start();
    for (unsigned width = 40; width <= 48; width += 8) {
        make_pmu(SKYLAKE, 4);
        fake.width = width;
        struct pmu p = detect();
        pmu_start(&p);
        u64 length = 0;
        for (unsigned round = 0; round < 2000; round++) {
            u64 part = random_below((width_mask() + 1) / (2 * FIXED_RATE)); // of cycles less than a turn
            run_guest(&p, part);
            length += part;
            assert_int_equal(pmu_read(&p, PMU_CYCLES), length * 2 * FIXED_RATE);
            if (random_u64() & 1)
                assert_int_equal(pmu_read(&p, PMU_WALKS_LOAD), length * 0xe08);
        }
        assert_true(length * 2 * FIXED_RATE > 100 * width_mask());
    }
}

// Each guest begins at 0, whatever came before; the monitor's own instructions are not counted.
static void next_guest(void **state)
{
    (void)state;
    make_pmu(SKYLAKE, 4);
    struct pmu p = detect();
    for (unsigned guest = 0; guest < 3; guest++) {
        pmu_start(&p);
        assert_int_equal(fake_msr(IA32_PERF_GLOBAL_CTRL), 0);
        for (unsigned i = 0; i < PMU_EVENTS; i++)
            assert_int_equal(pmu_read(&p, i), 0);
        run_guest(&p, 7);
        if (guest == 1)
            assert_int_equal(pmu_read(&p, PMU_CYCLES), 14 * FIXED_RATE);
        wrmsr(IA32_PERF_GLOBAL_CTRL, 0);
        assert_int_equal(pmu_read(&p, PMU_CYCLES), 14 * FIXED_RATE);
    }
    p = detect(); // as the next configuration of a comparison may
    assert_int_equal(pmu_read(&p, PMU_CYCLES), fake_msr(IA32_FIXED_CTR0 + 1));
    pmu_start(&p);
    assert_int_equal(pmu_read(&p, PMU_CYCLES), 0);
}

// The guest is shown none, and has no register of them.
static void hidden_from_the_guest(void **state)
{
    (void)state;
    static const u32 registers[] = {0xc1,  0xc2,  0xc8,  0x186, 0x187, 0x18d, 0x309, 0x30a, 0x30b, 0x329,
                                    0x345, 0x38d, 0x38e, 0x38f, 0x390, 0x391, 0x392, 0x3f1, 0x4c1, 0x4c8};
    struct vcpu *v = machine_make(0);
    machine_start_64(v);
    machine_hides(v, registers, ARRAY_SIZE(registers));
    const struct cpuid_row *row = cpuid_find(&v->vm->cpuid, 0xa, 0);
    static const struct cpuid_regs nothing;
    assert_true(!row || !memcmp(&row->regs, &nothing, sizeof(nothing)));
    assert_int_equal(cpuid_find(&v->vm->cpuid, 1, 0)->regs.r[2] & 1 << 15, 0); // PDCM
    machine_gone();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions),
        cmocka_unit_test(no_registers),
        cmocka_unit_test(standing_still),
        cmocka_unit_test(every_family),
        cmocka_unit_test(some_counters_dead),
        cmocka_unit_test(unknown_processors),
        cmocka_unit_test(totals),
        cmocka_unit_test(next_guest),
        cmocka_unit_test(hidden_from_the_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
