// Entries of the monitor's own page tables (SDM vol. 3, 4.5), for the files that write them.
#pragma once

#include <arch/io.h>
#include <arch/types.h>

#define ENTRIES           512
#define PTE_PRESENT       BIT(0)
#define PTE_PRESENT_WRITE 3ull
#define PTE_PWT           BIT(3) // with PAT and PCD clear: entry 1 of the PAT
#define PTE_PCD           BIT(4) // with PWT: entry 3
#define PTE_LARGE         BIT(7)
#define PTE_NO_EXECUTE    BIT(63)
#define PTE_LARGE_DATA    (PTE_PRESENT_WRITE | PTE_LARGE | PTE_NO_EXECUTE)

extern u64 boot_pml4[ENTRIES]; // from boot.asm

// The entry that leads to a table in the image: its distance from boot_pml4, whose machine address is in CR3.
static inline u64 image_table(const u64 *table)
{
    u64 pml4_hpa = read_cr3() & PAGE_MASK;
    return (pml4_hpa + (uintptr_t)table - (uintptr_t)boot_pml4) | PTE_PRESENT_WRITE;
}
