// The current VMCS: its fields, and VMREAD and VMWRITE. A field that the processor does not have must not be
// touched (arch/vmx.h has vmcs_try_read): the instruction would fail unseen. The host tests put a table in
// this header's place (tests/host/include).
#pragma once

#include <arch/types.h>

enum vmcs_field {
#define FIELD(name, encoding) name = (encoding),
#include <arch/vmcs.def>
#undef FIELD
};

// How often the VMCS was read and written: every exit's price in a nested machine.
struct vmcs_counts {
    u64 reads, writes;
};
extern struct vmcs_counts vmcs_counts;

static inline u64 vmcs_read(enum vmcs_field field)
{
    u64 value;
    vmcs_counts.reads++;
    __asm__ volatile("vmread %1, %0" : "=rm"(value) : "r"((u64)field) : "cc");
    return value;
}

static inline void vmcs_write(enum vmcs_field field, u64 value)
{
    vmcs_counts.writes++;
    __asm__ volatile("vmwrite %1, %0" : : "r"((u64)field), "rm"(value) : "cc");
}
