// Workload of address translation: a chain of pointers through memory in random order, so that nearly each
// step misses the TLB where the memory is larger than its reach. Nodes lie 1 KiB apart, each in a line of its
// own chosen so that they spread over the cache's sets. With 4K pages, or with transparent huge pages, which
// setup makes sure of.
#include "bench.h"
#include "proc.h"
#include <stdint.h>

enum { NODE_STRIDE = 1024, LINE = 64 };

static unsigned char *chase_memory;
static size_t chase_bytes;
static void **chase_at;

static uint64_t random_next(void)
{
    static uint64_t state = 88172645463325252;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void **node_at(size_t index)
{
    return (void **)(chase_memory + index * NODE_STRIDE + index / 7 % (NODE_STRIDE / LINE) * LINE);
}

// Sattolo's shuffle of "each node points to itself" leaves one cycle through all nodes.
static void chain_make(size_t nodes)
{
    for (size_t i = 0; i < nodes; i++)
        *node_at(i) = node_at(i);
    for (size_t i = nodes - 1; i > 0; i--) {
        void **other = node_at(random_next() % i);
        void *kept = *other;
        *other = *node_at(i);
        *node_at(i) = kept;
    }
    chase_at = node_at(0);
}

// What the kernel really gave this process, in KiB.
static size_t huge_kib_read(void)
{
    return proc_number("/proc/self/smaps_rollup", "AnonHugePages:");
}

static void chase_prepare(size_t bytes, bool huge)
{
    chase_memory = memory_map(bytes, huge);
    chase_bytes = bytes;
    chain_make(bytes / NODE_STRIDE);
    if (huge_kib_read() != (huge ? bytes / 1024 : 0))
        fail("the kernel did not give the page size asked for");
}

void chase_setup(size_t bytes)
{
    chase_prepare(bytes, false);
}

void chase_huge_setup(size_t bytes)
{
    chase_prepare(bytes, true);
}

void chase_touch(void)
{
    for (size_t offset = 0; offset < chase_bytes; offset += PAGE)
        *(volatile unsigned char *)(chase_memory + offset);
}

// The place is kept between calls: a repetition goes on where the last one stopped.
void chase_run(unsigned long iterations)
{
    void **at = chase_at;
    while (iterations--)
        at = *(void *volatile *)at;
    chase_at = at;
}
