// The current VMCS: its fields, and VMREAD and VMWRITE. A field that the processor does not have must not be
// touched (arch/vmx.h has vmcs_try_read): the instruction would fail unseen, but for a debug build (make
// DEBUG=1). The host tests put a table in this header's place (tests/host/include).
#pragma once

#include <arch/vmcs_counts.h>

enum vmcs_field {
#define FIELD(name, encoding, ...) name = (encoding),
#include <arch/vmcs.def>
#undef FIELD
};

// In a debug build: panics, with the field and the VM-instruction error.
_Noreturn void vmcs_failed(const char *instruction, enum vmcs_field field);

static inline u64 vmcs_read(enum vmcs_field field)
{
    u64 value;
    bool failed;
    __asm__ volatile("incq %%gs:%c0" : : "i"(offsetof(struct vmcs_counts, reads)) : "cc");
    __asm__ volatile("vmread %2, %0" : "=rm"(value), "=@ccbe"(failed) : "r"((u64)field));
    if (DEBUG_BUILD && failed)
        vmcs_failed("VMREAD", field);
    return value;
}

static inline void vmcs_write(enum vmcs_field field, u64 value)
{
    bool failed;
    __asm__ volatile("incq %%gs:%c0" : : "i"(offsetof(struct vmcs_counts, writes)) : "cc");
    __asm__ volatile("vmwrite %2, %1" : "=@ccbe"(failed) : "r"((u64)field), "rm"(value));
    if (DEBUG_BUILD && failed)
        vmcs_failed("VMWRITE", field);
}
