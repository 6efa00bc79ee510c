// Workloads of what a process tells the kernel of its memory by madvise: pages that it gives back at once or
// when memory is short, and huge pages that fall apart and are put together again.
#include "bench.h"
#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE // Linux 6.1
#define MADV_COLLAPSE 25
#endif

static unsigned char *advice_memory;
static size_t advice_bytes;

static void pages_write(void)
{
    for (size_t i = 0; i < advice_bytes; i += PAGE)
        advice_memory[i] = 1;
}

void advice_setup(struct workload *own)
{
    advice_bytes = own->argument;
    advice_memory = memory_map(advice_bytes, PAGE);
    pages_write();
}

static void advise(int advice)
{
    if (madvise(advice_memory, advice_bytes, advice) != 0)
        die("madvise");
}

void dontneed_run(unsigned long iterations)
{
    while (iterations--) {
        advise(MADV_DONTNEED);
        for (size_t i = 0; i < advice_bytes; i += PAGE)
            if (advice_memory[i]++ != 0)
                fail("memory that was given back is not zero");
    }
}

// With memory to spare the kernel takes none of them: what is dear is that each is clean until it is written.
void madvfree_run(unsigned long iterations)
{
    while (iterations--) {
        advise(MADV_FREE);
        pages_write();
    }
}

// What is split and put together is looked at once: reading it is dear.
void split_setup(struct workload *own)
{
    advice_bytes = own->argument * PAGE_2M;
    advice_memory = memory_map(advice_bytes, PAGE_2M);
    pages_write();
    if (huge_bytes() != advice_bytes)
        fail("the kernel did not give huge pages");
    split_run(1);
    if (huge_bytes() != advice_bytes)
        fail("the kernel did not put huge pages together again");
}

static void huge_page_split(unsigned char *page)
{
    if (mprotect(page, PAGE, PROT_READ) != 0 || mprotect(page, PAGE, PROT_READ | PROT_WRITE) != 0)
        die("mprotect");
}

void split_run(unsigned long iterations)
{
    while (iterations--) {
        for (size_t i = 0; i < advice_bytes; i += PAGE_2M)
            huge_page_split(advice_memory + i);
        pages_write();
        if (madvise(advice_memory, advice_bytes, MADV_COLLAPSE) != 0)
            die(errno == EINVAL ? "madvise(COLLAPSE), which Linux has since 6.1" : "madvise(COLLAPSE)");
    }
}
