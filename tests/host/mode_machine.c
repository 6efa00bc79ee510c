// See mode_machine.h.
#include "mode_machine.h"

#include <ept/ept.h>
#include <shadow/shadow.h>

#include "hv/exits/auto_mode.h"
#include "hv/exits/mode.h"
#include "hv/exits/paging.h"
#include "hv/policy/effect.h"

void mode_machine_start(struct vcpu *v, bool on, u32 churn)
{
    static const struct mmu_ops *const back_ends[] = {[MMU_EPT] = &ept_ops, [MMU_SHADOW] = &shadow_ops};
    struct vm *vm = v->vm;
    char message[100];
    struct effect effect;
    struct params *params = &effect.asked;
    machine_caps.ept_vpid = ~0ull;
    machine_caps.pin.may |= PIN_PREEMPTION_TIMER;
    machine_caps.entry.may |= ENTRY_LOAD_EFER;
    machine_caps.exit.may |= EXIT_SAVE_EFER | EXIT_LOAD_EFER | EXIT_SAVE_PREEMPTION_TIMER;
    assert_int_equal(params_parse(params, "vpid=on p2m.max=2m vmcall=user shadow.pool=64", message, 100), 0);
    params->mmu_switch = on;
    params->mode_churn = churn;
    params->mem = MACHINE_RAM;
    vm->back_ends = back_ends;
    vm->effect_machine = (struct effect_machine){
        .caps = v->caps, .physical_bits = v->physical_bits, .mark_faults = true, .pcid = true, .pku = true};
    effect_choose(&effect, &ept_ops, &vm->effect_machine);
    mode_init(vm, &effect);
    const struct mmu_options options = effect_options(vm->params, &vm->machine);
    assert_non_null(mmu_init(vm, &shadow_ops, &options));
    mode_churn_init(vm);
}

void mode_machine_exit(struct vcpu *v)
{
    mode_churn(v);
    if (v->vm->modes.asked) {
        mode_change(v);
        auto_mode_follow(v);
    }
}

void mode_machine_ask(struct vcpu *v, const char *words)
{
    const char *why = mode_ask(v, words);
    if (why)
        fail_msg("%s: %s", words, why);
    assert_true(v->refresh_controls);
    mode_machine_exit(v);
    assert_null(v->unsupported);
    paging_refresh(v);
    fake_entry_check();
}
