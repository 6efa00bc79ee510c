// EPT violations on device pages, from the exit to the registers: what the instruction gets of a device that
// has not as many bytes as it asks for, which of its operands the processor has not checked, what is run
// again, and what is said when the monitor does not know it. The forms of instructions are test_emulate's.

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>

#define CODE    (2 * MIB)
#define BUFFER  (4 * MIB)
#define IOWIN   (GUEST_IOAPIC_GPA + 0x10)
#define POISON  0xa5a5a5a5a5a5a5a5ull
#define CHECKED 0x180ull // exit qualification: with a linear address, of the access itself
#define CALLED  4096

static struct vcpu *v;

static int setup(void **state)
{
    machine_setup(state);
    ioapic_write(&v->vm->ioapic, 0, 4, 1); // the version: 0x170020
    return 0;
}

// What calls leave on the stack, as bytes that can be known again.
static __attribute__((noinline)) void poison_stack(void)
{
    volatile u8 below[CALLED];
    for (unsigned i = 0; i < sizeof(below); i++)
        below[i] = (u8)POISON;
}

static enum verdict violation(const char *code, unsigned length, u64 gpa)
{
    assert_int_equal(vm_ram_write(v->vm, CODE, code, length), 0);
    vmcs_write(GUEST_RIP, CODE);
    vmcs_write(ENTRY_INTERRUPTION_INFO, 0);
    fake_vmcs_set(GUEST_PHYSICAL_ADDRESS, gpa);
    fake_vmcs_set(EXIT_QUALIFICATION, CHECKED | 1);
    poison_stack();
    return exit_ept_violation(v);
}

#define RUN(code, gpa) violation(code, sizeof(code) - 1, gpa)

static void set(enum gpr reg, u64 value)
{
    *vcpu_reg(v, reg) = value;
}

static void check(enum gpr reg, u64 value)
{
    assert_int_equal(*vcpu_reg(v, reg), value);
}

static void check_fault(unsigned vector)
{
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), BIT(31) | BIT(11) | 3 << 8 | vector);
    assert_int_equal(vmcs_read(GUEST_RIP), CODE);
}

#define CMPXCHG16B      "\x48\x0f\xc7\x0e" // cmpxchg16b [rsi]
#define LOCK_CMPXCHG16B "\xf0" CMPXCHG16B

// It compares with 16 bytes of the device's and none of the monitor's, once: equal or not, it is done.
static void sixteen_bytes(void **state)
{
    (void)state;
    static const u64 pages[] = {GUEST_IOAPIC_GPA, 3 * GIB};
    for (unsigned i = 0; i < 4; i++) {
        u64 gpa = pages[i / 2], now = gpa == GUEST_IOAPIC_GPA ? 0 : ~0ull;
        set(GPR_RSI, gpa);
        set(GPR_RAX, 1);
        set(GPR_RDX, 2);
        assert_int_equal(i % 2 ? RUN(LOCK_CMPXCHG16B, gpa) : RUN(CMPXCHG16B, gpa), VERDICT_NEXT);
        assert_int_equal(v->next_rip, CODE + (i % 2 ? 5 : 4));
        check(GPR_RAX, now);
        check(GPR_RDX, now);
        assert_false(vmcs_read(GUEST_RFLAGS) & BIT(6));
        assert_int_equal(i % 2 ? RUN(LOCK_CMPXCHG16B, gpa) : RUN(CMPXCHG16B, gpa), VERDICT_NEXT);
        assert_true(vmcs_read(GUEST_RFLAGS) & BIT(6)); // ZF: equal now
    }
    set(GPR_RSI, GUEST_IOAPIC_GPA + 8);
    assert_int_equal(RUN(LOCK_CMPXCHG16B, GUEST_IOAPIC_GPA + 8), VERDICT_FAULT);
    check_fault(VECTOR_GP);
}

// LOCK on a register that keeps only some of the bits written. ADD is done once.
static void locked_register(void **state)
{
    (void)state;
    ioapic_write(&v->vm->ioapic, 0, 4, 0); // the ID: only bits 27:24 are kept
    set(GPR_RSI, IOWIN);
    set(GPR_RAX, 0xf1234567);
    assert_int_equal(RUN("\xf0\x01\x06", IOWIN), VERDICT_NEXT); // lock add [rsi], eax
    assert_int_equal(v->next_rip, CODE + 3);
    assert_int_equal(ioapic_read(&v->vm->ioapic, 0x10, 4), 0x01000000);
}

