// The windows of the screen and of a UART in memory, each a PML4 entry of its own: the console is the first
// thing that must work, and lies anywhere in physical memory (integrated graphics: at 256 GiB). Pages of 2M,
// and of 4K at the edges, so that nothing beside the device is mapped: what is beside a screen would be
// memory whose reads may be speculative.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/layout.h>
#include <arch/lib.h>
#include <arch/phys.h>

#include "device_map.h"
#include "page_table.h"

#define PAGE_2M (2 * MIB)

// Entries 1 and 3 of the PAT. Not no-execute: the refusal that a processor has no such bit must be seen, too.
#define SCREEN_PAGE (PTE_PRESENT_WRITE | PTE_PWT)
#define UART_PAGE   (PTE_PRESENT_WRITE | PTE_PWT | PTE_PCD)

// As after reset (entry 3: uncacheable) but for entry 1, write-combining. Nothing else of the monitor's uses
// that entry, and entry 0 stays write-back, so the type of what is mapped already does not change. The parked
// processors keep theirs: they write to no console.
#define PAT_MONITOR 0x0007040600070106ull

// Page tables of the image's own.
static struct window {
    u64 pdpt[ENTRIES];
    u64 directory[2][ENTRIES]; // 1 GiB at any place touches two
    u64 edge[2][ENTRIES];      // the pages of 4K at its beginning and its end
} screen __attribute__((aligned(4096))), uart __attribute__((aligned(4096)));

static void map_4k(u64 *directory_entry, u64 *table, u64 hpa, u64 page)
{
    *directory_entry = image_table(table);
    table[hpa / PAGE_SIZE % ENTRIES] = hpa | page;
}

// Maps [start, end), whole pages, from start % GIB of the window on.
static void map_pages(struct window *w, u64 start, u64 end, u64 page)
{
    u64 first = align_down(start, GIB);
    for (u64 at = start, size; at < end; at += size) {
        u64 *entry = &w->directory[(at - first) / GIB][at / PAGE_2M % ENTRIES];
        size = at % PAGE_2M == 0 && end - at >= PAGE_2M ? PAGE_2M : PAGE_SIZE;
        if (size == PAGE_2M)
            *entry = at | page | PTE_LARGE;
        else
            map_4k(entry, w->edge[at / PAGE_2M != start / PAGE_2M], at, page);
    }
}

static volatile void *map(struct window *w, u64 slot, u64 page, u64 hpa, u64 bytes)
{
    u64 space = BIT(phys_bits());
    if (!bytes || bytes > GIB || hpa >= space || bytes > space - hpa)
        return NULL;
    memset(w, 0, sizeof(*w));
    map_pages(w, align_down(hpa, PAGE_SIZE), align_up(hpa + bytes, PAGE_SIZE), page);
    w->pdpt[0] = image_table(w->directory[0]);
    w->pdpt[1] = image_table(w->directory[1]);
    boot_pml4[slot] = image_table(w->pdpt);
    wbinvd(); // what the boot loader wrote there through the caches, where MTRRs let it
    wrmsr(IA32_PAT, PAT_MONITOR);
    write_cr3(read_cr3());
    return (volatile void *)(0xffff000000000000ull + (slot << 39) + hpa % GIB);
}

volatile void *screen_map(u64 hpa, u64 bytes)
{
    return map(&screen, SCREEN_MAP_SLOT, SCREEN_PAGE, hpa, bytes);
}

volatile void *uart_map(u64 hpa, u64 bytes)
{
    return map(&uart, UART_MAP_SLOT, UART_PAGE, hpa, bytes);
}
