// See due.h. SDM vol. 3, 26.5.1: the timer counts down by 1 each time bit `rate` of the TSC changes, in
// non-root operation; with "save VMX-preemption timer value" it goes on after an exit where it stopped.
#include <arch/io.h>
#include <arch/lib.h>
#include <hv/log.h>

#include "due.h"
#include "stop.h"
#include "../vm.h"

#define TIMER_RATE(misc) ((misc)&0x1f) // IA32_VMX_MISC
#define TIMER_MOST       0xffffffffull

bool due_has_timer(const struct vcpu *v)
{
    return v->caps->pin.may & PIN_PREEMPTION_TIMER && v->caps->exit.may & EXIT_SAVE_PREEMPTION_TIMER;
}

static void timer_switch(struct vcpu *v, bool on)
{
    u64 pin = vmcs_read(PIN_BASED_CONTROLS), exit = vmcs_read(EXIT_CONTROLS);
    vmcs_write(PIN_BASED_CONTROLS, on ? pin | PIN_PREEMPTION_TIMER : pin & ~(u64)PIN_PREEMPTION_TIMER);
    vmcs_write(EXIT_CONTROLS,
               on ? exit | EXIT_SAVE_PREEMPTION_TIMER : exit & ~(u64)EXIT_SAVE_PREEMPTION_TIMER);
    v->timer_runs = on;
}

static u64 or_never(u64 cycles)
{
    return cycles ? cycles : ~0ull;
}

// Cycles until input is polled, the screen is drawn, the serial port or an epoch is looked at, or the first
// mode comes back.
static u64 clock_wait(const struct vcpu *v)
{
    u64 hz = v->vm->tsc_hz;
    u64 console =
        lesser(v->polled ? hz / DUE_POLLS_PER_SECOND : ~0ull, v->behind ? hz / DUE_DRAWS_PER_SECOND : ~0ull);
    u64 mode = lesser(or_never(v->epoch_wait), or_never(v->back_wait));
    return lesser(lesser(console, mode), v->sending ? hz / DUE_SENDS_PER_SECOND : ~0ull);
}

void due_set(struct vcpu *v, u64 now)
{
    u64 limit = v->vm->params->limit, left = limit * v->vm->tsc_hz - (now - v->started);
    v->due_from = now;
    v->due_after = lesser(clock_wait(v), limit ? left : ~0ull);
}

void due_again(struct vcpu *v)
{
    v->due_after = lesser(v->due_after, rdtsc() - v->due_from + clock_wait(v));
}

void due_draw(struct vcpu *v)
{
    v->behind = true;
    due_again(v);
}

void due_send(struct vcpu *v)
{
    v->sending = true;
    due_again(v);
}

// For limit= once a second of the guest's is enough. The first tick may come at once, hence one more: what
// the timer's exit was for must be due then.
void due_arm(struct vcpu *v, u64 legacy)
{
    u64 limit = v->vm->params->limit ? v->vm->tsc_hz : ~0ull;
    u64 wait = lesser(lesser(limit, legacy), clock_wait(v));
    bool on = wait != ~0ull && due_has_timer(v);
    if (on != v->timer_runs)
        timer_switch(v, on);
    if (on)
        vmcs_write(PREEMPTION_TIMER, lesser((wait >> TIMER_RATE(v->caps->misc)) + 2, TIMER_MOST));
    else if (wait != ~0ull && !v->timer_missed) {
        v->timer_missed = true;
        log_warn(
            "this processor has no VMX-preemption timer: a guest that hangs is not ended, the interval timer's interrupts come late, and polled input waits for the guest's next exit");
    }
}

bool due_end_reached(const struct vcpu *v, u64 now)
{
    u64 limit = v->vm->params->limit;
    return limit && now - v->started >= limit * v->vm->tsc_hz;
}

enum verdict due_end(struct vcpu *v)
{
    v->last_exit = rdtsc(); // the run ends now: what the monitor has spent since the exit is accounted for
    return vm_fail(v, "guest ended by limit=: it has run for %lu s", v->vm->params->limit);
}
