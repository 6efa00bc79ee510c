// The monitor's own page tables.
#pragma once

#include <arch/frames.h>
#include <arch/types.h>

// Adds machine addresses [start, end) to the direct map, in whole pages of 2M, or of 1G where the processor
// has them and all of one is inside. boot.asm has mapped the first 4 GiB, which are left as they are; so is
// what is mapped already. Takes table frames from `frames`, which until all is mapped must hold only RAM
// below 4 GiB. ERR_NOMEM: there is none. ERR_INVALID: `end` is above DIRECT_MAP_END; nothing is mapped then.
int paging_map(struct frames *frames, u64 start, u64 end) must_check;

// The one-to-one map of the first 512 GiB, executable below 4 GiB: on at entry, and then only while another
// processor passes from real mode to the monitor's own addresses (park.c).
void paging_identity(bool on);
