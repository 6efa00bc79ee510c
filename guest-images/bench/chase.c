// Workload of address translation: a chain of pointers through memory in random order, so that nearly each
// step misses the TLB where the memory is larger than its reach. Nodes lie `stride` apart: in each line of a
// cache, for the time of an access by working set (sweep), or 1 KiB, each in a line of its own chosen so that
// they spread over the cache's sets.
#include "bench.h"
#include "random.h"

enum { LINE = 64 };

static unsigned char *chase_memory;
static size_t chase_stride;
static void **chase_at;

static void **node_at(size_t index)
{
    return (void **)(chase_memory + index * chase_stride + index / 7 % (chase_stride / LINE) * LINE);
}

// Sattolo's shuffle of "each node points to itself" leaves one cycle through all nodes.
static void chain_make(size_t nodes)
{
    uint64_t random = 1;
    for (size_t i = 0; i < nodes; i++)
        *node_at(i) = node_at(i);
    for (size_t i = nodes - 1; i > 0; i--) {
        void **other = node_at(random_place(random_next(&random), i));
        void *kept = *other;
        *other = *node_at(i);
        *node_at(i) = kept;
    }
    chase_at = node_at(0);
}

void chase_setup(struct workload *own)
{
    chase_memory = set_make(own);
    chase_stride = own->argument;
    chain_make(own->bytes / chase_stride);
}

// The place is kept between calls: a repetition goes on where the last one stopped.
void chase_run(unsigned long iterations)
{
    void **at = chase_at;
    while (iterations--)
        at = *(void *volatile *)at;
    chase_at = at;
}
