// The monitor's own page tables: the direct map of all machine memory, in 2M pages, beyond what boot.asm
// made.
#include <arch/io.h>
#include <arch/layout.h>
#include <arch/lib.h>
#include <arch/phys.h>

#include "paging.h"

#define ENTRIES       512
#define PRESENT_WRITE 3ull
#define LARGE         BIT(7)
#define NO_EXECUTE    BIT(63)

extern u64 boot_pml4[ENTRIES];

static int directory_fill(struct frames *frames, u64 *pdpt, u64 gib)
{
    mfn_t table;
    int error = frames_alloc(frames, ORDER_4K, FRAME_MONITOR, &table);
    if (error)
        return error;
    u64 *entries = mfn_ptr(table);
    for (u64 i = 0; i < ENTRIES; i++)
        entries[i] = gib * GIB + i * 2 * MIB + (PRESENT_WRITE | LARGE | NO_EXECUTE);
    pdpt[gib % ENTRIES] = mfn_hpa(table) | PRESENT_WRITE;
    return 0;
}

static int pdpt_make(struct frames *frames, u64 *slot)
{
    mfn_t table;
    int error = frames_alloc(frames, ORDER_4K, FRAME_MONITOR, &table);
    if (error)
        return error;
    memset(mfn_ptr(table), 0, PAGE_SIZE);
    *slot = mfn_hpa(table) | PRESENT_WRITE;
    return 0;
}

void paging_identity(bool on)
{
    boot_pml4[0] = on ? boot_pml4[DIRECT_MAP_SLOT] : 0;
    write_cr3(read_cr3());
}

int paging_init(struct frames *frames, u64 limit)
{
    for (u64 gib = 4; gib * GIB < limit; gib++) {
        u64 *slot = &boot_pml4[DIRECT_MAP_SLOT + gib / ENTRIES];
        int error = *slot ? 0 : pdpt_make(frames, slot);
        if (!error)
            error = directory_fill(frames, phys_ptr(*slot & PAGE_MASK), gib);
        if (error)
            return error;
    }
    paging_identity(false);
    return 0;
}
