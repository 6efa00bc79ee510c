// The 16550 at 3F8H by polling: registers that read back, the divisor latch, FIFO identification, loopback.
// Interrupts of the UART are in interrupts.c. Every test drains the transmitter first and programs it again
// after.
#include "cpu.h"

#define UART 0x3F8

static void test_registers(void)
{
    uart_drain();
    expect("LSR", inb(UART + 5), 0x60);
    outb(UART + 1, 0xFF);
    expect("IER keeps four bits", inb(UART + 1), 0x0F);
    outb(UART + 1, 0);
    expect("IIR: none pending, FIFO on", inb(UART + 2), 0xC1);
    outb(UART + 3, 0x1B);
    expect("LCR", inb(UART + 3), 0x1B);
    uart_start();
}

static void test_divisor(void)
{
    uart_drain();
    outb(UART + 3, 0x83);
    outb(UART, 0x34);
    outb(UART + 1, 0x12);
    expect("divisor", inb(UART) | inb(UART + 1) << 8, 0x1234);
    outb(UART + 3, 0x03);
    expect("IER behind it", inb(UART + 1), 0);
    uart_start();
}

static void test_fifo(void)
{
    uart_drain();
    outb(UART + 2, 0);
    expect("FIFO off", inb(UART + 2), 0x01);
    outb(UART + 2, 1);
    expect("FIFO on", inb(UART + 2), 0xC1);
    uart_start();
}

static void test_thre(void)
{
    uart_drain();
    outb(UART + 1, 2);
    expect("IIR: THRE", inb(UART + 2), 0xC2);
    expect("reading it clears it", inb(UART + 2), 0xC1);
    outb(UART + 1, 0);
    uart_start();
}

// Loopback: MCR's outputs come back as MSR's inputs.
static void test_loopback(void)
{
    static const u8 pairs[][2] = {{0x10, 0x00}, {0x11, 0x20}, {0x12, 0x10},
                                  {0x14, 0x40}, {0x18, 0x80}, {0x1F, 0xF0}};
    uart_drain();
    for (unsigned i = 0; i < ARRAY_SIZE(pairs); i++) {
        outb(UART + 4, pairs[i][0]);
        expect("MSR", inb(UART + 6) & 0xF0, pairs[i][1]);
    }
    uart_start();
}

static const struct test tests[] = {
    {"registers", test_registers}, {"divisor", test_divisor},   {"fifo", test_fifo},
    {"thre", test_thre},           {"loopback", test_loopback},
};
GROUP(group_uart, "uart", tests, true);
