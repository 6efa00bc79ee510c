// Access to the local APIC in both of its modes; no tests. The mode is read from IA32_APIC_BASE each time, so
// that a test may switch it. Neighbours: apic.c, interrupts.c, hlt.c.
#include "cpu.h"
#include "lapic.h"

bool lapic_is_x2apic(void)
{
    return msr_read(IA32_APIC_BASE) & APIC_BASE_EXTD;
}

u32 lapic_read(u32 offset)
{
    if (lapic_is_x2apic())
        return (u32)msr_read(0x800 + offset / 16);
    return *(volatile u32 *)(LAPIC_GPA + offset);
}

void lapic_write(u32 offset, u32 value)
{
    if (lapic_is_x2apic())
        msr_write(0x800 + offset / 16, value);
    else
        *(volatile u32 *)(LAPIC_GPA + offset) = value;
}

void lapic_command(u32 destination, u32 low)
{
    if (lapic_is_x2apic()) {
        msr_write(0x800 + LAPIC_ICR / 16, (u64)destination << 32 | low);
        return;
    }
    lapic_write(LAPIC_ICR_HIGH, destination << 24);
    lapic_write(LAPIC_ICR, low);
    for (unsigned i = 0; i < 1000 && lapic_read(LAPIC_ICR) & BIT(12); i++)
        asm volatile("pause");
}

u32 lapic_id(void)
{
    return lapic_is_x2apic() ? lapic_read(LAPIC_ID) : lapic_read(LAPIC_ID) >> 24;
}

bool bit_of_vector(u32 first_register, unsigned vector)
{
    return lapic_read(first_register + vector / 32 * 16) >> vector % 32 & 1;
}

void lapic_reset(void)
{
    static const u16 lvts[] = {LAPIC_LVT_TIMER, LAPIC_LVT_LINT0, LAPIC_LVT_LINT1, LAPIC_LVT_ERROR};
    lapic_write(LAPIC_SVR, 0x100 | LAPIC_SPURIOUS);
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(lvts); i++)
        lapic_write(lvts[i], LVT_MASKED | LAPIC_SPURIOUS);
    lapic_write(LAPIC_TPR, 0);
    for (unsigned i = 0; i < 256; i++)
        lapic_write(LAPIC_EOI, 0);
}