// The processor has checked what MOVS reads, and not where it writes.
static void movs_to_what_is_not_canonical(void **state)
{
    (void)state;
    set(GPR_RSI, IOWIN);
    set(GPR_RDI, 1ull << 48 | BUFFER);
    assert_int_equal(RUN("\xa5", IOWIN), VERDICT_FAULT);
    check_fault(VECTOR_GP);
    check(GPR_RSI, IOWIN);
    set(GPR_RDI, 0x7ffffffffffe);
    assert_int_equal(RUN("\xa5", IOWIN), VERDICT_FAULT);
    check_fault(VECTOR_GP);
    set(GPR_RDI, BUFFER);
    assert_int_equal(RUN("\xa5", IOWIN), VERDICT_NEXT);
    check(GPR_RDI, BUFFER + 4);
    u32 is;
    assert_int_equal(vm_ram_read(v->vm, BUFFER, &is, sizeof(is)), 0);
    assert_int_equal(is, 0x170020);
}

// In 32-bit code: ES ends in the middle of the repetition.
static void movs_past_a_limit(void **state)
{
    (void)state;
    machine_start_32(v);
    vmcs_write(GUEST_ES_BASE, BUFFER);
    vmcs_write(GUEST_ES_LIMIT, 7);
    set(GPR_RSI, GUEST_IOAPIC_GPA);
    set(GPR_RDI, 0);
    set(GPR_RCX, 5);
    assert_int_equal(RUN("\xf3\xa5", GUEST_IOAPIC_GPA), VERDICT_FAULT); // rep movsd
    check_fault(VECTOR_GP);
    check(GPR_RCX, 3);
    check(GPR_RDI, 8);
}

// A write that follows a read is known to work before a device is read: its #PF says W.
static void update_of_what_is_read_only(void **state)
{
    (void)state;
    u64 table[512] = {GUEST_IOAPIC_GPA | 1}, entry = 0x180000 | 7;
    assert_int_equal(vm_ram_write(v->vm, 0x180000, table, sizeof(table)), 0);
    assert_int_equal(vm_ram_write(v->vm, MIB + 2 * PAGE_SIZE + 8 * 3, &entry, 8), 0); // at 6M
    set(GPR_RSI, 6 * MIB);
    assert_int_equal(RUN("\x01\x06", GUEST_IOAPIC_GPA), VERDICT_FAULT); // add [rsi], eax
    check_fault(VECTOR_PF);
    assert_int_equal(vmcs_read(ENTRY_EXCEPTION_ERROR_CODE), 3);
}

// Its tables do not map the code any more: only the processor's TLB did.
static void code_that_is_gone(void **state)
{
    (void)state;
    u64 entry = 0;
    set(GPR_RSI, IOWIN);
    assert_int_equal(vm_ram_write(v->vm, MIB + 2 * PAGE_SIZE + 8, &entry, 8), 0); // at 2M
    assert_int_equal(RUN("\x8b\x06", IOWIN), VERDICT_FAULT);
    check_fault(VECTOR_PF);
    assert_int_equal(fake_cr2, CODE);
}

static void too_long(void **state)
{
    (void)state;
    assert_int_equal(RUN("\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x8b\x06", IOWIN),
                     VERDICT_FAULT);
    check_fault(VECTOR_GP);
}

static void locked_load(void **state)
{
    (void)state;
    assert_int_equal(RUN("\xf0\x8b\x06", IOWIN), VERDICT_FAULT); // lock mov eax, [rsi]
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), BIT(31) | 3 << 8 | VECTOR_UD);
}

// RSP is not among the registers that the exit has saved, but in the VMCS.
static void stack_on_a_device(void **state)
{
    (void)state;
    set(GPR_RSP, BUFFER);
    vmcs_write(GUEST_RSP, IOWIN);
    assert_int_equal(RUN("\x8b\x04\x24", IOWIN), VERDICT_NEXT); // mov eax, [rsp]
    check(GPR_RAX, 0x170020);
    assert_int_equal(vmcs_read(GUEST_RSP), IOWIN);
}

static void unknown(void **state)
{
    (void)state;
    assert_int_equal(RUN("\x0f\x11\x06", IOWIN), VERDICT_STOP); // movups [rsi], xmm0
    assert_string_equal(
        v->vm->end, "the guest touches gpa 0xfec00010 with an instruction that the monitor does not emulate");
}

#define TEST(f) MACHINE_TEST(setup, f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sixteen_bytes),
        TEST(locked_register),
        TEST(movs_to_what_is_not_canonical),
        TEST(movs_past_a_limit),
        TEST(update_of_what_is_read_only),
        TEST(code_that_is_gone),
        TEST(too_long),
        TEST(locked_load),
        TEST(stack_on_a_device),
        TEST(unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
