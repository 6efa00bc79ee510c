// The BIOS data area as a PC's firmware leaves it: the words at 400H that kernels look at without asking
// anybody. Only what is true of this machine: there is no BIOS behind it, so nothing counts the ticks at
// 46CH, and there are no drives, no screen and no keyboard.
#pragma once

#include "guest_map.h"

// Writes the area at 400H, and the first byte of the extended area above GUEST_LOW_RAM_END, its size in KiB.
// Before the guest is loaded: what a kernel brings for these addresses is the kernel's.
void bios_data_write(const struct guest_ram *ram);
