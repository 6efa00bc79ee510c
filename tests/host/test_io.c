// IN, OUT, INS and OUTS as the exit handler completes them: sizes, segments, address sizes, directions,
// repetition, and page faults in the middle. The UART's scratch register and its transmitter are the device
// behind.

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>

#include "hv/devices/devices.h"
#include "hv/vcpu/due.h"

#define SCRATCH     0x3ff
#define TRANSMIT    0x3f8
#define LINE_STATUS 0x3fd
#define SLEEP_STATE 0x601 // reads as zeros
#define NOBODY      0x1234

#define Q_IN       BIT(3)
#define Q_STRING   BIT(4)
#define Q_REP      BIT(5)
#define Q_PORT(p)  ((u64)(p) << 16)
#define ADDRESS(n) ((u64)(n) << 7) // 0: 16 bits, 1: 32, 2: 64
#define SEGMENT(n) ((u64)(n) << 15)
enum { ES, CS, SS, DS, FS, GS };

#define BUFFER     (4 * MIB)
#define RFLAGS_DF  BIT(10)
#define ABSENT_GVA (5 * GIB) // beyond the guest's tables

static struct vcpu *v;

static enum verdict io(u64 qualification, u64 info)
{
    fake_vmcs_set(EXIT_QUALIFICATION, qualification);
    fake_vmcs_set(EXIT_INSTRUCTION_INFO, info);
    enum verdict verdict = exit_io(v);
    fake_entry_check();
    return verdict;
}

static void ram_set(u64 gpa, const void *bytes, u64 count)
{
    assert_int_equal(vm_ram_write(v->vm, gpa, bytes, count), 0);
}

static void ram_check(u64 gpa, const void *bytes, u64 count)
{
    u8 is[64];
    assert_true(count <= sizeof(is));
    assert_int_equal(vm_ram_read(v->vm, gpa, is, count), 0);
    assert_memory_equal(is, bytes, count);
}

// IN changes AL or AX only, but EAX clears the upper half. OUT takes as many bytes.
static void sizes(void **state)
{
    (void)state;
    static const u64 after[] = {0x11223344556677ff, 0x112233445566ffff, 0, 0xffffffff};
    for (unsigned bytes = 1; bytes <= 4; bytes *= 2) {
        *vcpu_reg(v, GPR_RAX) = 0x1122334455667788;
        assert_int_equal(io((bytes - 1) | Q_IN | Q_PORT(NOBODY), 0), VERDICT_SKIP);
        assert_int_equal(*vcpu_reg(v, GPR_RAX), after[bytes - 1]);
    }
    *vcpu_reg(v, GPR_RAX) = 0xabcdef12345678a5;
    assert_int_equal(io(Q_PORT(SCRATCH), 0), VERDICT_SKIP);
    *vcpu_reg(v, GPR_RAX) = 0;
    assert_int_equal(io(Q_IN | Q_PORT(SCRATCH), 0), VERDICT_SKIP);
    assert_int_equal(*vcpu_reg(v, GPR_RAX), 0xa5);
    // A word at the last register of the UART: the second byte is nobody's.
    assert_int_equal(io(1 | Q_IN | Q_PORT(SCRATCH), 0), VERDICT_SKIP);
    assert_int_equal(*vcpu_reg(v, GPR_RAX), 0xffa5);
    *vcpu_reg(v, GPR_RAX) = 0x123456789;
    assert_int_equal(io(3 | Q_IN | Q_PORT(SLEEP_STATE), 0), VERDICT_SKIP);
    assert_int_equal(*vcpu_reg(v, GPR_RAX), 0);
}

static void a_write_can_end_the_guest(void **state)
{
    (void)state;
    *vcpu_reg(v, GPR_RAX) = 42;
    assert_int_equal(io(3 | Q_PORT(0xf4), 0), VERDICT_STOP);
    assert_int_equal(v->vm->status, 42);
    assert_string_equal(v->vm->end, "guest ended with status 42");
    ram_set(BUFFER, "\x01\x02", 2);
    *vcpu_reg(v, GPR_RSI) = BUFFER;
    *vcpu_reg(v, GPR_RCX) = 2;
    assert_int_equal(io(Q_STRING | Q_REP | Q_PORT(0xf4), ADDRESS(2) | SEGMENT(DS)), VERDICT_STOP);
    assert_int_equal(v->vm->status, 1); // the first of the two
}

