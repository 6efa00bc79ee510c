// The guest's view of its local APIC: the transitions of IA32_APIC_BASE, what answers at its page and at its
// MSRs in each mode, reset, interrupts of devices; on a machine in xAPIC mode and on one that stays in x2APIC
// mode.

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>

#include "hv/devices/apic.h"

#define OFF    0ul
#define XAPIC  APIC_BASE_ENABLE
#define X2APIC (APIC_BASE_ENABLE | APIC_BASE_X2APIC)
#define BASE   (0xfee00000ul | APIC_BASE_BSP)
#define MSR(r) (IA32_X2APIC_FIRST + (r) / 16)

#define REG_ID       0x20
#define REG_TPR      0x80
#define REG_EOI      0xb0
#define REG_LDR      0xd0
#define REG_DFR      0xe0
#define REG_SVR      0xf0
#define REG_ESR      0x280
#define REG_ICR      0x300
#define REG_ICR_HIGH 0x310
#define REG_TIMER    0x320
#define REG_LINT0    0x350
#define ICR_SELF     (1u << 18)

static struct vcpu *v;

static void make(unsigned flags)
{
    v = machine_make(MACHINE_UNRESTRICTED | flags);
    machine_start_64(v);
}

static u32 *page(u32 offset)
{
    return phys_ptr(0xfee00000 + offset);
}

static enum p2m_type page_type(void)
{
    return p2m_lookup(&v->vm->p2m, gpa_gfn(0xfee00000)).type;
}

static bool msr_exits(u32 msr, bool write)
{
    const u8 *bitmap = phys_ptr(v->vm->msr_bitmap_hpa);
    return bitmap[(write ? 2048 : 0) + msr / 8] >> msr % 8 & 1;
}

static void check_mode(u64 mode, bool hardware_x2apic)
{
    static const enum p2m_type xapic_page[] = {P2M_DIRECT, P2M_DEVICE};
    assert_int_equal(apic_base_read(v), BASE | mode);
    assert_int_equal(page_type(), mode == XAPIC ? xapic_page[hardware_x2apic] : P2M_HOLE);
    for (u32 msr = IA32_X2APIC_FIRST; msr <= IA32_X2APIC_LAST; msr++) {
        assert_int_equal(msr_exits(msr, false), mode != X2APIC);
        assert_int_equal(msr_exits(msr, true), mode != X2APIC);
    }
    assert_true(msr_exits(IA32_APIC_BASE, true));
}

// SDM vol. 3, figure 11-27.
static bool legal(u64 from, u64 to)
{
    if (to == APIC_BASE_X2APIC) // the invalid state
        return false;
    return !(from == OFF && to == X2APIC) && !(from == X2APIC && to == XAPIC);
}

// Random walks over the states, on both kinds of machine. The real local APIC never goes down again: once
// disabled it need not come back.
static void transitions(void **state)
{
    (void)state;
    random_start();
    for (unsigned flags = 0; flags <= MACHINE_X2APIC; flags += MACHINE_X2APIC) {
        make(flags);
        u64 mode = XAPIC;
        check_mode(mode, flags);
        for (unsigned i = 0; i < 300; i++) {
            static const u64 modes[] = {OFF, XAPIC, X2APIC, APIC_BASE_X2APIC};
            u64 to = modes[random_below(4)];
            u64 machine = fake_msr(IA32_APIC_BASE) & X2APIC;
            fake_msr_write_count = 0;
            assert_int_equal(apic_base_write(v, BASE | to), legal(mode, to));
            mode = legal(mode, to) ? to : mode;
            check_mode(mode, v->vm->apic.hardware_x2apic);
            assert_int_equal(fake_msr(IA32_APIC_BASE) & X2APIC, mode == X2APIC ? X2APIC : machine);
        }
        machine_gone();
    }
}

// The drain (hv/drain.c) wants it open, and nothing in service.
static void open_and_closed(void **state)
{
    (void)state;
    struct apic apic;
    make(0);
    *page(REG_TPR) = 0xf0;
    *page(REG_ID) = 5u << 24;
    apic_init(&apic, 7);
    assert_int_equal(*page(REG_ID), 7u << 24);
    assert_int_equal(*page(REG_TPR), 0);
    assert_int_equal(*page(REG_SVR), 0xff);
    apic_accept(&apic, true);
    assert_int_equal(*page(REG_SVR), 0x1ff);
    *page(REG_EOI) = 1;
    apic_end_service(&apic);
    assert_int_equal(*page(REG_EOI), 0);
    apic_accept(&apic, false);
    assert_int_equal(*page(REG_SVR), 0xff);
    machine_gone();
}

static void reserved_bits(void **state)
{
    (void)state;
    make(0);
    assert_false(apic_base_write(v, BASE | XAPIC | BIT(9)));
    assert_false(apic_base_write(v, BASE | XAPIC | BIT(0)));
    assert_false(apic_base_write(v, BASE | XAPIC | BIT(52)));
    assert_false(apic_base_write(v, (BASE | XAPIC) + PAGE_SIZE)); // this monitor does not move the page
    assert_true(apic_base_write(v, (BASE | XAPIC) & ~APIC_BASE_BSP));
    v->vm->cpuid.has[CPUID_X2APIC] = false;
    assert_false(apic_base_write(v, BASE | X2APIC));
    machine_gone();
}

