// Driver for the host's 16550 UART. It never hangs: a place where nothing answers is found by the modem's
// lines in loopback, one that stops answering is given up after a bounded wait. CR/LF and escape keys are the
// console's.
#include "serial.h"

#include <arch/console.h>
#include <arch/io.h>

enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR }; // registers; with LCR.DLAB set, 0 and 1 are the divisor

#define IER_RECEIVE   0x01
#define IER_TRANSMIT  0x02 // the transmitter is empty
#define FCR_ENABLE    0x07 // FIFOs on, both cleared, interrupt at the first received byte
#define IIR_FIFOS     0xc0 // they are on
#define FIFO_BYTES    16
#define LCR_8N1       0x03
#define LCR_DLAB      0x80
#define MCR_RTS       0x02
#define MCR_DTR_RTS   0x03
#define MCR_OUT2      0x08 // on a PC this gates the interrupt line
#define MCR_LOOP      0x10 // RTS is CTS, OUT2 is DCD, and what is sent is received
#define MSR_LINES     0xf0
#define MSR_CTS_DCD   0x90
#define LSR_DATA      0x01
#define LSR_THR_EMPTY 0x20
#define LSR_SENT      0x40 // the last bit has left the shift register
#define LSR_GONE      0xff
#define FLUSH_TRIES   100000u

// A byte takes 87 us at 115200; an LSR read takes about 1 us on a board and less in an emulator, whose UART
// may in turn wait for a slow terminal.
#define WRITE_PATIENCE 1000000u

static volatile void *in_memory(const struct serial *s, unsigned reg)
{
    return (volatile void *)(s->base + (u64)reg * s->stride);
}

static u8 get(const struct serial *s, unsigned reg)
{
    if (!s->stride)
        return inb((u16)(s->base + reg));
    return s->width == 4 ? (u8)mmio_read32(in_memory(s, reg)) : mmio_read8(in_memory(s, reg));
}

static void set(const struct serial *s, unsigned reg, u8 value)
{
    if (!s->stride)
        outb((u16)(s->base + reg), value);
    else if (s->width == 4)
        mmio_write32(in_memory(s, reg), value);
    else
        mmio_write8(in_memory(s, reg), value);
}

// Leaves what is no UART as it was.
static bool loops_back(const struct serial *s)
{
    u8 before = get(s, MCR);
    set(s, MCR, MCR_LOOP | MCR_OUT2 | MCR_RTS);
    bool is_uart = (get(s, MSR) & MSR_LINES) == MSR_CTS_DCD;
    set(s, MCR, before);
    return is_uart;
}

// LCR.DLAB is set. A card's clock may be another than a PC's; a divisor of 0 was never set.
static void set_divisor(const struct serial *s, unsigned divisor)
{
    if (divisor == SERIAL_KEEP && (get(s, DATA) || get(s, IER)))
        return;
    divisor = divisor == SERIAL_KEEP ? SERIAL_115200 : divisor;
    set(s, DATA, (u8)divisor);
    set(s, IER, (u8)(divisor >> 8));
}

// What the boot loader has sent is let out first: loopback would keep it.
bool serial_init(struct serial *s, unsigned divisor)
{
    serial_flush(s);
    if (!s->base || !loops_back(s)) {
        s->base = 0;
        return false;
    }
    set(s, IER, 0);
    set(s, LCR, LCR_DLAB);
    set_divisor(s, divisor);
    set(s, LCR, LCR_8N1);
    set(s, IIR_FCR, FCR_ENABLE);
    s->fifo = (get(s, IIR_FCR) & IIR_FIFOS) == IIR_FIFOS ? FIFO_BYTES : 1;
    s->room = 0;
    set(s, MCR, MCR_DTR_RTS);
    return true;
}

bool serial_empty(struct serial *s)
{
    bool empty = !s->base || get(s, LSR) & LSR_THR_EMPTY;
    if (empty)
        s->room = s->fifo;
    return empty;
}

void serial_write(struct serial *s, u8 byte)
{
    if (!s->base)
        return;
    for (unsigned tries = 0; tries < WRITE_PATIENCE; tries++) {
        if (s->room || serial_empty(s)) {
            set(s, DATA, byte);
            s->room--;
            return;
        }
        pause();
    }
    s->base = 0;
}

void serial_flush(struct serial *s)
{
    for (unsigned tries = 0; s->base && tries < FLUSH_TRIES && !(get(s, LSR) & LSR_SENT); tries++)
        pause();
}

// All ones: the UART has gone, or never was. One that is there never has them: without parity there are no
// parity errors.
static u8 line_status(struct serial *s)
{
    u8 status = s->base ? get(s, LSR) : LSR_GONE;
    if (status == LSR_GONE)
        s->base = 0;
    return status;
}

int serial_read(struct serial *s)
{
    u8 status = line_status(s);
    return status != LSR_GONE && status & LSR_DATA ? get(s, DATA) : -1;
}

void serial_interrupt(struct serial *s, bool on)
{
    if (!s->base)
        return;
    set(s, MCR, MCR_DTR_RTS | MCR_OUT2);
    set(s, IER, on ? IER_RECEIVE : 0);
}

// By a byte that is received in loopback, or by the transmitter, which is empty: some UARTs hold their
// interrupt in loopback, others do not tell of a transmitter that has been empty for long.
static void cause_interrupt(const struct serial *s, bool loopback)
{
    set(s, MCR, MCR_DTR_RTS | MCR_OUT2 | (loopback ? MCR_LOOP : 0));
    set(s, IER, loopback ? IER_RECEIVE : IER_TRANSMIT);
    if (loopback)
        set(s, DATA, 0);
}

static void end_interrupt(struct serial *s)
{
    set(s, IER, 0);
    while (serial_read(s) >= 0)
        ;
    if (s->base)
        set(s, MCR, MCR_DTR_RTS | MCR_OUT2);
}

static bool nmi_comes(u64 (*take_nmis)(void), u64 cycles)
{
    u64 start = rdtsc();
    bool come;
    do
        come = take_nmis();
    while (!come && rdtsc() - start < cycles);
    return come;
}

bool serial_interrupt_is_nmi(struct serial *s, u64 (*take_nmis)(void), u64 cycles)
{
    bool come = false;
    serial_flush(s);
    take_nmis();
    for (unsigned way = 0; way < 2 && !come && s->base; way++) {
        cause_interrupt(s, way == 0);
        come = nmi_comes(take_nmis, cycles);
        end_interrupt(s);
    }
    return come;
}

int serial_irq(const struct serial *s)
{
    static const struct {
        u16 port;
        u8 irq;
    } legacy[] = {{COM1_PORT, 4}, {COM2_PORT, 3}, {COM3_PORT, 4}, {COM4_PORT, 3}};
    for (size_t i = 0; i < ARRAY_SIZE(legacy); i++) {
        if (legacy[i].port == s->base)
            return legacy[i].irq;
    }
    return -1;
}
