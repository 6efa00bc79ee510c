// Fields of the VMCS that nobody but the monitor changes, and that are written only where they change. Under
// KVM a VMWRITE of a field that it does not shadow is an exit to it (arch/vmcs.def), and takes as long.
#pragma once

#include <hv/vcpu.h>

#define KEPT_UNKNOWN (~0ull) // which none of them ever holds

// True: the field holds the value already. False: the caller is to write it. What hardware may change is
// forgotten before.
static inline bool kept_same(struct vcpu *v, enum kept_field field, u64 value)
{
    if (v->kept[field] == value)
        return true;
    v->kept[field] = value;
    return false;
}

static inline void kept_forget(struct vcpu *v, enum kept_field field)
{
    v->kept[field] = KEPT_UNKNOWN;
}

// Writes the field unless it holds the value.
static inline void kept_write(struct vcpu *v, enum kept_field field, u64 value)
{
    static const u16 fields[KEPT_FIELDS] = {
#define KEPT(name) [KEPT_##name] = name,
#include <hv/kept.def>
    };
    if (!kept_same(v, field, value))
        vmcs_write((enum vmcs_field)fields[field], value);
}
