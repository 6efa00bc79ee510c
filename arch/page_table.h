// Entries of the monitor's own page tables (SDM vol. 3, 4.5), for the files that write them.
#pragma once

#include <arch/types.h>

#define ENTRIES           512
#define PTE_PRESENT_WRITE 3ull
#define PTE_PWT           BIT(3) // with PAT and PCD clear: entry 1 of the PAT
#define PTE_LARGE         BIT(7)
#define PTE_NO_EXECUTE    BIT(63)
#define PTE_LARGE_DATA    (PTE_PRESENT_WRITE | PTE_LARGE | PTE_NO_EXECUTE)

extern u64 boot_pml4[ENTRIES]; // from boot.asm
