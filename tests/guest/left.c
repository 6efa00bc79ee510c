// What one guest leaves to the next of a comparison: nothing. The first tests find the processor, the local
// APIC and memory as after a reset, the next leaves dirt everywhere, the last one also where the runner would
// clean up, and ends the guest itself: with interrupts pending and in service, in x2APIC mode; or by an INIT.
// Not run by default: bare, the firmware has been there before. tests/run/left.t runs it under several
// configurations in one boot.
#include "cpu.h"
#include "lapic.h"

#define DIRTY_GPA 0x2000000ull // RAM that neither the loader nor this kernel uses
#define DIRT      0x123456789ull

// Read and written without an exit, not switched by the VMCS, and 0 before the first guest.
static const u32 msrs[] = {IA32_STAR, IA32_LSTAR, IA32_CSTAR, IA32_KERNEL_GS_BASE, IA32_TSC_AUX};

// The same, but not on every processor.
static const u32 optional_msrs[] = {IA32_TSC_ADJUST,   IA32_SPEC_CTRL,    IA32_TSC_DEADLINE, IA32_SYSENTER_CS,
                                    IA32_SYSENTER_ESP, IA32_SYSENTER_EIP, IA32_DEBUGCTL};

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

static void clean_processor(void)
{
    expect("CR0", cr0_read() & (CR0_CD | CR0_NW), 0);
    expect("CR8", cr8_read(), 0);
    expect("DR7", dr7_read(), 0x400);
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
    for (unsigned i = 0; i < ARRAY_SIZE(optional_msrs); i++) {
        if (msr_try_read(optional_msrs[i]).vector == NO_TRAP)
            expect("an MSR that is there", msr_read(optional_msrs[i]), 0);
    }
    if (cpuid7_ecx() & BIT(3)) {
        cr4_write(cr4_read() | CR4_PKE);
        u32 pkru, high;
        asm volatile("rdpkru" : "=a"(pkru), "=d"(high) : "c"(0));
        expect("PKRU", pkru, 0);
    }
}

// What interrupts could come finds the runner's local APIC open.
static void clean_lapic(void)
{
    expect("IA32_APIC_BASE", msr_read(IA32_APIC_BASE), LAPIC_GPA | APIC_BASE_BSP | APIC_BASE_ENABLE);
    expect("local APIC ID", lapic_id(), cpuid_read(1, 0).ebx >> 24);
    expect("divide", lapic_read(LAPIC_TIMER_DIVIDE), 0);
    expect("timer", lapic_read(LAPIC_TIMER_CURRENT), 0);
    expect("LDR", lapic_read(LAPIC_LDR), 0);
    expect("DFR", lapic_read(LAPIC_DFR), 0xFFFFFFFF);
    for (unsigned word = 0; word < 8; word++)
        expect("ISR", lapic_read(LAPIC_ISR + 0x10 * word), 0);
    for (unsigned word = 0; word < 8; word++)
        expect("IRR", lapic_read(LAPIC_IRR + 0x10 * word), 0);
    irq_window();
    expect("interrupts", irq_logged, 0);
}

static void clean_memory(void)
{
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
    if (cpuid7_ebx() & BIT(1))
        msr_write(IA32_TSC_ADJUST, DIRT);
    for (unsigned i = 0; i < ARRAY_SIZE(optional_msrs); i++) {
        struct trap t = msr_try_write(optional_msrs[i], 1); // the TSC too: IA32_TSC_ADJUST goes with it
        (void)t;
    }
    msr_write(IA32_TSC, DIRT);
}

static bool ends_by_init;

// In service from here on.
static void end_in_service(struct regs *r)
{
    (void)r;
    if (ends_by_init)
        lapic_command(lapic_id(), 0x4500);
    outb(0xF4, 0);
}

static void leave_pending(void)
{
    static const u8 vectors[] = {0x10, 0x12, 0x1f, 0x20, 0x41, 0xe5};
    for (unsigned i = 0; i < ARRAY_SIZE(vectors); i++)
        lapic_command(lapic_id(), 0x4000u | vectors[i]);
    expect("IRR", lapic_read(LAPIC_IRR), BIT(0x10) | BIT(0x12) | BIT(0x1f));
}

static void leave_lapic(void)
{
    lapic_write(LAPIC_ID, 5u << 24); // read-only in some processors
    lapic_write(LAPIC_LDR, 0x5A000000);
    lapic_write(LAPIC_DFR, 0x0FFFFFFF);
    lapic_write(LAPIC_TIMER_DIVIDE, 0xB);
    lapic_write(LAPIC_LVT_TIMER, LVT_TIMER_PERIODIC | 0x33);
    lapic_write(LAPIC_TIMER_INITIAL, 100);
    lapic_write(LAPIC_LVT_LINT0, 0x700);
    lapic_write(LAPIC_LVT_LINT1, 0x400);
    if (cpuid_read(1, 0).ecx >> 21 & 1)
        msr_write(IA32_APIC_BASE, msr_read(IA32_APIC_BASE) | APIC_BASE_EXTD);
}

static void end(void)
{
    leave_lapic();
    leave_pending();
    dr7_write(0x7ff);
    dr6_write(0);
    cr0_write(cr0_read() | CR0_CD | CR0_NW);
    uart_drain();
    trap_hook(0xF1, end_in_service);
    lapic_command(lapic_id(), 0x40F1);
    irq_window();
    fail("the interrupt did not come");
}

static void end_by_init(void)
{
    ends_by_init = true;
    end();
}

#define TESTS(last)                                                                                     \
    {"clean_processor", clean_processor}, {"clean_lapic", clean_lapic}, {"clean_memory", clean_memory}, \
        {"dirt", test_dirt},                                                                            \
    {                                                                                                   \
        "end", last                                                                                     \
    }

static const struct test tests[] = {TESTS(end)};
GROUP(group_left, "left", tests, false);
static const struct test init_tests[] = {TESTS(end_by_init)};
GROUP(group_left_init, "leftinit", init_tests, false);
