// The monitor's own page tables.
#pragma once

#include <arch/frames.h>
#include <arch/types.h>

// Completes the direct map up to `limit` bytes (boot.asm maps the first 4 GiB) and removes the one-to-one
// map. Takes table frames from `frames`, which until then must hold RAM below 4 GiB. ERR_NOMEM when there is
// none.
int paging_init(struct frames *frames, u64 limit) must_check;

// The one-to-one map of the first 512 GiB, executable below 4 GiB: on only while another processor passes
// from real mode to the monitor's own addresses (park.c).
void paging_identity(bool on);
