// The registers of this processor's local APIC, by their offset in its page (SDM vol. 3, table 11-1), in
// either mode. The page is where reset has put it: hv/devices/apic.c has refused another place.
#pragma once

#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/phys.h>

#define LOCAL_APIC_ID 0x20

static inline bool local_apic_is_x2apic(void)
{
    return rdmsr(IA32_APIC_BASE) & APIC_BASE_X2APIC;
}

// In xAPIC mode.
static inline volatile u32 *local_apic_page(u32 offset)
{
    return phys_ptr(APIC_BASE_RESET + offset);
}

// `x2apic`: the mode that it is in. In x2APIC mode a register that is not there, and a reserved bit, raise
// #GP.
static inline u32 local_apic_read(bool x2apic, u32 offset)
{
    return x2apic ? (u32)rdmsr(X2APIC_MSR(offset)) : *local_apic_page(offset);
}

static inline void local_apic_write(bool x2apic, u32 offset, u32 value)
{
    if (x2apic)
        wrmsr(X2APIC_MSR(offset), value);
    else
        *local_apic_page(offset) = value;
}

static inline u32 local_apic_id(void)
{
    bool x2apic = local_apic_is_x2apic();
    u32 id = local_apic_read(x2apic, LOCAL_APIC_ID);
    return x2apic ? id : id >> 24;
}
