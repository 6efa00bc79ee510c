// x2APIC mode: entering it, its MSRs, and all interrupt tests again. Bochs cannot leave it, so this group is
// the last of a bare run. Where CPUID does not offer x2APIC the local APIC stays in xAPIC mode and the tests
// of MSRs do nothing. Neighbours: apic.c, interrupts.h, apicbase.c.
#include "cpu.h"
#include "lapic.h"
#include "interrupts.h"

static void test_enter(void)
{
    u64 base = msr_read(IA32_APIC_BASE);
    if (!(cpuid_read(1, 0).ecx >> 21 & 1)) {
        expect_trap("not offered", msr_try_write(IA32_APIC_BASE, base | APIC_BASE_EXTD), GP, 0);
        return;
    }
    u32 id = lapic_id(), version = lapic_read(LAPIC_VERSION);
    u64 disabled = (base & ~APIC_BASE_ENABLE) | APIC_BASE_EXTD;
    expect_trap("EXTD without EN", msr_try_write(IA32_APIC_BASE, disabled), GP, 0);
    msr_write(IA32_APIC_BASE, base | APIC_BASE_EXTD);
    expect("IA32_APIC_BASE", msr_read(IA32_APIC_BASE), base | APIC_BASE_EXTD);
    expect_trap("back to xAPIC", msr_try_write(IA32_APIC_BASE, base), GP, 0);
    expect_trap("EXTD without EN", msr_try_write(IA32_APIC_BASE, disabled), GP, 0);
    expect("ID", lapic_id(), id);
    expect("version", lapic_read(LAPIC_VERSION), version);
    expect("SVR is kept", lapic_read(LAPIC_SVR), 0x100 | LAPIC_SPURIOUS);
}

static void test_registers(void)
{
    if (!lapic_is_x2apic())
        return;
    // LDR (80DH) is not compared: Bochs 2.7 gives 0 instead of what the SDM derives from the ID.
    expect_trap("LDR", msr_try_read(0x80D), NO_TRAP, 0);
    lapic_write(LAPIC_TPR, 0x30);
    expect("TPR", cr8_read(), 3);
    lapic_write(LAPIC_TPR, 0);
    lapic_write(LAPIC_LVT_ERROR, 0x10057);
    expect("LVT error", lapic_read(LAPIC_LVT_ERROR), 0x10057);
    lapic_write(LAPIC_TIMER_DIVIDE, 0xB);
    expect("divide", lapic_read(LAPIC_TIMER_DIVIDE), 0xB);
    lapic_reset();
}

static void test_illegal(void)
{
    static const struct {
        const char *what;
        u32 msr;
        u64 value;
    } writes[] = {
        {"ID", 0x802, 0},           {"version", 0x803, 0},   {"PPR", 0x80A, 0},
        {"EOI of 1", 0x80B, 1},     {"LDR", 0x80D, 0},       {"DFR", 0x80E, 0},
        {"ISR", 0x810, 0},          {"IRR", 0x820, 0},       {"ESR of 1", 0x828, 1},
        {"ICR high", 0x831, 0},     {"current", 0x839, 0},   {"gap", 0x840, 0},
        {"TPR of 100", 0x808, 256}, {"SVR", 0x80F, BIT(16)}, {"TPR high", 0x808, BIT(32)},
    };
    static const u16 unreadable[] = {0x80B, 0x80E, 0x831, 0x83F, 0x840, 0x8FF};
    if (!lapic_is_x2apic())
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(writes); i++)
        expect_trap(writes[i].what, msr_try_write(writes[i].msr, writes[i].value), GP, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(unreadable); i++)
        expect_trap("unreadable", msr_try_read(unreadable[i]), GP, 0);
    lapic_reset(); // where no fault came, as under KVM, SVR has disabled it
}

static void test_self_msr(void)
{
    if (!lapic_is_x2apic())
        return;
    irq_catch(0x99);
    msr_write(0x83F, 0x99);
    expect("pending", bit_of_vector(LAPIC_IRR, 0x99), 1);
    irq_window();
    expect("taken", irq_count[0x99], 1);
}

#define X(name) {#name, test_##name},
static const struct test tests[] = {{"enter", test_enter},
                                    {"registers", test_registers},
                                    {"illegal", test_illegal},
                                    {"self_msr", test_self_msr},
                                    INTERRUPT_TESTS(X)};
#undef X
GROUP(group_x2apic, "x2apic", tests, true);
