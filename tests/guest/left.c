// What one guest leaves to the next of a comparison: nothing. The first test finds the processor, the local
// APIC and memory as after a reset, the second leaves dirt everywhere. Not run by default: bare, the firmware
// has been there before. tests/run/left.t runs it under several configurations in one boot.
#include "cpu.h"
#include "lapic.h"

#define DIRTY_GPA 0x2000000ull // RAM that neither the loader nor this kernel uses
#define DIRT      0x123456789ull

// Read and written without an exit, not switched by the VMCS, and 0 before the first guest.
static const u32 msrs[] = {IA32_STAR, IA32_LSTAR, IA32_CSTAR, IA32_KERNEL_GS_BASE, IA32_TSC_AUX};

static bool has_xsave(void)
{
    return cpuid_read(1, 0).ecx >> 26 & 1;
}

static u64 xcr0_read(void)
{
    u32 low, high;
    cr4_write(cr4_read() | CR4_OSXSAVE);
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (u64)high << 32 | low;
}

static u64 xmm0_read(void)
{
    u64 value;
    cr4_write(cr4_read() | CR4_OSFXSR);
    asm volatile("movq %%xmm0, %0" : "=r"(value));
    return value;
}

static void test_clean(void)
{
    expect("DR0", dr0_read(), 0);
    expect("DR1", dr1_read(), 0);
    expect("DR2", dr2_read(), 0);
    expect("DR3", dr3_read(), 0);
    expect("CR2", cr2_read(), 0);
    expect("XMM0", xmm0_read(), 0);
    if (has_xsave())
        expect("XCR0", xcr0_read(), 1);
    for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++)
        expect("an MSR", msr_read(msrs[i]), 0);
    for (unsigned word = 0; word < 8; word++)
        expect("IRR", lapic_read(LAPIC_IRR + 0x10 * word), 0);
    const u64 *memory = (const u64 *)DIRTY_GPA;
    for (unsigned i = 0; i < 4096 / 8; i++)
        expect("memory", memory[i], 0);
}

static void test_dirt(void)
{
    u64 all = has_xsave() ? cpuid_read(0xd, 0).eax : 1;
    dr0_write(DIRT);
    dr1_write(DIRT);
    dr2_write(DIRT);
    dr3_write(DIRT);
    cr2_write(DIRT);
    cr4_write(cr4_read() | CR4_OSFXSR);
    asm volatile("movq %0, %%xmm0" ::"r"(DIRT));
    if (has_xsave()) {
        cr4_write(cr4_read() | CR4_OSXSAVE);
        expect_trap("XSETBV", TRAP("xsetbv", ::"c"(0), "a"((u32)all), "d"(0)), NO_TRAP, 0);
        expect("XCR0", xcr0_read(), all);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++)
        msr_write(msrs[i], 0x77);
    lapic_command(lapic_id(), 0x4041); // fixed, and never delivered: interrupts are off
    lapic_command(lapic_id(), 0x40E5);
    expect("IRR", bit_of_vector(LAPIC_IRR, 0xE5), 1);
    memset((void *)DIRTY_GPA, 0xa5, 4096);
}

static const struct test tests[] = {
    {"clean", test_clean},
    {"dirt", test_dirt},
};
GROUP(group_left, "left", tests, false);
