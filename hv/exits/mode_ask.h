// What mode.h's change of the mode begins with: asking for it. What changes it is mode.c.
#pragma once

#include <hv/mmu.h>

#include "effect.h"

// What would take effect if these words were asked for now. NULL, or why they cannot be, in one
// sentence that lasts until the next call.
const char *mode_prepare(struct vm *vm, const char *words, struct effect *wanted);

// Why the guest's present state does not allow it, or NULL.
const char *mode_unfit(const struct vcpu *v, const struct effect *wanted);

// Before the next entry the mode becomes what was prepared, and what the guest's state allows. While an exit
// is handled.
void mode_ask_for(struct vcpu *v, const struct effect *wanted);
