// A guest memory for the loaders' tests: the RAM below 4G of a guest map, filled with a pattern, so that what
// the loader left alone and what it cleared can be told apart. A write outside the guest's RAM fails the
// test.
#pragma once

#include "support.h"

#include "hv/memory/guest_map.h"
#include <sys/mman.h>

#define GUEST_UNTOUCHED 0xa5

struct loaded_guest {
    struct guest_map map;
    struct guest_ram ram;
    u8 *bytes; // indexed by gpa
};

static void loaded_guest_copy(void *context, u64 gpa, const void *from, u64 bytes)
{
    struct loaded_guest *g = context;
    assert_true(!bytes || guest_map_is_ram(&g->map, gpa, bytes));
    memcpy(g->bytes + gpa, from, bytes);
}

static void loaded_guest_clear(void *context, u64 gpa, u64 bytes)
{
    struct loaded_guest *g = context;
    assert_true(!bytes || guest_map_is_ram(&g->map, gpa, bytes));
    memset(g->bytes + gpa, 0, bytes);
}

// Only the first 96M have the pattern: larger guests cost nothing.
static void loaded_guest_make(struct loaded_guest *g, u64 mem)
{
    guest_map_make(&g->map, mem);
    g->ram = (struct guest_ram){loaded_guest_copy, loaded_guest_clear, g};
    g->bytes = mmap(NULL, g->map.low_end, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
    assert_true(g->bytes != MAP_FAILED);
    memset(g->bytes, GUEST_UNTOUCHED, g->map.low_end < 96 * MIB ? g->map.low_end : 96 * MIB);
}

static void loaded_guest_gone(struct loaded_guest *g)
{
    munmap(g->bytes, g->map.low_end);
}
