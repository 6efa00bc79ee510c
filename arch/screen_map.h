// The screen in the monitor's address space.
#pragma once

#include <arch/types.h>

// Maps the `bytes` of a linear framebuffer at `hpa`, wherever the machine has it, for write-combining (SDM
// vol. 3, 12.12: it holds against every type that an MTRR may say), and returns where the processor reaches
// it. Needs no memory and no direct map: it works from the first instruction in C. In place of the last such
// map. NULL, and nothing is mapped: it is empty, larger than 1 GiB or beyond the processor's physical
// addresses.
volatile void *screen_map(u64 hpa, u64 bytes) must_check;
