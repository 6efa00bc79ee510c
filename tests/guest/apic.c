// Registers of the local APIC in xAPIC mode. Leaving and entering modes is x2apic.c and (monitor only)
// apicbase.c; interrupts are interrupts.c.
#include "cpu.h"
#include "lapic.h"

static void test_identity(void)
{
    u32 version = lapic_read(LAPIC_VERSION);
    if ((version & 0xFF) < 0x10 || (version & 0xFF) > 0x15)
        fail("version: expected 10..15, got %x", version);
    if ((version >> 16 & 0xFF) < 4 || (version >> 16 & 0xFF) > 6)
        fail("maximum LVT: expected 4..6, got %u", version >> 16 & 0xFF);
    expect("ID", lapic_read(LAPIC_ID) >> 24, cpuid_read(1, 0).ebx >> 24);
    expect("SVR", lapic_read(LAPIC_SVR), 0x100 | LAPIC_SPURIOUS);
}

static void test_round_trips(void)
{
    static const struct {
        u16 offset;
        u32 write, read;
    } rows[] = {
        {LAPIC_TPR, 0x5A, 0x5A},
        {LAPIC_TPR, 0xFFFFFF00, 0},
        {LAPIC_LDR, 0x02FFFFFF, 0x02000000},
        {LAPIC_LDR, 0, 0},
        {LAPIC_DFR, 0x0FFFFFFF, 0x0FFFFFFF},
        {LAPIC_DFR, 0xFFFFFFFF, 0xFFFFFFFF},
        {LAPIC_LVT_TIMER, 0x10055, 0x10055},
        {LAPIC_LVT_LINT0, 0x10700, 0x10700},
        {LAPIC_LVT_LINT1, 0x10400, 0x10400},
        {LAPIC_LVT_ERROR, 0x10056, 0x10056},
        {LAPIC_TIMER_DIVIDE, 0xB, 0xB},
        {LAPIC_TIMER_DIVIDE, 0x3, 0x3},
        {LAPIC_ICR_HIGH, 0x05000000, 0x05000000},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        lapic_write(rows[i].offset, rows[i].write);
        if (lapic_read(rows[i].offset) != rows[i].read)
            fail("register %x: expected %x, got %x", rows[i].offset, rows[i].read,
                 lapic_read(rows[i].offset));
    }
    lapic_reset();
}

static void test_read_only(void)
{
    u32 version = lapic_read(LAPIC_VERSION);
    lapic_write(LAPIC_VERSION, ~version);
    expect("version", lapic_read(LAPIC_VERSION), version);
    lapic_write(LAPIC_TIMER_CURRENT, 5);
    expect("current count", lapic_read(LAPIC_TIMER_CURRENT), 0);
}

// A software-disabled local APIC masks its LVT entries and takes nothing (SDM 3A 10.4.7.2).
static void test_software_disable(void)
{
    irq_catch(0x49);
    lapic_write(LAPIC_LVT_TIMER, 0x49);
    lapic_write(LAPIC_SVR, LAPIC_SPURIOUS);
    expect("LVT masked", lapic_read(LAPIC_LVT_TIMER) & LVT_MASKED, LVT_MASKED);
    lapic_write(LAPIC_LVT_TIMER, 0x49);
    expect("LVT cannot be unmasked", lapic_read(LAPIC_LVT_TIMER) & LVT_MASKED, LVT_MASKED);
    lapic_write(LAPIC_SVR, 0x100 | LAPIC_SPURIOUS);
    lapic_command(lapic_id(), 0x4049);
    irq_window();
    expect("enabled again", irq_count[0x49], 1);
    lapic_reset();
}

// In xAPIC mode the x2APIC MSRs give #GP.
static void test_msrs_closed(void)
{
    expect_trap("read 802", msr_try_read(0x802), GP, 0);
    expect_trap("read 808", msr_try_read(0x808), GP, 0);
    expect_trap("write 80B", msr_try_write(0x80B, 0), GP, 0);
    expect_trap("write 830", msr_try_write(0x830, 0x40055), GP, 0);
    expect_trap("write 83F", msr_try_write(0x83F, 0x55), GP, 0);
}

static const struct test tests[] = {
    {"identity", test_identity},       {"round_trips", test_round_trips},
    {"read_only", test_read_only},     {"software_disable", test_software_disable},
    {"msrs_closed", test_msrs_closed},
};
GROUP(group_apic, "apic", tests, true);
