// Whether a bit of page-table entries that CPUID says is reserved is so.
#pragma once

#include <arch/types.h>

// Whether each access through an entry that is present and has this address bit set, which is beyond
// MAXPHYADDR, raises #PF with the RSVD flag (SDM vol. 3, 4.7). It does on every processor; but a hypervisor
// may say fewer address bits than the processor below it has. After traps_init.
bool reserved_bit_faults(unsigned bit);
