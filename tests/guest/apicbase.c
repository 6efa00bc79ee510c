// Disabling the local APIC by IA32_APIC_BASE and coming back, through every legal change of mode, twice. Not
// run by default: bare Bochs cannot enable the local APIC again. On hardware, and under the monitor, it must
// pass. Neighbours: x2apic.c (must not have run before), apic.c.
#include "cpu.h"
#include "lapic.h"

static void expect_works(const char *what)
{
    lapic_reset();
    irq_catch(0x4B);
    lapic_command(lapic_id(), 0x404B);
    irq_window();
    expect(what, irq_count[0x4B], 1);
}

static void set_base(u64 bits)
{
    u64 value = LAPIC_GPA | APIC_BASE_BSP | bits;
    msr_write(IA32_APIC_BASE, value);
    expect("IA32_APIC_BASE", msr_read(IA32_APIC_BASE), value);
    expect("CPUID.APIC", cpuid_read(1, 0).edx >> 9 & 1, !!(bits & APIC_BASE_ENABLE));
}

static void test_disable(void)
{
    for (unsigned i = 0; i < 2; i++) {
        set_base(0);
        expect_trap("EXTD from disabled",
                    msr_try_write(IA32_APIC_BASE, LAPIC_GPA | APIC_BASE_BSP | APIC_BASE_EXTD), GP, 0);
        set_base(APIC_BASE_ENABLE);
        expect_works("after enabling");
    }
}

static void test_modes(void)
{
    if (!(cpuid_read(1, 0).ecx >> 21 & 1))
        return;
    for (unsigned i = 0; i < 2; i++) {
        set_base(APIC_BASE_ENABLE | APIC_BASE_EXTD);
        expect_works("x2APIC");
        expect_trap("to xAPIC", msr_try_write(IA32_APIC_BASE, LAPIC_GPA | APIC_BASE_BSP | APIC_BASE_ENABLE),
                    GP, 0);
        set_base(0);
        expect_trap(
            "from disabled to x2APIC",
            msr_try_write(IA32_APIC_BASE, LAPIC_GPA | APIC_BASE_BSP | APIC_BASE_ENABLE | APIC_BASE_EXTD), GP,
            0);
        set_base(APIC_BASE_ENABLE);
        expect_works("xAPIC");
    }
}

static const struct test tests[] = {
    {"disable", test_disable},
    {"modes", test_modes},
};
GROUP(group_apicbase, "apicbase", tests, false);
