// limit=: how long a guest may run, so that one that hangs does not keep others of a comparison from running.
// The VMX-preemption timer comes once a second of the guest's own time, whatever the guest does; what the
// monitor spends is seen then too.
#pragma once

#include "exit.h"

// The pin-based and exit controls that the timer needs: none where there is no limit, or where the processor
// has no such timer, which is said. Before the controls are written.
u32 limit_pin_controls(const struct vcpu *v);
u32 limit_exit_controls(const struct vcpu *v);

// Starts the timer, after the controls are written.
void limit_start(struct vcpu *v);
