// Workloads of one process's page tables: demand-zero faults with the tear-down after them, and protection
// changes, with code that is written as a compiler at run time does it. Copy-on-write is in process.c, files
// are in file.c. Pages are 4K: huge ones would leave nothing to measure.
#include "bench.h"
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

static size_t mmap_bytes;
static size_t mprotect_bytes;
static volatile unsigned char *mprotect_pages;

void mmap_setup(struct workload *own)
{
    mmap_bytes = own->argument;
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

void mprotect_setup(struct workload *own)
{
    mprotect_bytes = own->argument;
    mprotect_pages = memory_map(mprotect_bytes, PAGE);
    for (size_t i = 0; i < mprotect_bytes; i += PAGE)
        mprotect_pages[i] = 0;
}

void mprotect_run(unsigned long iterations)
{
    void *pages = (void *)mprotect_pages;
    while (iterations--) {
        if (mprotect(pages, mprotect_bytes, PROT_READ) != 0 ||
            mprotect(pages, mprotect_bytes, PROT_READ | PROT_WRITE) != 0)
            die("mprotect");
        for (size_t i = 0; i < mprotect_bytes; i += PAGE)
            mprotect_pages[i]++;
    }
}

static unsigned char *jit_page;

void jit_setup(struct workload *own)
{
    (void)own;
    jit_page = memory_map(PAGE, PAGE);
}

// MOV EAX, number; RET.
static void code_write(unsigned char *code, uint32_t number)
{
    code[0] = 0xb8;
    memcpy(code + 1, &number, sizeof number);
    code[1 + sizeof number] = 0xc3;
}

void jit_run(unsigned long iterations)
{
    uint32_t (*code)(void);
    memcpy(&code, &jit_page, sizeof code);
    for (uint32_t number = 1; iterations--; number++) {
        if (mprotect(jit_page, PAGE, PROT_READ | PROT_WRITE) != 0)
            die("mprotect");
        code_write(jit_page, number);
        if (mprotect(jit_page, PAGE, PROT_READ | PROT_EXEC) != 0)
            die("mprotect");
        if (code() != number)
            fail("the code that was written did not run");
    }
}
