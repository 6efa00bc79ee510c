// The 16550A model of uart.h. Names are those of the PC16550D data sheet.
// Not here: port numbers and console (the owner), the interrupt pin (ioapic.c).
// The interrupt goes to an edge-triggered pin, so each cause must fall when the data sheet says it falls,
// even if it comes back at once: a handler that takes one byte an interrupt still gets an edge for each.
#include "uart.h"

#include <arch/lib.h>

enum uart_register { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define IER_ERBFI 0x01 // received data
#define IER_ETBEI 0x02 // transmitter empty
#define IER_ELSI  0x04 // line status
#define IER_EDSSI 0x08 // modem status
#define IER_ALL   0x0f

#define IIR_MODEM   0x00
#define IIR_NONE    0x01
#define IIR_THRE    0x02
#define IIR_DATA    0x04
#define IIR_LINE    0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFOS   0xc0

#define FCR_ENABLE   0x01
#define FCR_RESET_RX 0x02
#define FCR_TRIGGER  0xc0
#define FCR_KEPT     (FCR_ENABLE | FCR_TRIGGER)

#define LCR_8_BITS     0x03
#define LCR_DLAB       0x80
#define DIVISOR_115200 1

#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_ALL  0x1f

#define LSR_DR        0x01
#define LSR_OE        0x02
#define LSR_THRE_TEMT 0x60

#define MSR_DELTAS      0x0f
#define MSR_CTS         0x10
#define MSR_DSR         0x20
#define MSR_RI          0x40
#define MSR_DCD         0x80
#define MSR_DELTA_SHIFT 4 // each delta lies four bits below its line

static unsigned fifo_size(const struct uart *u)
{
    return u->fcr & FCR_ENABLE ? UART_FIFO_BYTES : 1;
}

static unsigned fifo_trigger(const struct uart *u)
{
    static const u8 levels[] = {1, 4, 8, 14};
    return u->fcr & FCR_ENABLE ? levels[u->fcr >> 6] : 1;
}

static void fifo_clear(struct uart *u)
{
    u->fifo_first = 0;
    u->fifo_count = 0;
}

static void fifo_put(struct uart *u, u8 byte)
{
    u->fifo[(u->fifo_first + u->fifo_count++) % UART_FIFO_BYTES] = byte;
}

static u8 fifo_take(struct uart *u)
{
    if (u->fifo_count == 0)
        return 0;
    u8 byte = u->fifo[u->fifo_first];
    u->fifo_first = (u->fifo_first + 1) % UART_FIFO_BYTES;
    u->fifo_count--;
    return byte;
}

// Moves what waits in the queue into the receive FIFO. In loopback the receiver is off the wire.
static void queue_drain(struct uart *u)
{
    while (u->queue_count && u->fifo_count < fifo_size(u) && !(u->mcr & MCR_LOOP)) {
        fifo_put(u, u->queue[u->queue_first]);
        u->queue_first = (u->queue_first + 1) % UART_QUEUE_BYTES;
        u->queue_count--;
    }
}

// The identification that IIR shows if only the causes in `enabled` counted: the highest pending one.
static u8 cause(const struct uart *u, u8 enabled)
{
    if ((enabled & IER_ELSI) && u->overrun)
        return IIR_LINE;
    if ((enabled & IER_ERBFI) && u->fifo_count)
        return u->fifo_count >= fifo_trigger(u) ? IIR_DATA : IIR_TIMEOUT;
    if ((enabled & IER_ETBEI) && u->thre)
        return IIR_THRE;
    if ((enabled & IER_EDSSI) && (u->msr & MSR_DELTAS))
        return IIR_MODEM;
    return IIR_NONE;
}

// A PC connects the interrupt output through OUT2, which loopback forces inactive (data sheet, 8.6.2).
static void line_update(struct uart *u, u8 enabled)
{
    bool gate = (u->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
    bool level = gate && cause(u, enabled) != IIR_NONE;
    if (level == u->line)
        return;
    u->line = level;
    u->line_changed(u->context, level);
}

static u8 modem_lines(const struct uart *u)
{
    if (!(u->mcr & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    return (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
           (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

// RI is told only when it ends (TERI), the other lines at each change.
static void modem_update(struct uart *u)
{
    u8 before = (u8)(u->msr & ~MSR_DELTAS);
    u8 after = modem_lines(u);
    u8 changed = (before ^ after) & ~(after & MSR_RI);
    u->msr = after | (u->msr & MSR_DELTAS) | changed >> MSR_DELTA_SHIFT;
}

// The wire from the transmitter back to the receiver. An overrun keeps the FIFO and loses the new byte;
// without FIFO mode it overwrites the byte in RBR (data sheet, 8.4, bit 1).
static void loop_back(struct uart *u, u8 byte)
{
    if (u->fifo_count == fifo_size(u)) {
        u->overrun = LSR_OE;
        if (u->fcr & FCR_ENABLE)
            return;
        fifo_clear(u);
    }
    fifo_put(u, byte);
}

static u8 rbr_read(struct uart *u)
{
    u8 byte = fifo_take(u);
    line_update(u, (u8)(u->ier & ~IER_ERBFI));
    queue_drain(u);
    return byte;
}

static void thr_write(struct uart *u, u8 value)
{
    u->thre = false;
    line_update(u, u->ier);
    if (u->mcr & MCR_LOOP)
        loop_back(u, value);
    else
        u->sending = !u->transmit(u->context, value);
    u->thre = !u->sending;
}

// Enabling the transmitter's interrupt while it is empty raises it: Linux starts sending that way, and takes
// a part that does not for broken (UART_BUG_THRE).
static void ier_write(struct uart *u, u8 value)
{
    if ((value & IER_ETBEI) && !(u->ier & IER_ETBEI))
        u->thre = !u->sending;
    u->ier = value & IER_ALL;
}

// Reading acknowledges the transmitter's interrupt, but only when that is what was shown.
static u8 iir_read(struct uart *u)
{
    u8 shown = cause(u, u->ier);
    if (shown == IIR_THRE)
        u->thre = false;
    return shown | (u->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

// Without bit 0 the other bits are not programmed; changing it clears the FIFOs (data sheet, 8.5).
static void fcr_write(struct uart *u, u8 value)
{
    bool toggled = (value ^ u->fcr) & FCR_ENABLE;
    bool enabled = value & FCR_ENABLE;
    if (toggled || (enabled && (value & FCR_RESET_RX)))
        fifo_clear(u);
    u->fcr = enabled ? value & FCR_KEPT : 0;
    line_update(u, u->ier);
    queue_drain(u);
}

static void mcr_write(struct uart *u, u8 value)
{
    u->mcr = value & MCR_ALL;
    modem_update(u);
    queue_drain(u);
}

static u8 lsr_read(struct uart *u)
{
    u8 value = (u->sending ? 0 : LSR_THRE_TEMT) | u->overrun | (u->fifo_count ? LSR_DR : 0);
    u->overrun = 0;
    return value;
}

static u8 msr_read(struct uart *u)
{
    u8 value = u->msr;
    u->msr &= (u8)~MSR_DELTAS;
    return value;
}

void uart_init(struct uart *u, uart_transmit_fn *transmit, uart_line_fn *line_changed, void *context)
{
    memset(u, 0, sizeof(*u));
    u->lcr = LCR_8_BITS;
    u->dll = DIVISOR_115200;
    u->msr = modem_lines(u);
    u->transmit = transmit;
    u->line_changed = line_changed;
    u->context = context;
}

static u8 register_read(struct uart *u, enum uart_register reg)
{
    bool dlab = u->lcr & LCR_DLAB;
    switch (reg) {
    case RBR_THR:
        return dlab ? u->dll : rbr_read(u);
    case IER:
        return dlab ? u->dlm : u->ier;
    case IIR_FCR:
        return iir_read(u);
    case LCR:
        return u->lcr;
    case MCR:
        return u->mcr;
    case LSR:
        return lsr_read(u);
    case MSR:
        return msr_read(u);
    default:
        return u->scr;
    }
}

u8 uart_read(struct uart *u, unsigned reg)
{
    u8 value = register_read(u, reg % UART_REGISTERS);
    line_update(u, u->ier);
    return value;
}

static void divisor_write(struct uart *u, enum uart_register reg, u8 value)
{
    if (reg == RBR_THR)
        u->dll = value;
    else
        u->dlm = value;
}

static void register_write(struct uart *u, enum uart_register reg, u8 value)
{
    switch (reg) {
    case RBR_THR:
        return thr_write(u, value);
    case IER:
        return ier_write(u, value);
    case IIR_FCR:
        return fcr_write(u, value);
    case LCR:
        u->lcr = value;
        return;
    case MCR:
        return mcr_write(u, value);
    case SCR:
        u->scr = value;
        return;
    default:
        return; // LSR and MSR: writing them is for factory tests
    }
}

void uart_write(struct uart *u, unsigned reg, u8 value)
{
    reg %= UART_REGISTERS;
    if ((u->lcr & LCR_DLAB) && reg <= IER)
        divisor_write(u, reg, value);
    else
        register_write(u, reg, value);
    line_update(u, u->ier);
}

void uart_sent(struct uart *u)
{
    if (!u->sending)
        return;
    u->sending = false;
    u->thre = true;
    line_update(u, u->ier);
}

void uart_receive(struct uart *u, u8 byte)
{
    if (u->queue_count == UART_QUEUE_BYTES) {
        u->overrun = LSR_OE;
    } else {
        u->queue[(u->queue_first + u->queue_count++) % UART_QUEUE_BYTES] = byte;
        queue_drain(u);
    }
    line_update(u, u->ier);
}
