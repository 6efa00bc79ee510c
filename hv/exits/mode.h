// Changes how the guest's memory is translated while the guest runs (mmu.switch=on): between EPT and shadow
// paging, and between all that parameters of scope MODE say. The guest sees nothing of it but time.
#pragma once

#include <hv/mmu.h>

#include "effect.h"

// The machine's parameters are those of `effect` from now on. Before anything else is made of them.
void mode_init(struct vm *vm, const struct effect *effect);

// The machine's back end for this mode, or NULL: the processor has it not, or mmu.switch=on was not asked
// for.
struct mmu *mode_back_end(const struct vm *vm, enum mmu_mode mode);

// Which modes mmu.churn= changes between: some of each back end, strategy and option that the processor has.
// After the back ends have been made.
void mode_churn_init(struct vm *vm);

// Before the next entry the mode becomes what these words, joined by commas, make of the present one (as in
// compare=); the name of what a comparison measures by turns is exactly that, whatever was before. While an
// exit is handled. NULL; or why not, in one sentence, with nothing changed: it lasts until the next call.
const char *mode_ask(struct vcpu *v, const char *words);

#define MODE_SECONDS_MAX 1000000

// What has just been asked for lasts so many seconds, at most MODE_SECONDS_MAX: then the guest's first mode
// comes back, if its state allows and no other was asked for. Where no timer makes the guest exit, that is
// late.
void mode_lasts(struct vcpu *v, u64 seconds);

// Does so when it is due.
void mode_due(struct vcpu *v, u64 now);

// The same for the next of ept, adaptive, trace, lazy, eager that the processor and the guest's present state
// allow; NULL, or why none is.
const char *mode_ask_next(struct vcpu *v);

// Asks for what mmu.churn= wants now. After an exit has been handled.
void mode_churn(struct vcpu *v);

// Does what was asked for: vm->modes.asked. After an exit has been handled, before the back end is asked for
// anything else. An error is v->unsupported: the guest cannot go on.
void mode_change(struct vcpu *v);