// Disabled and enabled again, the registers are as after reset (SDM vol. 3, 11.4.3 and 11.4.7.1).
static void disabling_resets(void **state)
{
    (void)state;
    make(0);
    *page(REG_SVR) = 0x1ff;
    *page(REG_TPR) = 0x20;
    *page(REG_TIMER) = 0x20030;
    *page(REG_LINT0) = 0x700;
    *page(0x380) = 1000;
    assert_true(apic_base_write(v, BASE | OFF));
    assert_true(apic_base_write(v, BASE | XAPIC));
    assert_int_equal(*page(REG_SVR), 0xff);
    assert_int_equal(*page(REG_TPR), 0);
    assert_int_equal(*page(REG_TIMER), 0x10000);
    assert_int_equal(*page(REG_LINT0), 0x10000);
    assert_int_equal(*page(0x380), 0);
    assert_int_equal(*page(REG_LDR), 0);
    assert_int_equal(*page(REG_DFR), 0xffffffff);
    machine_gone();
}

static void device_interrupts(void **state)
{
    (void)state;
    make(0);
    apic_raise(&v->vm->apic, 0x31);
    assert_int_equal(*page(REG_ICR), ICR_SELF | 0x31);
    assert_true(apic_base_write(v, BASE | X2APIC));
    apic_raise(&v->vm->apic, 0x32);
    assert_int_equal(fake_msr(MSR(REG_ICR)), ICR_SELF | 0x32);
    assert_int_equal(*page(REG_ICR), ICR_SELF | 0x31);
    machine_gone();
}

// The page where hardware has only MSRs: what exists as an MSR goes there, the rest is kept here.
static void page_over_x2apic(void **state)
{
    (void)state;
    make(MACHINE_X2APIC);
    assert_int_equal(apic_page_read(v, 0x20), 7u << 24);
    apic_page_write(v, 0x20, 0); // read-only
    assert_int_equal(apic_page_read(v, 0x20), 7u << 24);
    assert_int_equal(apic_page_read(v, REG_DFR), 0xffffffff);
    apic_page_write(v, REG_LDR, 0x01abcdef);
    assert_int_equal(apic_page_read(v, REG_LDR), 0x01000000);
    apic_page_write(v, REG_DFR, 0x0fffffff);
    assert_int_equal(apic_page_read(v, REG_DFR), 0x0fffffff);
    apic_page_write(v, REG_TPR, 0x20);
    assert_int_equal(fake_msr(MSR(REG_TPR)), 0x20);
    assert_int_equal(apic_page_read(v, REG_TPR), 0x20);
    // Destination 3 in bits 63:56 of the xAPIC's two registers, in bits 63:32 of the MSR.
    apic_page_write(v, REG_ICR_HIGH, 3u << 24);
    assert_int_equal(apic_page_read(v, REG_ICR_HIGH), 3u << 24);
    apic_page_write(v, REG_ICR, 0x4031);
    assert_int_equal(fake_msr(MSR(REG_ICR)), 3ul << 32 | 0x4031);
    assert_int_equal(apic_page_read(v, REG_ICR), 0x4031);
    assert_int_equal(apic_page_read(v, 0x3f0 + 0x10 * 8), 0); // no such register
    machine_gone();
}

// SDM vol. 3, 11.12.1.2: in x2APIC mode EOI and ESR take only zero.
static bool x2apic_refuses(u32 msr, u64 value)
{
    return (msr == MSR(REG_EOI) || msr == MSR(REG_ESR)) && value;
}

// Where the page takes any value (11.8.5, 11.5.3), so must the model of it.
static void page_over_x2apic_takes_any_eoi(void **state)
{
    (void)state;
    static const u32 registers[] = {REG_EOI, REG_ESR};
    make(MACHINE_X2APIC);
    fake_msr_refuses = x2apic_refuses;
    for (size_t i = 0; i < ARRAY_SIZE(registers); i++) {
        for (u32 value = 0; value < 3; value++) {
            fake_msr_write_count = 0;
            apic_page_write(v, registers[i], value);
            assert_int_equal(fake_msr_write_count, 1);
            assert_int_equal(fake_msr_writes[0].msr, MSR(registers[i]));
        }
    }
    machine_gone();
}

// A machine in x2APIC mode that lets itself be put back is.
static void back_to_xapic(void **state)
{
    (void)state;
    make(MACHINE_X2APIC);
    assert_true(v->vm->apic.hardware_x2apic);
    fake_msr_refuses = NULL;
    struct apic apic;
    assert_null(apic_missing());
    apic_init(&apic, 7);
    assert_false(apic.hardware_x2apic);
    assert_int_equal(fake_msr(IA32_APIC_BASE) & X2APIC, XAPIC);
    assert_int_equal(apic.id, 7);
    fake_msr_set(IA32_APIC_BASE, BASE | X2APIC); // but not in an emulator
    fake_counts_instructions = true;
    fake_msr_write_count = 0;
    apic_init(&apic, 7);
    assert_true(apic.hardware_x2apic);
    assert_int_equal(fake_msr(IA32_APIC_BASE) & X2APIC, X2APIC);
    machine_gone();
}

static void refusals(void **state)
{
    (void)state;
    make(0);

    fake_msr_set(IA32_APIC_BASE, BASE);
    assert_non_null(strstr(apic_missing(), "disabled"));
    fake_msr_set(IA32_APIC_BASE, (BASE | XAPIC) + PAGE_SIZE);
    assert_non_null(strstr(apic_missing(), "0xfee00000"));
    machine_gone();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transitions),
        cmocka_unit_test(open_and_closed),
        cmocka_unit_test(reserved_bits),
        cmocka_unit_test(disabling_resets),
        cmocka_unit_test(device_interrupts),
        cmocka_unit_test(page_over_x2apic),
        cmocka_unit_test(page_over_x2apic_takes_any_eoi),
        cmocka_unit_test(back_to_xapic),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
