// The VMX-preemption timer, for its two users: limit=, how long a guest may run, so that one that hangs does
// not keep others of a comparison from running, and the guest's interval timer (legacy.h). For limit= it
// comes once a second of the guest's own time, whatever the guest does.
#pragma once

#include "verdict.h"

// Sets the timer to whichever user is first, or off. `legacy`: what legacy_wait says. After the controls are
// written, and when that has changed. What cannot be, since the processor has no such timer, is said once.
void limit_arm(struct vcpu *v, u64 legacy);

// How many TSC cycles the guest has, from v->started on; ~0 without a limit. That counts all time, the
// guest's and the monitor's, and is compared before each entry: so a guest that spends its time in exits is
// ended too. Differences are compared: a guest may set the TSC to just before its end.
u64 limit_allowed(const struct vcpu *v);

// Ends the guest, which has had its time.
enum verdict limit_end(struct vcpu *v);
