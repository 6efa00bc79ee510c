// See limit.h. SDM vol. 3, 26.5.1: the timer counts down by 1 each time bit `rate` of the TSC changes, in
// non-root operation; with "save VMX-preemption timer value" it goes on after an exit where it stopped.
#include <arch/io.h>
#include <hv/log.h>

#include "limit.h"
#include "vm.h"

#define TIMER_RATE(misc) ((misc)&0x1f) // IA32_VMX_MISC

static bool has_timer(const struct vmx_caps *caps)
{
    return caps->pin.may & PIN_PREEMPTION_TIMER && caps->exit.may & EXIT_SAVE_PREEMPTION_TIMER;
}

static bool wanted(const struct vcpu *v)
{
    return v->vm->params->limit && has_timer(v->caps);
}

u32 limit_pin_controls(const struct vcpu *v)
{
    return wanted(v) ? PIN_PREEMPTION_TIMER : 0;
}

u32 limit_exit_controls(const struct vcpu *v)
{
    return wanted(v) ? EXIT_SAVE_PREEMPTION_TIMER : 0;
}

static void arm(const struct vcpu *v)
{
    u64 ticks = v->vm->tsc_hz >> TIMER_RATE(v->caps->misc);
    vmcs_write(PREEMPTION_TIMER, ticks < 0xffffffff ? ticks : 0xffffffff);
}

void limit_start(struct vcpu *v)
{
    if (wanted(v))
        arm(v);
    else if (v->vm->params->limit)
        log_warn("limit=: this processor has no VMX-preemption timer: a guest that hangs is not ended");
}

enum verdict exit_preemption_timer(struct vcpu *v)
{
    u64 limit = v->vm->params->limit;
    if (rdtsc() - v->started >= limit * v->vm->tsc_hz) {
        v->vm->failed = true;
        return vm_stop(v, "guest ended by limit=: it has run for %lu s", limit);
    }
    arm(v);
    return VERDICT_RESUME;
}
