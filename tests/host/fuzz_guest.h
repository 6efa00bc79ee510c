// The guest memory of the loaders' fuzz harnesses: it checks that each write goes to the guest's RAM, and
// reads each byte, so that ASan sees a source that is too short. It keeps nothing.
#pragma once

#include "hv/memory/guest_map.h"
#include <stdlib.h>

static void fuzz_clear(void *context, u64 gpa, u64 bytes)
{
    if (bytes && !guest_map_is_ram(context, gpa, bytes))
        abort();
}

static void fuzz_copy(void *context, u64 gpa, const void *from, u64 bytes)
{
    static volatile u8 sink;
    fuzz_clear(context, gpa, bytes);
    for (u64 i = 0; i < bytes; i++)
        sink = ((const u8 *)from)[i];
    (void)sink;
}
