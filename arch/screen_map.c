// The framebuffer's window, a PML4 entry of its own: the screen is the first thing that must work, and lies
// anywhere in physical memory (integrated graphics: at 256 GiB). Pages of 2M, and of 4K at its edges, so that
// nothing beside the screen is mapped as memory whose reads may be speculative.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/layout.h>
#include <arch/lib.h>
#include <arch/phys.h>

#include "page_table.h"
#include "screen_map.h"

#define WINDOW  (0xffff000000000000ull | (u64)SCREEN_MAP_SLOT << 39)
#define PAGE_2M (2 * MIB)

// Entry 1 of the PAT. Not no-execute: the refusal that a processor has no such bit must be seen, too.
#define SCREEN_PAGE (PTE_PRESENT_WRITE | PTE_PWT)

// As after reset but for entry 1, write-combining. Nothing else of the monitor's uses that entry, and entry 0
// stays write-back, so the type of what is mapped already does not change. The parked processors keep theirs:
// they write to no screen.
#define PAT_MONITOR 0x0007040600070106ull

// Page tables of the image's own.
static struct {
    u64 pdpt[ENTRIES];
    u64 directory[2][ENTRIES]; // 1 GiB at any place touches two
    u64 edge[2][ENTRIES];      // the pages of 4K at its beginning and its end
} window __attribute__((aligned(4096)));

static void map_4k(u64 *directory_entry, u64 *table, u64 hpa)
{
    *directory_entry = image_table(table);
    table[hpa / PAGE_SIZE % ENTRIES] = hpa | SCREEN_PAGE;
}

// Maps [start, end), whole pages, at WINDOW + start % GIB.
static void map_pages(u64 start, u64 end)
{
    u64 first = align_down(start, GIB);
    for (u64 at = start, size; at < end; at += size) {
        u64 *entry = &window.directory[(at - first) / GIB][at / PAGE_2M % ENTRIES];
        size = at % PAGE_2M == 0 && end - at >= PAGE_2M ? PAGE_2M : PAGE_SIZE;
        if (size == PAGE_2M)
            *entry = at | SCREEN_PAGE | PTE_LARGE;
        else
            map_4k(entry, window.edge[at / PAGE_2M != start / PAGE_2M], at);
    }
}

volatile void *screen_map(u64 hpa, u64 bytes)
{
    u64 space = BIT(phys_bits());
    if (!bytes || bytes > GIB || hpa >= space || bytes > space - hpa)
        return NULL;
    memset(&window, 0, sizeof(window));
    map_pages(align_down(hpa, PAGE_SIZE), align_up(hpa + bytes, PAGE_SIZE));
    window.pdpt[0] = image_table(window.directory[0]);
    window.pdpt[1] = image_table(window.directory[1]);
    boot_pml4[SCREEN_MAP_SLOT] = image_table(window.pdpt);
    wbinvd(); // what the boot loader wrote there through the caches, where MTRRs let it
    wrmsr(IA32_PAT, PAT_MONITOR);
    write_cr3(read_cr3());
    return (volatile void *)(WINDOW + hpa % GIB);
}
