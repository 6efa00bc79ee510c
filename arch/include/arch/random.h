// A number that nobody can foretell who did not see the machine start: for what a guest must not guess. It is
// no source of keys.
#pragma once

#include <arch/types.h>

// Mixes RDRAND, where the processor has it, with the time stamp counter and how it runs beside a slow device,
// and with `seed`, which whoever started the machine may have drawn: where an emulator makes all the others
// repeat, it alone decides.
u64 random_draw(u64 seed);
