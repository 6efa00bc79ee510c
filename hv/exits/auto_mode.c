// See auto_mode.h.
#include <arch/io.h>
#include <arch/lib.h>

#include "auto_mode.h"
#include "exit_names.h"
#include "mode.h"
#include "../vm.h"

#define EPOCHS_PER_SECOND 100u
#define SAMPLED           16u // an epoch is so many samples

// Of a change, with the hidden faults after it until the shadow is warm: a thousand of them.
#define CHANGE_CYCLES 3000000u

#define TRACE_MARK 0x6175746f00000000ull // "auto", and the mode

#define THOUSAND 1000u

static u64 walks_now(struct vcpu *v)
{
    struct vm *vm = v->vm;
    struct auto_mode *a = &vm->auto_mode;
    if (!vm->params->auto_feed)
        return pmu_read(&vm->pmu, PMU_WALK_CYCLES_LOAD) + pmu_read(&vm->pmu, PMU_WALK_CYCLES_STORE) +
               pmu_read(&vm->pmu, PMU_WALK_CYCLES_FETCH);
    u64 cycles = vcpu_guest_cycles(v);
    a->fed += (cycles - a->fed_at) / THOUSAND * a->fed_part;
    a->fed_at = cycles;
    return a->fed;
}

// Exits that shadow paging has and EPT has not, with what an exit takes by itself.
static u64 shadow_now(const struct vcpu *v)
{
    static const unsigned reasons[] = {EXIT_EXCEPTION_OR_NMI, EXIT_INVLPG, EXIT_CR_ACCESS};
    u64 cycles = 0;
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        const struct exit_account *e = &v->exits[reasons[i]];
        cycles += e->cycles + e->count * v->vm->empty_exit_cycles;
    }
    return cycles;
}

// PENUMBRA_RESET may have set the counts back.
static u64 grown(u64 now, u64 before)
{
    return now > before ? now - before : 0;
}

// What has passed since `began` was the policy's mode, whatever is now.
static void account(struct auto_mode *a, u64 now)
{
    a->cycles[a->policy.mode] += grown(now, a->began);
}

static void sample(struct vcpu *v, bool on)
{
    struct auto_mode *a = &v->vm->auto_mode;
    if (a->samples != on)
        v->refresh_controls = true;
    a->samples = on;
}

static void begin(struct vcpu *v, u64 now)
{
    struct auto_mode *a = &v->vm->auto_mode;
    bool ept = v->vm->params->mmu == MMU_EPT;
    a->began = now;
    a->walks = walks_now(v);
    a->shadow = shadow_now(v);
    a->faults = 0;
    sample(v, ept);
}

// Until the sample or the epoch ends.
static void wait(struct vcpu *v, u64 now)
{
    const struct auto_mode *a = &v->vm->auto_mode;
    v->epoch_wait = (a->samples ? a->epoch / SAMPLED : a->epoch) - (now - a->began);
}

void auto_mode_follow(struct vcpu *v)
{
    struct vm *vm = v->vm;
    struct auto_mode *a = &vm->auto_mode;
    bool on = vm->params->mmu_auto, was_on = a->epoch;
    u64 now = rdtsc();
    if (was_on)
        account(a, now);
    v->observed |= on;
    a->epoch = on ? vm->tsc_hz / EPOCHS_PER_SECOND : 0;
    v->epoch_wait = 0;
    if (!on) {
        sample(v, false);
        return;
    }
    if (!was_on)
        auto_init(&a->policy, vm->params->mmu, CHANGE_CYCLES);
    else if (a->policy.mode != vm->params->mmu)
        auto_changed(&a->policy);
    begin(v, now);
    wait(v, now);
}

static void change(struct vcpu *v)
{
    enum mmu_mode now = v->vm->params->mmu;
    if (mode_ask(v, now == MMU_EPT ? "mmu=shadow" : "mmu=ept"))
        return; // the guest's present state does not allow it
    v->vm->auto_mode.changes++;
    if (trace_on(&v->vm->trace))
        trace_mark(v, TRACE_MARK | !now);
}

static void end(struct vcpu *v, u64 now)
{
    struct auto_mode *a = &v->vm->auto_mode;
    bool shadow = v->vm->params->mmu == MMU_SHADOW;
    const struct auto_epoch epoch = {
        .cycles = now - a->began,
        .walks = grown(walks_now(v), a->walks),
        .shadow = shadow ? grown(shadow_now(v), a->shadow) : 0,
        .faults = a->faults * SAMPLED,
    };
    account(a, now);
    if (auto_epoch(&a->policy, &epoch))
        change(v);
    begin(v, now);
}

void auto_mode_due(struct vcpu *v, u64 now)
{
    struct auto_mode *a = &v->vm->auto_mode;
    u64 passed = now - a->began;
    if (!a->epoch)
        return;
    if (passed >= a->epoch)
        end(v, now);
    else if (passed >= a->epoch / SAMPLED)
        sample(v, false);
    wait(v, now);
}

void auto_mode_fault(struct vcpu *v)
{
    v->vm->auto_mode.faults++;
}

void auto_mode_feed(struct vcpu *v, u64 thousandths)
{
    (void)walks_now(v);
    v->vm->auto_mode.fed_part = thousandths < THOUSAND ? thousandths : THOUSAND;
}
