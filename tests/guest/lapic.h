// The local APIC of the guest, through its page (xAPIC) or through its MSRs (x2APIC), whichever is on.
// Register numbers are xAPIC byte offsets; the x2APIC MSR is 0x800 + offset / 16.
#pragma once

#include <arch/types.h>

#define LAPIC_GPA 0xFEE00000ull
enum lapic_register {
    LAPIC_ID = 0x20,
    LAPIC_VERSION = 0x30,
    LAPIC_TPR = 0x80,
    LAPIC_PPR = 0xA0,
    LAPIC_EOI = 0xB0,
    LAPIC_LDR = 0xD0,
    LAPIC_DFR = 0xE0,
    LAPIC_SVR = 0xF0,
    LAPIC_ISR = 0x100,
    LAPIC_IRR = 0x200,
    LAPIC_ESR = 0x280,
    LAPIC_ICR = 0x300,
    LAPIC_ICR_HIGH = 0x310,
    LAPIC_LVT_TIMER = 0x320,
    LAPIC_LVT_LINT0 = 0x350,
    LAPIC_LVT_LINT1 = 0x360,
    LAPIC_LVT_ERROR = 0x370,
    LAPIC_TIMER_INITIAL = 0x380,
    LAPIC_TIMER_CURRENT = 0x390,
    LAPIC_TIMER_DIVIDE = 0x3E0,
};
#define APIC_BASE_BSP    BIT(8)
#define APIC_BASE_EXTD   BIT(10)
#define APIC_BASE_ENABLE BIT(11)

#define LVT_MASKED         BIT(16)
#define LVT_TIMER_PERIODIC BIT(17)
#define LVT_TIMER_DEADLINE BIT(18)

// LAPIC_SPURIOUS is the spurious vector; the timer tests and the self-IPI tests choose their own.
#define LAPIC_SPURIOUS 0xFF

u32 lapic_read(u32 offset);
void lapic_write(u32 offset, u32 value);
// Writes the whole interrupt command; `destination` is an APIC ID. Waits until it is sent.
void lapic_command(u32 destination, u32 low);
u32 lapic_id(void);
bool lapic_is_x2apic(void);
bool bit_of_vector(u32 first_register, unsigned vector);
// Enables by the spurious vector register, with every LVT entry masked, the timer stopped, TPR 0; nothing in
// service.
void lapic_reset(void);
