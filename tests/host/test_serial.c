// The host's UART: a 16550 behind ports or in memory as its data sheet (PC16550D) has it, as other chips
// deviate from it, and places where none is.

// link: arch/serial.c
#include "support.h"

#include <arch/console.h>
#include <arch/io.h>

#include "arch/serial.h"

#define PORT     COM2_PORT
#define MEMORY   0xfffffe0000001040ull // where nothing is that a pointer could read
#define PATIENCE 10000u

enum { DATA, IER, FCR, LCR, MCR, LSR, MSR, SCR };

static struct {
    bool present, wired;    // is there; its interrupt becomes an NMI
    bool quiet_loopback;    // OUT2 does not reach the interrupt's gate in loopback
    bool quiet_transmitter; // no interrupt for a transmitter that was empty before
    u8 absent;              // what is read where nothing is
    u8 ier, lcr, mcr, divisor, fifo[16];
    unsigned received, busy; // reads of LSR until all is sent
    unsigned holds, takes; // bytes in the transmitter, and that it takes; it is slow, if the latter is not 0
    bool line, empty_told;
    unsigned nmis, sent, lost, foreign;
} uart;
static u64 now;
static struct serial s;

u64 rdtsc(void)
{
    return now += 50;
}

int pause(void)
{
    return 0;
}

static u64 take_nmis(void)
{
    unsigned taken = uart.nmis;
    uart.nmis = 0;
    return taken;
}

// The line as it is now; a rising edge is an NMI.
static void update_line(void)
{
    bool gate = uart.mcr & 8 && !(uart.mcr & 16 && uart.quiet_loopback);
    bool wants = (uart.ier & 1 && uart.received) || (uart.ier & 2 && uart.empty_told);
    bool line = gate && wants;
    uart.nmis += uart.wired && line && !uart.line;
    uart.line = line;
}

static void receive(u8 byte)
{
    if (uart.received < 16)
        uart.fifo[uart.received++] = byte;
}

static void send(u8 byte)
{
    if (uart.mcr & 16)
        receive(byte);
    else {
        uart.sent++;
        uart.holds += uart.takes != 0;
        assert_true(uart.holds <= uart.takes);
        if (uart.holds == 1)
            uart.busy = 20;
    }
}

static void write_register(u64 reg, u8 value)
{
    assert_in_range(reg, DATA, SCR);
    uart.foreign += !uart.present && reg != MCR;
    if (!uart.present)
        return;
    if (reg == DATA && uart.lcr & 0x80)
        uart.divisor = value;
    else if (reg == DATA)
        send(value);
    else if (reg == IER && !(uart.lcr & 0x80)) {
        uart.empty_told = value & 2 && !uart.quiet_transmitter;
        uart.ier = value;
    } else if (reg == LCR)
        uart.lcr = value;
    else if (reg == MCR) {
        uart.lost += value & 16 && uart.busy; // loopback cuts off what is being sent
        uart.mcr = value;
    }
    update_line();
}

static u8 next_byte(void)
{
    u8 byte = uart.fifo[0];
    assert_true(uart.received);
    memmove(uart.fifo, uart.fifo + 1, --uart.received);
    update_line();
    return byte;
}

static u8 read_register(u64 reg)
{
    assert_in_range(reg, DATA, SCR);
    if (!uart.present)
        return uart.absent;
    switch (reg) {
    case DATA:
        return next_byte();
    case FCR:
        return uart.takes == 16 ? 0xc1 : 0x01;
    case MCR:
        return uart.mcr;
    case LSR:
        uart.busy -= uart.busy != 0;
        uart.holds = uart.busy ? uart.holds : 0;
        return (uart.received ? 1 : 0) | (uart.busy ? 0 : 0x60);
    case MSR: // DCD is OUT2, RI is OUT1, DSR is DTR, CTS is RTS
        return uart.mcr & 16 ? (u8)((uart.mcr & 12) << 4 | (uart.mcr & 2) << 3 | (uart.mcr & 1) << 5) : 0xb0;
    default:
        return 0;
    }
}

void outb(u16 port, u8 value)
{
    assert_int_equal(s.stride, 0);
    write_register(port - PORT, value);
}

u8 inb(u16 port)
{
    assert_int_equal(s.stride, 0);
    return read_register(port - PORT);
}

// The register at an address in memory: accesses of another width than the UART has are none.
static u64 register_at(const volatile void *at, u8 width)
{
    u64 offset = (uintptr_t)at - MEMORY;
    assert_int_equal(s.width, width);
    assert_int_not_equal(s.stride, 0);
    assert_int_equal(offset % s.stride, 0);
    return offset / s.stride;
}

u8 mmio_read8(const volatile void *at)
{
    return read_register(register_at(at, 1));
}

// The other bytes are nobody's.
u32 mmio_read32(const volatile void *at)
{
    return 0xa5a5a500 | read_register(register_at(at, 4));
}

void mmio_write8(volatile void *at, u8 value)
{
    write_register(register_at(at, 1), value);
}

void mmio_write32(volatile void *at, u32 value)
{
    assert_int_equal(value >> 8, 0);
    write_register(register_at(at, 4), (u8)value);
}

