// Workloads of one process's page tables: demand-zero faults with the tear-down after them, and protection
// changes. Copy-on-write is in process.c, files are in file.c. Pages are 4K: huge ones would leave nothing to
// measure.
#include "bench.h"
#include <sys/mman.h>

static size_t mmap_bytes;
static volatile unsigned char *mprotect_page;

void mmap_setup(size_t bytes)
{
    mmap_bytes = bytes;
}

void mmap_run(unsigned long iterations)
{
    while (iterations--) {
        void *room = mmap(NULL, mmap_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        volatile unsigned char *memory = room; // the write comes first: a read would find the zero page
        if (room == MAP_FAILED || madvise(room, mmap_bytes, MADV_NOHUGEPAGE) != 0)
            die("mmap");
        for (size_t i = 0; i < mmap_bytes; i += PAGE) {
            memory[i] = 1;
            if (memory[i + PAGE / 2] != 0)
                die("new memory is not zero");
        }
        if (munmap(room, mmap_bytes) != 0)
            die("munmap");
    }
}

void mprotect_setup(size_t bytes)
{
    mprotect_page = memory_map(bytes, false);
    *mprotect_page = 0;
}

void mprotect_run(unsigned long iterations)
{
    void *page = (void *)mprotect_page;
    while (iterations--) {
        if (mprotect(page, PAGE, PROT_READ) != 0 || mprotect(page, PAGE, PROT_READ | PROT_WRITE) != 0)
            die("mprotect");
        (*mprotect_page)++;
    }
}
