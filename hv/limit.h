// The VMX-preemption timer, for its two users: limit=, how long a guest may run, so that one that hangs does
// not keep others of a comparison from running, and the guest's interval timer (legacy.h). For limit= it
// comes once a second of the guest's own time, whatever the guest does; what the monitor spends is seen then
// too.
#pragma once

#include "exit.h"

// Sets the timer to whichever user is first, or off. After the controls are written, and when a user's wait
// has changed. What cannot be, since the processor has no such timer, is said once.
void limit_arm(struct vcpu *v);
