// Devices in the monitor's address space that must be reached before all memory is mapped, wherever the
// machine has them.
#pragma once

#include <arch/types.h>

// Map the `bytes` at `hpa` and return where the processor reaches them: the screen's linear framebuffer for
// write-combining, a UART's registers uncached (SDM vol. 3, 12.12: both hold against every type that an MTRR
// may say). They need no memory and no direct map: they work from the first instruction in C. Each has one
// map, in place of its last. NULL, and the last map stays: it is empty, larger than 1 GiB or beyond the
// processor's physical addresses.
volatile void *screen_map(u64 hpa, u64 bytes) must_check;
volatile void *uart_map(u64 hpa, u64 bytes) must_check;