static void outs_repeated(void **state)
{
    (void)state;
    ram_set(BUFFER - 3, "hello, world", 12);
    *vcpu_reg(v, GPR_RSI) = BUFFER - 3;
    *vcpu_reg(v, GPR_RCX) = 12;
    assert_int_equal(io(Q_STRING | Q_REP | Q_PORT(TRANSMIT), ADDRESS(2) | SEGMENT(DS)), VERDICT_SKIP);
    assert_int_equal(machine_uart_count, 12);
    assert_memory_equal(machine_uart, "hello, world", 12);
    assert_int_equal(*vcpu_reg(v, GPR_RSI), BUFFER + 9);
    assert_int_equal(*vcpu_reg(v, GPR_RCX), 0);
}

// A guest that waits for its serial port sleeps: the port is looked at when it is due, and at each access.
static void serial_port_is_slow(void **state)
{
    (void)state;
    u64 hz = v->vm->tsc_hz = 7000000, wait = hz / DUE_SENDS_PER_SECOND;
    machine_caps.pin.may |= PIN_PREEMPTION_TIMER;
    machine_caps.exit.may |= EXIT_SAVE_PREEMPTION_TIMER;
    due_set(v, fake_tsc);
    for (unsigned i = 0; i < 2; i++) { // the second one is not told of
        machine_uart_busy = true;
        assert_int_equal(io(Q_PORT(TRANSMIT), 0), VERDICT_SKIP);
        assert_int_equal(io(Q_PORT(TRANSMIT), 0), VERDICT_SKIP);
        assert_int_equal(machine_uart_count, 2 * (i + 1));
        assert_in_range(v->due_from + v->due_after - fake_tsc, wait / 2, wait);
        assert_in_range(vmcs_read(PREEMPTION_TIMER) << (machine_caps.misc & 0x1f), wait, wait + 64);
        devices_due(v);
        assert_true(v->sending);
        io(Q_IN | Q_PORT(LINE_STATUS), 0);
        assert_int_equal(*vcpu_reg(v, GPR_RAX) & 0x60, 0);
        machine_uart_busy = false;
        if (i == 0)
            devices_due(v);
        io(Q_IN | Q_PORT(LINE_STATUS), 0);
        assert_int_equal(*vcpu_reg(v, GPR_RAX) & 0x60, 0x60);
        assert_false(v->sending);
    }
    machine_uart_busy = true;
    machine_caps.pin.may &= ~PIN_PREEMPTION_TIMER; // nothing would wake it
    io(Q_PORT(TRANSMIT), 0);
    io(Q_IN | Q_PORT(LINE_STATUS), 0);
    assert_int_equal(*vcpu_reg(v, GPR_RAX) & 0x60, 0x60);
    machine_uart_busy = false;
}

static void outs_backwards(void **state)
{
    (void)state;
    ram_set(BUFFER, "abc", 3);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_DF);
    *vcpu_reg(v, GPR_RSI) = BUFFER + 2;
    *vcpu_reg(v, GPR_RCX) = 3;
    assert_int_equal(io(Q_STRING | Q_REP | Q_PORT(TRANSMIT), ADDRESS(2) | SEGMENT(DS)), VERDICT_SKIP);
    assert_memory_equal(machine_uart, "cba", 3);
    assert_int_equal(*vcpu_reg(v, GPR_RSI), BUFFER - 1);
}

