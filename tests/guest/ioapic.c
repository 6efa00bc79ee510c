// An interrupt that goes through the IOAPIC: the UART's transmitter-empty interrupt on pin 4.
// Instruction forms on the IOAPIC are mmio.c, the UART's registers uart.c. Neighbour: interrupts.h.
#include "cpu.h"
#include "lapic.h"
#include "interrupts.h"

#define IOAPIC_INDEX (*(volatile u32 *)0xFEC00000ull)
#define IOAPIC_DATA  (*(volatile u32 *)0xFEC00010ull)
#define UART         0x3F8
#define PIN          4
#define VECTOR       0x62
#define PIN_MASKED   0x10000u

static void write_pin(u32 low)
{
    IOAPIC_INDEX = 0x10 + 2 * PIN;
    IOAPIC_DATA = PIN_MASKED;
    IOAPIC_INDEX = 0x11 + 2 * PIN;
    IOAPIC_DATA = lapic_id() << 24;
    IOAPIC_INDEX = 0x10 + 2 * PIN;
    IOAPIC_DATA = low;
}

static volatile u8 thre_iir;
static volatile unsigned thre_count;

static void serve_uart(struct regs *regs)
{
    (void)regs;
    thre_iir = inb(UART + 2);
    thre_count++;
    lapic_write(LAPIC_EOI, 0);
}

static void start_test(u32 pin)
{
    uart_drain();
    outb(UART + 1, 0);
    inb(UART + 2);
    thre_count = 0;
    trap_hook(VECTOR, serve_uart);
    write_pin(pin);
    outb(UART + 1, 2); // IER: transmitter empty
    irq_window();
}

static void end_test(void)
{
    outb(UART + 1, 0);
    write_pin(PIN_MASKED);
    irq_window();
}

void test_uart_thre(void)
{
    start_test(VECTOR);
    expect("interrupt", thre_count, 1);
    expect("IIR", thre_iir, 0xC2);
    irq_window();
    expect("no other", thre_count, 1);
    outb(UART + 1, 0);
    outb(UART + 1, 2);
    irq_window();
    expect("enabled again", thre_count, 2);
    end_test();
}

void test_uart_thre_masked(void)
{
    start_test(PIN_MASKED | VECTOR);
    expect("masked", thre_count, 0);
    end_test();
    expect("still", thre_count, 0);
}
