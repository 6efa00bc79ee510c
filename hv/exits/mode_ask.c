// See mode_ask.h.
#include "configurations.h"
#include "mode_ask.h"
#include "../vm.h"

static const struct mmu_ops *ops_of(const struct vm *vm, const struct params *params)
{
    return vm->back_ends[params->mmu];
}

const char *mode_prepare(struct vm *vm, const char *words, struct effect *wanted)
{
    struct modes *m = &vm->modes;
    struct params *asked = &wanted->asked;
    const struct configuration *turn = m->turns ? configurations_find(m->turns, words) : NULL;
    *asked = turn ? turn->params : m->now.asked;
    if (!turn && mode_read(asked, words, m->why, sizeof(m->why)))
        return m->why;
    const char *why = effect_missing(asked, ops_of(vm, asked), vm->vcpu.caps);
    if (!why)
        effect_choose(wanted, ops_of(vm, asked), &vm->effect_machine);
    return why;
}

const char *mode_unfit(const struct vcpu *v, const struct effect *wanted)
{
    const struct paging_regs guest = vcpu_paging(v);
    return mmu_unfit(ops_of(v->vm, &wanted->now), &guest);
}

void mode_ask_for(struct vcpu *v, const struct effect *wanted)
{
    struct modes *m = &v->vm->modes;
    m->wanted = *wanted;
    m->asked = true;
    m->chosen = false;
    m->lasts = 0;
    v->back_wait = 0;
    v->refresh_controls = true; // so that mode_change is called
}