// Without REP RCX does not count and does not change.
static void ins_once(void **state)
{
    (void)state;
    *vcpu_reg(v, GPR_RAX) = 0x5a;
    io(Q_PORT(SCRATCH), 0);
    ram_set(BUFFER, "\0\0\0\0\0", 5);
    *vcpu_reg(v, GPR_RDI) = BUFFER;
    *vcpu_reg(v, GPR_RCX) = 0;
    assert_int_equal(io(1 | Q_IN | Q_STRING | Q_PORT(SCRATCH), ADDRESS(2)), VERDICT_SKIP);
    ram_check(BUFFER, "\x5a\xff\0", 3);
    assert_int_equal(*vcpu_reg(v, GPR_RDI), BUFFER + 2);
    assert_int_equal(*vcpu_reg(v, GPR_RCX), 0);
    assert_int_equal(io(3 | Q_IN | Q_STRING | Q_PORT(NOBODY), ADDRESS(2)), VERDICT_SKIP);
    ram_check(BUFFER, "\x5a\xff\xff\xff\xff\xff", 6);
}

// 67H in 64-bit code: 32-bit registers, whose upper halves are cleared.
static void address_size_32_in_64bit_code(void **state)
{
    (void)state;
    ram_set(BUFFER, "xy", 2);
    *vcpu_reg(v, GPR_RSI) = 0xdead00000000 | BUFFER;
    *vcpu_reg(v, GPR_RCX) = 0xbeef00000002;
    assert_int_equal(io(Q_STRING | Q_REP | Q_PORT(TRANSMIT), ADDRESS(1) | SEGMENT(DS)), VERDICT_SKIP);
    assert_memory_equal(machine_uart, "xy", 2);
    assert_int_equal(*vcpu_reg(v, GPR_RSI), BUFFER + 2);
    assert_int_equal(*vcpu_reg(v, GPR_RCX), 0);
}

// 16-bit code: the upper parts of the registers stay, SI wraps in the segment, the segment's base counts.
static void address_size_16(void **state)
{
    (void)state;
    machine_start_32(v);
    vmcs_write(GUEST_CS_ACCESS_RIGHTS, RIGHTS_CODE_16);
    vmcs_write(GUEST_ES_BASE, 0x30000);
    vmcs_write(GUEST_FS_BASE, 0x20000);
    ram_set(0x2ffff, "p", 1);
    ram_set(0x20000, "q", 1);
    *vcpu_reg(v, GPR_RSI) = 0x12345678ffff;
    *vcpu_reg(v, GPR_RCX) = 0xabcd0002;
    assert_int_equal(io(Q_STRING | Q_REP | Q_PORT(TRANSMIT), ADDRESS(0) | SEGMENT(FS)), VERDICT_SKIP);
    assert_memory_equal(machine_uart, "pq", 2);
    assert_int_equal(*vcpu_reg(v, GPR_RSI), 0x123456780001);
    assert_int_equal(*vcpu_reg(v, GPR_RCX), 0xabcd0000);
    // INS is always to ES, whatever the information says of a segment.
    *vcpu_reg(v, GPR_RDI) = 0x10;
    assert_int_equal(io(Q_IN | Q_STRING | Q_PORT(NOBODY), ADDRESS(0) | SEGMENT(FS)), VERDICT_SKIP);
    ram_check(0x30010, "\xff\0", 2);
}

// Bases of FS and GS count in 64-bit code, the others' do not (SDM vol. 1, 3.4.2.1).
static void segments_in_64bit_code(void **state)
{
    (void)state;
    for (unsigned segment = ES; segment <= GS; segment++)
        vmcs_write(GUEST_ES_BASE + 2 * segment, 0x1000 * (segment + 1));
    for (unsigned segment = ES; segment <= GS; segment++) {
        u64 base = segment >= FS ? 0x1000 * (segment + 1) : 0;
        u8 byte = (u8)('A' + segment);
        ram_set(BUFFER + base, &byte, 1);
        *vcpu_reg(v, GPR_RSI) = BUFFER;
        assert_int_equal(io(Q_STRING | Q_PORT(TRANSMIT), ADDRESS(2) | SEGMENT(segment)), VERDICT_SKIP);
        assert_int_equal(machine_uart[segment], byte);
    }
}

static void check_page_fault(u64 gva, u32 error_code)
{
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), BIT(31) | BIT(11) | 3 << 8 | VECTOR_PF);
    assert_int_equal(vmcs_read(ENTRY_EXCEPTION_ERROR_CODE), error_code);
    assert_int_equal(fake_cr2, gva);
}

