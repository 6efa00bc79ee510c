// See auto.h.
#include <arch/lib.h>

#include "auto.h"

#define WALK_FACTOR_ONE 256u
#define CYCLES_MOST     BIT(40) // of an epoch: no product below overflows
#define FAULTS_MOST     BIT(30)
#define FAULTS_ONE      1024u // they are few: their rate is kept finer than the others

// What is not known yet: walks of two dimensions cost twice those of one, a fault three exits with their
// work.
static const struct auto_factors first_guess = {.walk = 2 * WALK_FACTOR_ONE, .fault = 6000};

#define WALK_FACTOR_LEAST  (5 * WALK_FACTOR_ONE / 4)
#define WALK_FACTOR_MOST   (4 * WALK_FACTOR_ONE)
#define FAULT_CYCLES_LEAST 200u
#define FAULT_CYCLES_MOST  200000u

#define SETTLES     2u  // epochs after a change that show the change, and not the mode
#define LEARNS      8u  // epochs after a change, then what it brought is known
#define SOON        64u // epochs: a change that comes sooner after another one regrets it
#define DOUBTS_MOST 4u
#define TRIES       2u  // the other mode is tried when so many times the price of a trial was paid
#define TRIAL       4u  // epochs that a trial takes
#define NOISE       64u // a difference below 1/64 of an epoch is none

static u64 clamp(u64 value, u64 lowest, u64 highest)
{
    return value < lowest ? lowest : lesser(value, highest);
}

void auto_init(struct auto_policy *p, enum mmu_mode mode, u64 change_cycles,
               const struct auto_factors *factors)
{
    *p = (struct auto_policy){
        .mode = mode,
        .change_cycles = change_cycles,
        .epochs = SOON, // the first change regrets none
        .factors = factors ? *factors : first_guess,
    };
}

// What is not the guest's own work is at most the epoch.
static struct auto_epoch sane(const struct auto_epoch *epoch)
{
    struct auto_epoch e = *epoch;
    e.cycles = clamp(e.cycles, 1, CYCLES_MOST);
    e.shadow = lesser(e.shadow, e.cycles - 1);
    e.walks = lesser(e.walks, e.cycles - 1 - e.shadow);
    e.faults = lesser(e.faults, FAULTS_MOST);
    for (unsigned mode = 0; mode < MMU_MODES; mode++)
        e.visits[mode] = lesser(e.visits[mode], CYCLES_MOST);
    return e;
}

static u64 work_of(const struct auto_epoch *e)
{
    return e->cycles - e->shadow - e->walks;
}

// What the epoch cost because of its mode, in cycles.
static u64 price_here(const struct auto_policy *p, const struct auto_epoch *e)
{
    u64 price = p->mode == MMU_SHADOW ? e->shadow : e->walks - e->walks * WALK_FACTOR_ONE / p->factors.walk;
    return price + e->visits[p->mode];
}

// What it would have cost in the other one.
static u64 price_there(const struct auto_policy *p, const struct auto_epoch *e)
{
    u64 price = p->mode == MMU_SHADOW ? e->walks * (p->factors.walk - WALK_FACTOR_ONE) / WALK_FACTOR_ONE
                                      : e->faults * p->factors.fault;
    return price + e->visits[mmu_mode_other(p->mode)];
}

static u64 smooth(u64 old, u64 value, u64 work)
{
    u64 rate = lesser(value * AUTO_PRICE_ONE / work, BIT(40));
    return old ? (3 * old + rate) / 4 : rate;
}

static void see(struct auto_policy *p, const struct auto_epoch *e)
{
    struct auto_rates *r = &p->rates[p->mode];
    u64 work = work_of(e);
    r->walks = smooth(r->walks, e->walks, work);
    r->shadow = smooth(r->shadow, e->shadow, work);
    r->faults = smooth(r->faults, e->faults * FAULTS_ONE, work);
}

// What was only assumed is replaced by what was seen, and that is moved half the way by what is seen later: a
// guest may change its mind at the moment of a change.
static u32 learn(const struct auto_policy *p, u32 old, u64 seen, u32 lowest, u32 highest)
{
    u32 value = (u32)clamp(seen, lowest, highest);
    return p->factors.learned ? (old + value) / 2 : value;
}

// What the two sides of the last change say of both modes.
static void learn_factors(struct auto_policy *p)
{
    const struct auto_rates *ept = &p->rates[MMU_EPT], *shadow = &p->rates[MMU_SHADOW];
    if (!shadow->walks || !ept->faults)
        return;
    struct auto_factors *f = &p->factors;
    f->walk =
        learn(p, f->walk, ept->walks * WALK_FACTOR_ONE / shadow->walks, WALK_FACTOR_LEAST, WALK_FACTOR_MOST);
    f->fault =
        learn(p, f->fault, shadow->shadow * FAULTS_ONE / ept->faults, FAULT_CYCLES_LEAST, FAULT_CYCLES_MOST);
    f->learned = true;
}

// An epoch that says something of the mode, and not of the change before it.
static void weigh(struct auto_policy *p, const struct auto_epoch *e)
{
    u64 here = price_here(p, e), there = price_there(p, e), noise = e->cycles / NOISE;
    if (here > there + noise)
        p->regret += here - there;
    else if (there > here + noise)
        p->regret -= lesser(p->regret, there - here);
    u64 suspected = p->mode == MMU_SHADOW ? e->shadow : e->walks / 2;
    if (suspected > noise)
        p->paid += suspected;
}

static bool due(const struct auto_policy *p)
{
    return p->regret >= 2 * p->change_cycles << p->doubt;
}

static bool trial_due(const struct auto_policy *p, const struct auto_epoch *e)
{
    return p->paid / TRIES >= (2 * p->change_cycles + TRIAL * e->cycles) << p->trials;
}

static u64 rate_of(u64 price, const struct auto_epoch *e)
{
    return lesser(price, CYCLES_MOST) * AUTO_PRICE_ONE / work_of(e);
}

bool auto_epoch(struct auto_policy *p, const struct auto_epoch *epoch)
{
    const struct auto_epoch e = sane(epoch);
    p->epochs++;
    if (p->changed && p->epochs <= SETTLES)
        return false;
    see(p, &e);
    weigh(p, &e);
    bool better = due(p) || trial_due(p, &e);
    if (p->changed && (p->epochs == LEARNS || better)) {
        p->changed = false;
        p->effects++;
        p->predicted = p->expected;
        p->seen = rate_of(price_here(p, &e), &e);
        learn_factors(p);
    }
    if (p->epochs % SOON == 0 && p->doubt)
        p->doubt--;
    if (better) {
        p->trial_next = !due(p);
        p->expected = rate_of(price_there(p, &e), &e);
    }
    return better;
}

void auto_changed(struct auto_policy *p)
{
    bool soon = p->epochs < SOON;
    unsigned *regretted = p->trial ? &p->trials : &p->doubt;
    if (soon && *regretted < DOUBTS_MOST)
        ++*regretted;
    else if (p->trial)
        p->trials = 0;
    p->trial = p->trial_next;
    p->trial_next = false; // it may change next without being asked
    p->mode = mmu_mode_other(p->mode);
    p->rates[p->mode] = (struct auto_rates){0};
    p->regret = p->paid = p->epochs = 0;
    p->changed = true;
}
