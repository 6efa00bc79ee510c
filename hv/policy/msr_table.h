// The MSR policy as data: which MSR exists for this guest, what its accesses do, and the MSR bitmap that
// follows. Pure. What CALL does is in msr.c.
#pragma once

#include <arch/types.h>

#include "cpuid.h"

enum msr_action { MSR_FAULT, MSR_DIRECT, MSR_HOST, MSR_ZERO, MSR_DROP, MSR_CALL };

struct msr_policy {
    const char *name;
    enum msr_action read, write;
};

// What accesses to this MSR do for a guest with these features.
struct msr_policy msr_find(const struct cpuid_policy *cpuid, u32 index);

// Fills the 4096-byte MSR bitmap (SDM vol. 3, 25.6.9) from the table: DIRECT accesses do not exit, all others
// do.
void msr_bitmap_make(const struct cpuid_policy *cpuid, u8 *bitmap);

// The MSRs that some guest may read and write without an exit, one after the other by n: false when there are
// no more. Which of them exist on this processor is not said.
bool msr_direct(unsigned n, u32 *index);

// Lets accesses to one MSR through, or makes them exit again. The index is one that the bitmap covers: 0 to
// 1FFFH or C0000000H to C0001FFFH.
void msr_bitmap_read(u8 *bitmap, u32 index, bool direct);
void msr_bitmap_write(u8 *bitmap, u32 index, bool direct);
