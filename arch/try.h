// The other half of the trap_try functions: what the handler of #GP does for them.
#pragma once

#include <arch/traps.h>

// Whether the instruction at RIP is one of theirs: then RIP is where the function goes on that it has failed.
bool try_fixup(struct trap_frame *frame) must_check;
