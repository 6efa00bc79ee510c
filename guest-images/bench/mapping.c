// Workloads of whole mappings: written pages that move to other addresses, and pages far apart, each of which
// takes a page table with it when it goes.
#include "bench.h"
#include <sys/mman.h>

static unsigned char *mremap_here, *mremap_there;
static size_t mremap_bytes;

// A page beside a whole table's alignment: the kernel could move tables as they are.
void mremap_setup(struct workload *own)
{
    mremap_bytes = own->argument;
    mremap_here = memory_map(2 * PAGE_2M, PAGE) + PAGE;
    mremap_there = memory_map(2 * PAGE_2M, PAGE) + 2 * PAGE;
    for (size_t i = 0; i < mremap_bytes; i += PAGE)
        mremap_here[i] = (unsigned char)(i / PAGE);
}

void mremap_run(unsigned long iterations)
{
    while (iterations--) {
        void *moved =
            mremap(mremap_here, mremap_bytes, mremap_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, mremap_there);
        if (moved == MAP_FAILED)
            die("mremap");
        mremap_there = mremap_here;
        mremap_here = moved;
        for (size_t i = 0; i < mremap_bytes; i += PAGE)
            if (mremap_here[i] != (unsigned char)(i / PAGE))
                fail("a page was lost when it moved");
    }
}

enum { SPARSE_PAGES = 64 };

void sparse_run(unsigned long iterations)
{
    while (iterations--) {
        volatile unsigned char *memory = memory_map((size_t)SPARSE_PAGES * PAGE_2M, PAGE);
        for (size_t i = 0; i < SPARSE_PAGES; i++)
            if (memory[i * PAGE_2M]++ != 0)
                fail("new memory is not zero");
        for (size_t i = 0; i < SPARSE_PAGES; i++)
            if (munmap((void *)(memory + i * PAGE_2M), PAGE_2M) != 0)
                die("munmap");
    }
}
