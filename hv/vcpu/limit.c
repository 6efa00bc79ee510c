// See limit.h. SDM vol. 3, 26.5.1: the timer counts down by 1 each time bit `rate` of the TSC changes, in
// non-root operation; with "save VMX-preemption timer value" it goes on after an exit where it stopped.
#include <arch/io.h>
#include <hv/log.h>

#include "limit.h"
#include "stop.h"
#include "../vm.h"

#define TIMER_RATE(misc) ((misc)&0x1f) // IA32_VMX_MISC

static bool has_timer(const struct vmx_caps *caps)
{
    return caps->pin.may & PIN_PREEMPTION_TIMER && caps->exit.may & EXIT_SAVE_PREEMPTION_TIMER;
}

static void timer_switch(struct vcpu *v, bool on)
{
    u64 pin = vmcs_read(PIN_BASED_CONTROLS), exit = vmcs_read(EXIT_CONTROLS);
    vmcs_write(PIN_BASED_CONTROLS, on ? pin | PIN_PREEMPTION_TIMER : pin & ~(u64)PIN_PREEMPTION_TIMER);
    vmcs_write(EXIT_CONTROLS,
               on ? exit | EXIT_SAVE_PREEMPTION_TIMER : exit & ~(u64)EXIT_SAVE_PREEMPTION_TIMER);
    v->timer_runs = on;
}

void limit_arm(struct vcpu *v, u64 legacy)
{
    u64 limit = v->vm->params->limit ? v->vm->tsc_hz : ~0ull;
    u64 wait = limit < legacy ? limit : legacy, ticks = wait >> TIMER_RATE(v->caps->misc);
    bool on = wait != ~0ull && has_timer(v->caps);
    if (on != v->timer_runs)
        timer_switch(v, on);
    if (on)
        vmcs_write(PREEMPTION_TIMER, ticks < 0xffffffff ? ticks : 0xffffffff);
    else if (wait != ~0ull && !v->timer_missed) {
        v->timer_missed = true;
        log_warn(
            "this processor has no VMX-preemption timer: a guest that hangs is not ended, and the interval timer's interrupts come late");
    }
}

u64 limit_allowed(const struct vcpu *v)
{
    u64 limit = v->vm->params->limit;
    return limit ? limit * v->vm->tsc_hz : ~0ull;
}

enum verdict limit_end(struct vcpu *v)
{
    v->last_exit = rdtsc(); // the run ends now: what the monitor has spent since the exit is accounted for
    return vm_fail(v, "guest ended by limit=: it has run for %lu s", v->vm->params->limit);
}