// The fault of an iteration: those before it are done, it has done nothing, and the instruction can go on
// there.
static void faults_between_iterations(void **state)
{
    (void)state;
    static const u64 flags = 7; // present, writable, user
    u64 table[512] = {0x400000 | flags, 0};
    u64 table_gpa = 0x180000, entry = table_gpa | flags, directory = MIB + 2 * PAGE_SIZE;
    ram_set(table_gpa, table, sizeof(table));
    ram_set(directory + 8 * 2, &entry, 8); // 4M to 6M: one 4K page, then nothing
    ram_set(BUFFER + PAGE_SIZE - 2, "zw", 2);
    *vcpu_reg(v, GPR_RSI) = BUFFER + PAGE_SIZE - 2;
    *vcpu_reg(v, GPR_RCX) = 5;
    u64 outs = Q_STRING | Q_REP | Q_PORT(TRANSMIT);
    assert_int_equal(io(outs, ADDRESS(2) | SEGMENT(DS)), VERDICT_FAULT);
    check_page_fault(BUFFER + PAGE_SIZE, 0);
    assert_int_equal(machine_uart_count, 2);
    assert_int_equal(*vcpu_reg(v, GPR_RSI), BUFFER + PAGE_SIZE);
    assert_int_equal(*vcpu_reg(v, GPR_RCX), 3);

    table[1] = (BUFFER + PAGE_SIZE) | 5; // read-only for the user
    ram_set(table_gpa, table, sizeof(table));
    ram_set(BUFFER + PAGE_SIZE, "123", 3);
    assert_int_equal(io(outs, ADDRESS(2) | SEGMENT(DS)), VERDICT_SKIP);
    assert_memory_equal(machine_uart, "zw123", 5);

    // CR0.WP: the supervisor's write faults, and the device was not asked (reading its line status clears
    // errors).
    *vcpu_reg(v, GPR_RDI) = BUFFER + PAGE_SIZE;
    unsigned received = v->vm->uart.fifo_count;
    uart_receive(&v->vm->uart, 'r');
    assert_int_equal(io(Q_IN | Q_STRING | Q_PORT(TRANSMIT), ADDRESS(2)), VERDICT_FAULT);
    check_page_fault(BUFFER + PAGE_SIZE, 3);
    assert_int_equal(v->vm->uart.fifo_count, received + 1);
    assert_int_equal(*vcpu_reg(v, GPR_RDI), BUFFER + PAGE_SIZE);
}

// An element that crosses into a page that is not there: nothing is written.
static void element_over_two_pages(void **state)
{
    (void)state;
    ram_set(BUFFER, "\0\0", 2);
    *vcpu_reg(v, GPR_RDI) = 4 * GIB - 2;
    assert_int_equal(io(3 | Q_IN | Q_STRING | Q_PORT(NOBODY), ADDRESS(2)), VERDICT_FAULT);
    check_page_fault(4 * GIB, 2);
    *vcpu_reg(v, GPR_RDI) = BUFFER + PAGE_SIZE - 2;
    assert_int_equal(io(3 | Q_IN | Q_STRING | Q_PORT(NOBODY), ADDRESS(2)), VERDICT_SKIP);
    ram_check(BUFFER + PAGE_SIZE - 3, "\0\xff\xff\xff\xff\0", 6);
}

static void user_faults_say_user(void **state)
{
    (void)state;
    vmcs_write(GUEST_SS_ACCESS_RIGHTS, RIGHTS_STACK | 3 << 5);
    *vcpu_reg(v, GPR_RSI) = ABSENT_GVA;
    assert_int_equal(io(Q_STRING | Q_PORT(TRANSMIT), ADDRESS(2) | SEGMENT(DS)), VERDICT_FAULT);
    check_page_fault(ABSENT_GVA, 4);
}

static void check_fault(unsigned vector)
{
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), BIT(31) | BIT(11) | 3 << 8 | vector);
    assert_int_equal(vmcs_read(ENTRY_EXCEPTION_ERROR_CODE), 0);
}

