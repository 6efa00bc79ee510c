// The machine's memory at boot: what the firmware gives, without what is already in use, to the frame
// allocator.
#pragma once

#include <arch/frames.h>
#include <arch/mtrr.h>
#include <arch/multiboot2.h>

// Gives all RAM to `frames` but the image, the modules and the symbol table, and completes the direct map:
// RAM and ACPI's ranges. What else the boot loader has left is not used any more. The allocator's own table,
// a byte for each frame, lies below 4 GiB: RAM whose frames it has no room for is left out. ERR_NOMEM: no
// room for 256 GiB of RAM, or all if there is less.
int memory_init(struct frames *frames, const struct boot_info *boot, u64 image_hpa) must_check;

// Boot loaders put modules and symbols low, where a guest's roots may want to be in place (shadow/). This
// moves each to the highest frames that are free, as the monitor's (FRAME_MONITOR), changes `boot` to it, and
// gives RAM that is left to `frames`. What finds no free frames above itself stays. Bytes that have moved, in
// whole frames. Once, after memory_init; who has pointers there makes them anew.
u64 memory_raise(struct frames *frames, struct boot_info *boot, u64 image_hpa);

// All below is reached by phys_ptr: up to 4 GiB, after memory_init up to the first hole from there on. Bytes.
u64 memory_map_end(void);

// Bytes that were in use before the allocator was, and have not moved: the image, the allocator's table, and
// modules and symbols until memory_raise.
u64 memory_kept_bytes(void);

// Bytes of RAM that memory_init has left out, all above what `frames` covers: 0 on nearly all machines.
u64 memory_left_out(const struct frames *frames, const struct boot_info *boot);

// The machine's MTRRs as they are now: disabled ones where the processor has none.
void memory_mtrrs(struct mtrrs *mtrrs);
