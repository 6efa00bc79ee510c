// A number that nobody can foretell who did not see the machine start: for what a guest must not guess. It is
// no source of keys.
#pragma once

#include <arch/types.h>

// Mixes RDRAND, where the processor has it, with the time stamp counter and how it runs beside a slow device.
// A `seed` other than 0 was drawn by whoever started the machine, and is all that goes in: then runs in an
// emulator can be repeated.
u64 random_draw(u64 seed);