// INS and OUTS exit before any of it is checked (SDM vol. 3, 26.1.1).
static void not_canonical(void **state)
{
    (void)state;
    static const u64 addresses[] = {1ull << 48 | BUFFER, 0x7fffffffffff, 0x8000000000000000};
    for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
        *vcpu_reg(v, GPR_RSI) = *vcpu_reg(v, GPR_RDI) = addresses[i];
        assert_int_equal(io(1 | Q_STRING | Q_PORT(TRANSMIT), ADDRESS(2) | SEGMENT(DS)), VERDICT_FAULT);
        check_fault(VECTOR_GP);
        assert_int_equal(io(1 | Q_STRING | Q_PORT(TRANSMIT), ADDRESS(2) | SEGMENT(SS)), VERDICT_FAULT);
        check_fault(VECTOR_SS);
        assert_int_equal(io(1 | Q_IN | Q_STRING | Q_PORT(TRANSMIT), ADDRESS(2)), VERDICT_FAULT);
        check_fault(VECTOR_GP);
        assert_int_equal(*vcpu_reg(v, GPR_RSI), addresses[i]);
    }
    assert_int_equal(machine_uart_count, 0);
    vmcs_write(GUEST_FS_BASE, 0x7ffffffff000);
    *vcpu_reg(v, GPR_RSI) = PAGE_SIZE - 1;
    assert_int_equal(io(1 | Q_STRING | Q_PORT(TRANSMIT), ADDRESS(1) | SEGMENT(FS)), VERDICT_FAULT);
    check_fault(VECTOR_GP);
}

// REP OUTS to the end of its segment: what is below it has gone out.
static void limit_between_iterations(void **state)
{
    (void)state;
    machine_start_32(v);
    vmcs_write(GUEST_SS_BASE, BUFFER);
    vmcs_write(GUEST_SS_LIMIT, 0xfff);
    ram_set(BUFFER + 0xffd, "abcdef", 6);
    *vcpu_reg(v, GPR_RSI) = 0xffd;
    *vcpu_reg(v, GPR_RCX) = 6;
    assert_int_equal(io(Q_STRING | Q_REP | Q_PORT(TRANSMIT), ADDRESS(1) | SEGMENT(SS)), VERDICT_FAULT);
    check_fault(VECTOR_SS);
    assert_int_equal(machine_uart_count, 3);
    assert_int_equal(*vcpu_reg(v, GPR_RSI), 0x1000);
    assert_int_equal(*vcpu_reg(v, GPR_RCX), 3);
}

// A null ES, one that is read-only, and code that cannot be read.
static void types(void **state)
{
    (void)state;
    static const u64 not_writable[] = {RIGHTS_DATA | BIT(16), 0xc091, RIGHTS_CODE_32};
    machine_start_32(v);
    *vcpu_reg(v, GPR_RDI) = *vcpu_reg(v, GPR_RSI) = BUFFER;
    unsigned received = v->vm->uart.fifo_count + 1;
    uart_receive(&v->vm->uart, 'r');
    for (unsigned i = 0; i < ARRAY_SIZE(not_writable); i++) {
        vmcs_write(GUEST_ES_ACCESS_RIGHTS, not_writable[i]);
        assert_int_equal(io(Q_IN | Q_STRING | Q_PORT(TRANSMIT), ADDRESS(1)), VERDICT_FAULT);
        check_fault(VECTOR_GP);
        assert_int_equal(v->vm->uart.fifo_count, received); // the device was not asked
    }
    vmcs_write(GUEST_CS_ACCESS_RIGHTS, 0xc099);
    assert_int_equal(io(Q_STRING | Q_PORT(TRANSMIT), ADDRESS(1) | SEGMENT(CS)), VERDICT_FAULT);
    check_fault(VECTOR_GP);
    vmcs_write(GUEST_CS_ACCESS_RIGHTS, RIGHTS_CODE_32);
    assert_int_equal(io(Q_STRING | Q_PORT(TRANSMIT), ADDRESS(1) | SEGMENT(CS)), VERDICT_SKIP);
}

