// What a guest in real mode finds at its interrupt vectors: not a BIOS, but answers. Each service says that
// it is not there, so that a kernel which asks goes on without it; else it would run through memory from
// address 0 on.
#pragma once

#include "guest_map.h"

// Writes the 256 vectors at 0, and their few instructions at F000:FF53, where PCs have their IRET. INT 10H to
// 1AH return with CF set and AH = 86H ("function not supported"), but for INT 11H and 12H, which return AX as
// the data area has it (bios_data_write). An interrupt of the 8259s is acknowledged there, all else is an
// IRET. Before the guest is loaded: what a kernel brings for these addresses is the kernel's.
void bios_vectors_write(const struct guest_ram *ram);
