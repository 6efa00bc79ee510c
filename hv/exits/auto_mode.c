// See auto_mode.h.
#include <arch/io.h>
#include <arch/lib.h>

#include "auto_mode.h"
#include "due.h"
#include "exit_names.h"
#include "legacy.h"
#include "../vm.h"

#define EPOCHS_PER_SECOND  100u  // at most
#define SAMPLES_PER_SECOND 1600u // as long as a sample is
#define MEASURING_PART     200u  // measuring takes at most this part of the time

#define SEED 0x9e3779b97f4a7c15ull // the same in each run

// Of a change, with the hidden faults after it until the shadow is warm: a thousand of them.
#define CHANGE_CYCLES 3000000u

#define THOUSAND 1000u

// What has passed since the last time was the mode of then, whatever is now.
static void account(struct auto_mode *a, u64 now)
{
    a->cycles[a->mode] += now > a->since ? now - a->since : 0;
    a->since = now;
}

static void sample(struct vcpu *v, bool on)
{
    struct auto_mode *a = &v->vm->auto_mode;
    v->refresh_controls |= a->samples != on;
    a->samples = on;
    auto_loads_watch(v);
}

static void begin(struct vcpu *v)
{
    struct auto_mode *a = &v->vm->auto_mode;
    u64 hz = v->vm->tsc_hz, shortest = hz / EPOCHS_PER_SECOND, affords = a->spent * MEASURING_PART;
    a->epoch = affords > shortest ? lesser(affords, hz) : shortest;
    a->epoch += random_next(&a->random, shortest / 4);
    a->spent = a->loads.moved = 0;
    sample(v, true);
    auto_loads_begin(v);
    a->began = a->loads.since;
}

// Until the sample or the epoch ends.
static void wait(struct vcpu *v, u64 now)
{
    const struct auto_mode *a = &v->vm->auto_mode;
    u64 until = a->samples ? a->sample : a->epoch, passed = now - a->began.at;
    v->epoch_wait = passed < until ? until - passed : 1;
}

static void start(struct vcpu *v)
{
    struct auto_mode *a = &v->vm->auto_mode;
    u64 hz = v->vm->tsc_hz;
    v->observed = true;
    a->random = SEED;
    a->sample = hz / SAMPLES_PER_SECOND;
    auto_roots_init(&a->roots, a->mode, CHANGE_CYCLES, hz / EPOCHS_PER_SECOND);
}

static void stop(struct vcpu *v)
{
    v->vm->auto_mode.epoch = v->epoch_wait = 0;
    sample(v, false);
}

// Somebody else has chosen: the guest and all its roots follow.
static void restart(struct vcpu *v, u64 now)
{
    struct auto_mode *a = &v->vm->auto_mode;
    if (!a->epoch)
        start(v);
    auto_roots_follow(&a->roots, a->mode);
    auto_loads_prepare(v);
    begin(v);
    wait(v, now);
    due_again(v);
    due_arm(v, legacy_wait(v));
}

void auto_mode_follow(struct vcpu *v)
{
    struct auto_mode *a = &v->vm->auto_mode;
    struct modes *m = &v->vm->modes;
    u64 now = rdtsc();
    bool had = m->chosen && m->now.now.mmu == m->wanted.now.mmu;
    if (a->epoch)
        account(a, now);
    a->since = now;
    a->mode = m->now.now.mmu;
    m->chosen = false;
    if (had)
        auto_loads_moved(v, now);
    else if (m->now.now.mmu_auto)
        restart(v, now);
    else
        stop(v);
}

static void judge(struct vcpu *v)
{
    struct auto_mode *a = &v->vm->auto_mode;
    enum mmu_mode before = a->roots.guest.policy.mode;
    const struct auto_reading now = auto_reading_take(v, vcpu_cr3(v));
    struct auto_epoch whole = auto_reading_passed(v, &a->began, &now);
    whole.faults *= a->epoch / a->sample;
    if (!auto_loads_can_move(v) || !auto_roots_epoch(&a->roots, &whole))
        return;
    a->changes += a->roots.guest.policy.mode != before;
}

static void end(struct vcpu *v, u64 now)
{
    account(&v->vm->auto_mode, now);
    judge(v);
    auto_loads_ask(v);
    begin(v);
}

static void sample_end(struct vcpu *v)
{
    struct auto_mode *a = &v->vm->auto_mode;
    if (!a->samples)
        return;
    if (v->watches_roots)
        auto_loads_ran(v);
    sample(v, false);
}

void auto_mode_due(struct vcpu *v, u64 now)
{
    struct auto_mode *a = &v->vm->auto_mode;
    u64 passed = now - a->began.at, begins = rdtsc();
    if (!a->epoch)
        return;
    if (passed >= a->epoch)
        end(v, now);
    else if (passed >= a->sample)
        sample_end(v);
    wait(v, now);
    a->spent += 2 * (rdtsc() - begins) + v->vm->empty_exit_cycles; // the intercepts follow
}

bool auto_mode_fault(struct vcpu *v)
{
    struct auto_mode *a = &v->vm->auto_mode;
    if (!a->samples || a->mode != MMU_EPT)
        return false;
    a->faults++;
    a->spent += auto_exit_cycles(v, EXIT_EXCEPTION_OR_NMI);
    return true;
}

void auto_mode_feed(struct vcpu *v, u64 thousandths)
{
    struct auto_feed *f = &v->vm->auto_mode.feed;
    u64 root = vcpu_cr3(v);
    (void)auto_reading_take(v, root);
    *f = (struct auto_feed){.one = v->vm->params->auto_roots,
                            .root = root,
                            .part = lesser(thousandths, THOUSAND),
                            .walks = f->walks,
                            .at = f->at};
}