static void alignment_check(void **state)
{
    (void)state;
    vmcs_write(GUEST_SS_ACCESS_RIGHTS, RIGHTS_STACK | 3 << 5);
    vmcs_write(GUEST_CR0, vmcs_read(GUEST_CR0) | CR0_AM);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_AC);
    *vcpu_reg(v, GPR_RSI) = BUFFER + 1;
    assert_int_equal(io(Q_STRING | Q_PORT(TRANSMIT), ADDRESS(2) | SEGMENT(DS)), VERDICT_SKIP);
    assert_int_equal(*vcpu_reg(v, GPR_RSI), BUFFER + 2);
    assert_int_equal(io(3 | Q_STRING | Q_PORT(NOBODY), ADDRESS(2) | SEGMENT(DS)), VERDICT_FAULT);
    check_fault(VECTOR_AC);
}

// A long repetition stops now and then, for interrupts, and loses nothing.
static void long_repetition(void **state)
{
    (void)state;
    static u8 bytes[3000];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (u8)(i * 7);
    ram_set(BUFFER, bytes, sizeof(bytes));
    *vcpu_reg(v, GPR_RSI) = BUFFER;
    *vcpu_reg(v, GPR_RCX) = sizeof(bytes);
    unsigned exits = 0;
    enum verdict verdict;
    do {
        verdict = io(Q_STRING | Q_REP | Q_PORT(TRANSMIT), ADDRESS(2) | SEGMENT(DS));
        exits++;
    } while (verdict == VERDICT_RESUME);
    assert_int_equal(verdict, VERDICT_SKIP);
    assert_true(exits > 1);
    assert_int_equal(machine_uart_count, sizeof(bytes));
    assert_memory_equal(machine_uart, bytes, sizeof(bytes));
}

// Repeated, each iteration can trap: RIP stays, and RF is set in the trap's frame.
static void traps_between_iterations(void **state)
{
    (void)state;
    u64 outs = Q_STRING | Q_REP | Q_PORT(TRANSMIT);
    *vcpu_reg(v, GPR_RSI) = BUFFER;
    *vcpu_reg(v, GPR_RCX) = 2;
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_TF);
    assert_int_equal(io(outs, ADDRESS(2) | SEGMENT(DS)), VERDICT_RESUME);
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), BIT(14));
    assert_true(vmcs_read(GUEST_RFLAGS) & RFLAGS_RF);
    assert_int_equal(machine_uart_count, 1);
    vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
    assert_int_equal(io(outs, ADDRESS(2) | SEGMENT(DS)), VERDICT_SKIP);
    assert_int_equal(machine_uart_count, 2);

    v->debugged = true;
    fake_breakpoints[0] = BUFFER + 2;
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED);
    vmcs_write(GUEST_DR7, 2 | 3 << 16); // one byte, read or written
    *vcpu_reg(v, GPR_RSI) = BUFFER;
    *vcpu_reg(v, GPR_RCX) = 5;
    assert_int_equal(io(outs, ADDRESS(2) | SEGMENT(DS)), VERDICT_RESUME);
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), BIT(12) | 1);
    assert_int_equal(*vcpu_reg(v, GPR_RCX), 2);
    assert_true(vmcs_read(GUEST_RFLAGS) & RFLAGS_RF);
}

#define TEST(f) MACHINE_TEST(machine_setup, f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sizes),
        TEST(a_write_can_end_the_guest),
        TEST(outs_repeated),
        TEST(serial_port_is_slow),
        TEST(outs_backwards),
        TEST(ins_once),
        TEST(address_size_32_in_64bit_code),
        TEST(address_size_16),
        TEST(segments_in_64bit_code),
        TEST(faults_between_iterations),
        TEST(element_over_two_pages),
        TEST(user_faults_say_user),
        TEST(not_canonical),
        TEST(limit_between_iterations),
        TEST(types),
        TEST(alignment_check),
        TEST(long_repetition),
        TEST(traps_between_iterations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
