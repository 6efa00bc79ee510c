// RAM that the MTRRs do not make write-back: some firmware forgets the last of it. A guest there would be a
// hundred times slower, and so would the monitor.
#pragma once

#include <arch/mtrr.h>
#include <arch/multiboot2.h>

struct trimmed {
    u64 bytes;      // RAM that is none any more
    u64 start, end; // the first and the last of it, with what lies between
    bool all;       // none is write-back: then it all stays
};

// Makes reserved what is RAM by the boot loader's map, from 1M on, and not write-back by the MTRRs.
struct trimmed ram_trim(struct boot_info *boot, const struct mtrrs *mtrrs);
