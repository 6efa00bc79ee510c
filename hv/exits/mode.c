// See mode.h. A change is: leave the back end, configure and enter the other one, fit the p2m's pages, and
// write the VMCS anew. Each back end flushes in enter what a TLB may hold of an earlier use. Nothing here is
// on the way of an exit that changes no mode.
#include <arch/io.h>
#include <arch/lib.h>
#include <hv/log.h>
#include <hv/p2m.h>

#include "configurations.h"
#include "due.h"
#include "effect.h"
#include "legacy.h"
#include "mode.h"
#include "mode_ask.h"
#include "paging.h"
#include "../vm.h"

#define SEED 0x9e3779b97f4a7c15ull // the same in each run, so that a run can be had again

static const char not_on[] =
    "The mode cannot change: boot with mmu.switch=on, so that the guest has only what all modes have.";

void mode_init(struct vm *vm, const struct effect *effect)
{
    vm->modes = (struct modes){.now = *effect, .first = *effect};
    vm->params = &vm->modes.now.now;
}

struct mmu *mode_back_end(const struct vm *vm, enum mmu_mode mode)
{
    struct mmu *mmu = vm->mmus;
    while (mmu && mmu->ops != vm->back_ends[mode])
        mmu = mmu->next;
    return mmu;
}

const char *mode_ask(struct vcpu *v, const char *words)
{
    struct vm *vm = v->vm;
    struct effect wanted;
    if (!vm->params->mmu_switch)
        return not_on;
    const char *why = mode_prepare(vm, words, &wanted);
    if (!why)
        why = mode_unfit(v, &wanted);
    if (!why)
        mode_ask_for(v, &wanted);
    return why;
}

void mode_lasts(struct vcpu *v, u64 seconds)
{
    struct modes *m = &v->vm->modes;
    m->asked_at = rdtsc();
    m->lasts = v->back_wait = seconds * v->vm->tsc_hz;
    due_again(v);
    due_arm(v, legacy_wait(v));
}

void mode_due(struct vcpu *v, u64 now)
{
    struct modes *m = &v->vm->modes;
    u64 passed = now - m->asked_at;
    if (!m->lasts)
        return;
    if (passed < m->lasts) {
        v->back_wait = m->lasts - passed;
        return;
    }
    log_notice("the mode's time is over: the guest's first one comes back");
    if (!mode_unfit(v, &m->first))
        mode_ask_for(v, &m->first);
    m->lasts = v->back_wait = 0;
}

const char *mode_ask_next(struct vcpu *v)
{
    static const char *const order[] = {
        "ept", "adaptive", "trace", "lazy", "eager",
    };
    const struct params *now = v->vm->params;
    unsigned at = 0;
    const char *why = NULL;
    for (unsigned i = 1; i < ARRAY_SIZE(order); i++) {
        struct params p = *now;
        if (!mode_read(&p, order[i], v->vm->modes.why, sizeof(v->vm->modes.why)) && p.mmu == now->mmu &&
            p.shadow == now->shadow)
            at = i;
    }
    for (unsigned i = 1; i < ARRAY_SIZE(order); i++) {
        why = mode_ask(v, order[(at + i) % ARRAY_SIZE(order)]);
        if (!why)
            return NULL;
    }
    return why;
}

static int enter(struct vcpu *v, const struct params *params)
{
    struct mmu *mmu = mode_back_end(v->vm, params->mmu);
    const struct mmu_options options = effect_options(params, &v->vm->machine);
    struct p2m *p2m = &v->vm->p2m;
    mmu_configure(mmu, &options);
    int error = mmu_enter(v, mmu);
    if (error || params->p2m_max == p2m->max_level)
        return error;
    error = p2m_fit(p2m, params->p2m_max);
    if (error)
        mmu_leave(v);
    return error;
}

// Where there is no memory for the mode that was asked for, the guest stays in the one that it has.
void mode_change(struct vcpu *v)
{
    struct modes *m = &v->vm->modes;
    struct paging_regs guest = vcpu_paging(v);
    m->asked = false;
    mmu_leave(v);
    if (!enter(v, &m->wanted.now)) {
        m->now = m->wanted;
        m->changes++;
    } else if (!enter(v, v->vm->params)) {
        log_warn("the mode does not change: no memory is left for it");
    } else {
        v->unsupported = "no memory is left to translate the guest's memory";
        return;
    }
    paging_start(v, &guest);
    mmu_load(v);
}

// Some of each back end, strategy and option. What a processor does not have is left out.
static const char *const churned[MODES_CHURNED] = {
    "ept",
    "ept,vpid=off",
    "ept,p2m.max=4k",
    "adaptive",
    "adaptive,vpid=off",
    "adaptive,shadow.vpid=one,shadow.prefetch=0",
    "adaptive,shadow.cr3=exit,p2m.max=4k",
    "adaptive,shadow.directpf=off",
    "trace",
    "trace,shadow.large=off,shadow.invlpg=exit",
    "lazy",
    "eager",
};

void mode_churn_init(struct vm *vm)
{
    struct modes *m = &vm->modes;
    m->left = m->now.now.mode_churn;
    m->random = SEED;
    for (unsigned i = 0; m->left && i < MODES_CHURNED; i++) {
        if (!mode_prepare(vm, churned[i], &m->churned[m->count]))
            m->count++;
    }
}

void mode_churn(struct vcpu *v)
{
    struct modes *m = &v->vm->modes;
    if (!m->left || --m->left || !m->count)
        return;
    m->left = m->now.now.mode_churn;
    const struct effect *wanted = &m->churned[random_next(&m->random, m->count)];
    if (!mode_unfit(v, wanted))
        mode_ask_for(v, wanted);
}
