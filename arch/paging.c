// The monitor's own page tables: the direct map of machine memory beyond what boot.asm made.
#include <arch/io.h>
#include <arch/layout.h>
#include <arch/lib.h>
#include <arch/phys.h>

#include "page_table.h"
#include "paging.h"

#define CPUID_80000001_EDX_PAGE1GB BIT(26)

void paging_identity(bool on)
{
    boot_pml4[0] = on ? boot_pml4[DIRECT_MAP_SLOT] : 0;
    write_cr3(read_cr3());
}

// The table that `slot` points to: an empty one is made where there is none.
static int table_below(struct frames *frames, u64 *slot, u64 **table)
{
    if (!*slot) {
        mfn_t made;
        int error = frames_alloc(frames, ORDER_4K, FRAME_MONITOR, &made);
        if (error)
            return error;
        memset(mfn_ptr(made), 0, PAGE_SIZE);
        *slot = mfn_hpa(made) | PTE_PRESENT_WRITE;
    }
    *table = phys_ptr(*slot & PAGE_MASK);
    return 0;
}

// Maps the largest page that begins at `hpa` and fits into `left` bytes, at least 2M; `mapped` is its size.
static int map_page(struct frames *frames, u64 hpa, u64 left, bool has_1g, u64 *mapped)
{
    u64 *pdpt, *directory;
    int error = table_below(frames, &boot_pml4[DIRECT_MAP_SLOT + hpa / (ENTRIES * GIB)], &pdpt);
    if (error)
        return error;
    u64 *slot = &pdpt[hpa / GIB % ENTRIES];
    bool new_1g = !*slot && has_1g && hpa % GIB == 0 && left >= GIB;
    *mapped = new_1g ? GIB : 2 * MIB;
    if (new_1g)
        *slot = hpa | PTE_LARGE_DATA;
    if (*slot & PTE_LARGE)
        return 0;
    error = table_below(frames, slot, &directory);
    if (!error)
        directory[hpa / (2 * MIB) % ENTRIES] = hpa | PTE_LARGE_DATA;
    return error;
}

int paging_map(struct frames *frames, u64 start, u64 end)
{
    if (end > DIRECT_MAP_END)
        return ERR_INVALID;
    bool has_1g = cpuid(0x80000001, 0).edx & CPUID_80000001_EDX_PAGE1GB;
    u64 at = start > 4 * GIB ? align_down(start, 2 * MIB) : 4 * GIB;
    for (u64 mapped; at < end; at += mapped) {
        int error = map_page(frames, at, end - at, has_1g, &mapped);
        if (error)
            return error;
    }
    return 0;
}
