// A workload's working set, in pages of the size that is asked for. See bench.h.
#include "bench.h"
#include "proc.h"
#include <string.h>

static unsigned char *set_memory;
static size_t set_bytes;

size_t huge_bytes(void)
{
    return proc_number("/proc/self/smaps_rollup", "AnonHugePages:") * 1024;
}

void *set_make(const struct workload *own)
{
    set_memory = memory_map(own->bytes, own->page);
    set_bytes = own->bytes;
    memset(set_memory, 0, set_bytes);
    if (huge_bytes() != (own->page == PAGE_2M ? rounded_up(set_bytes, PAGE_2M) : 0))
        fail("the kernel did not give the page size asked for");
    return set_memory;
}

void set_touch(void)
{
    for (size_t offset = 0; offset < set_bytes; offset += PAGE)
        *(volatile unsigned char *)(set_memory + offset);
}