static void start(struct serial at)
{
    memset(&uart, 0, sizeof(uart));
    uart.present = uart.wired = true;
    uart.absent = 0xff;
    uart.busy = 100; // the boot loader's last words
    s = at;
    assert_true(serial_init(&s, SERIAL_115200));
}

static int setup(void **state)
{
    (void)state;
    start(SERIAL_PORT(PORT));
    return 0;
}

static void check_found(void)
{
    assert_int_equal(uart.divisor, 1);
    assert_int_equal(uart.lcr, 3);
    assert_int_equal(uart.mcr, 3);
    assert_int_equal(uart.lost, 0);
    serial_write(&s, 'a');
    assert_int_equal(uart.sent, 1);
    receive(0xa5);
    assert_int_equal(serial_read(&s), 0xa5);
    assert_int_equal(serial_read(&s), -1);
}

static void found(void **state)
{
    (void)state;
    check_found();
    assert_int_equal(serial_irq(&s), 3);
}

static const struct serial in_memory[] = {
    SERIAL_MEMORY(MEMORY, 1, 1),
    SERIAL_MEMORY(MEMORY, 4, 4),
    SERIAL_MEMORY(MEMORY, 4, 1),
};

static void found_in_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(in_memory); i++) {
        start(in_memory[i]);
        check_found();
        assert_int_equal(serial_irq(&s), -1);
    }
}

// Where there is none nothing is written but the register that shows it.
static void check_not_found(struct serial at)
{
    static const u8 reads[] = {0xff, 0, 0xb0, 0x7f};
    uart.present = false;
    for (size_t i = 0; i < ARRAY_SIZE(reads); i++) {
        uart.absent = reads[i];
        s = at;
        assert_false(serial_init(&s, SERIAL_115200));
        assert_int_equal(uart.foreign, 0);
        assert_int_equal(serial_read(&s), -1);
        assert_int_equal(serial_irq(&s), -1);
    }
}

static void not_found(void **state)
{
    (void)state;
    check_not_found(SERIAL_PORT(PORT));
    for (size_t i = 0; i < ARRAY_SIZE(in_memory); i++)
        check_not_found(in_memory[i]);
    s = SERIAL_PORT(0);
    assert_false(serial_init(&s, SERIAL_115200));
}

// No byte is lost, and with FIFOs none waits that the transmitter has room for.
static void slow(void **state)
{
    (void)state;
    for (unsigned takes = 1; takes <= 16; takes += 15) {
        memset(&uart, 0, sizeof(uart));
        uart.present = true;
        uart.takes = takes;
        s = SERIAL_PORT(PORT);
        assert_true(serial_init(&s, SERIAL_115200));
        assert_true(serial_empty(&s));
        for (unsigned i = 0; i < takes; i++) {
            serial_write(&s, 'a');
            assert_int_equal(uart.holds, i + 1);
        }
        assert_false(serial_empty(&s));
        for (unsigned i = 0; i < 100; i++)
            serial_write(&s, 'b');
        assert_int_equal(uart.sent, takes + 100);
    }
}

static void gone(void **state)
{
    (void)state;
    receive('x');
    assert_int_equal(serial_read(&s), 'x');
    assert_int_equal(serial_read(&s), -1);
    uart.present = false;
    assert_int_equal(serial_read(&s), -1);
    serial_write(&s, 'a');
    assert_true(serial_empty(&s));
    assert_int_equal(uart.foreign, 0);
}

static void is_quiet(void)
{
    assert_int_equal(uart.ier, 0);
    assert_int_equal(uart.mcr & 16, 0);
    assert_int_equal(uart.received, 0);
    assert_int_equal(uart.sent, 0);
    assert_int_equal(uart.lost, 0);
    assert_int_equal(uart.nmis, 0);
}

static void interrupt_comes(void **state)
{
    (void)state;
    for (unsigned odd = 0; odd < 3; odd++) {
        setup(state);
        uart.quiet_loopback = odd == 1;
        uart.quiet_transmitter = odd == 2;
        uart.busy = 50;
        assert_true(serial_interrupt_is_nmi(&s, take_nmis, PATIENCE));
        is_quiet();
        serial_interrupt(&s, true);
        receive('k');
        update_line();
        assert_int_equal(take_nmis(), 1);
    }
}

// One that came before says nothing, and the wait ends.
static void interrupt_does_not_come(void **state)
{
    (void)state;
    u64 before = now;
    uart.wired = false;
    uart.nmis = 1;
    assert_false(serial_interrupt_is_nmi(&s, take_nmis, PATIENCE));
    assert_in_range(now - before, PATIENCE, 3 * PATIENCE);
    is_quiet();
    uart.wired = uart.quiet_loopback = uart.quiet_transmitter = true;
    assert_false(serial_interrupt_is_nmi(&s, take_nmis, PATIENCE));
    is_quiet();
    uart.present = false;
    assert_false(serial_interrupt_is_nmi(&s, take_nmis, PATIENCE));
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(found),           TEST(found_in_memory),         TEST(not_found), TEST(gone),
        TEST(interrupt_comes), TEST(interrupt_does_not_come), TEST(slow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
