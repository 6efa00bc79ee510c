// What is due by the clock and not by an exit of the guest's: the end that limit= sets, so that a guest that
// hangs does not keep others of a comparison from running; console input, where no interrupt announces it;
// a screen that is behind what was written; a serial port that the guest waits for; a mode whose time is
// over. The time is looked at before each entry. A guest that does not exit is made to by the VMX-preemption
// timer, which the guest's interval timer (legacy.h) uses as well.
#pragma once

#include "verdict.h"

// How often a second input is polled, and the screen drawn while a guest runs.
#define DUE_POLLS_PER_SECOND 100
#define DUE_DRAWS_PER_SECOND 5

// How often the serial port is looked at while the guest waits: a FIFO's 16 bytes take 1/720 s at 115200.
#define DUE_SENDS_PER_SECOND 700

// Whether a guest that does not exit can be made to.
bool due_has_timer(const struct vcpu *v);

// Sets what is due next, from `now` on: v->due_from and v->due_after, which exit.c compares. At the start,
// and after whatever was due. The time that limit= gives is not over.
void due_set(struct vcpu *v, u64 now);

// The screen is behind from now on, so it is due to be drawn. What is due before that stays so, however often
// this is called in one exit.
void due_draw(struct vcpu *v);

// The same of the serial port: the guest's UART is sending.
void due_send(struct vcpu *v);

// Something else may be due sooner: v->epoch_wait or v->back_wait has been set.
void due_again(struct vcpu *v);

// Sets the timer to what is due next, or to `legacy`, as legacy_wait says, or off. It counts the guest's own
// time. After the controls are written, after due_set and due_draw, and when `legacy` has changed. What
// cannot be, since the processor has no such timer, is said once.
void due_arm(struct vcpu *v, u64 legacy);

// Whether the guest has had the time that limit= gives it. That is all time, the guest's and the monitor's:
// so a guest that spends its time in exits is ended too. Differences are compared: a guest may set the TSC to
// just before its end.
bool due_end_reached(const struct vcpu *v, u64 now);

// Ends the guest, which has had its time.
enum verdict due_end(struct vcpu *v);
