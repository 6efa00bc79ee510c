// The guest's serial port: a 16550A as in the data sheet of National Semiconductor's PC16550D.
// It has no time of its own: a byte is with the owner the moment it is written, the transmitter is empty
// again when the owner says so, and a received byte that waits below the trigger level has timed out at once.
// It does not know its port numbers, its interrupt pin or the host's console: the owner connects those. Bytes
// from the host wait in a queue behind the 16-byte receive FIFO.
#pragma once

#include <arch/types.h>

#define UART_REGISTERS   8u
#define UART_FIFO_BYTES  16u
#define UART_QUEUE_BYTES 4096u // a power of two

// Called from within uart_read, uart_write, uart_sent and uart_receive; must not call back into the same
// uart. transmit tells whether the byte has gone: if not, the owner calls uart_sent later.
typedef bool uart_transmit_fn(void *context, u8 byte);
typedef void uart_line_fn(void *context, bool level);

struct uart {
    u8 ier, lcr, mcr, scr, dll, dlm; // as the guest wrote them
    u8 fcr;                          // FIFO enable and trigger level only
    u8 overrun;                      // LSR.OE or 0
    u8 msr;                          // modem lines and their deltas
    bool sending;                    // the transmitter is not empty: uart_sent will be called
    bool thre;                       // the transmitter's interrupt is pending
    bool line;                       // the interrupt output, as last told to line_changed
    u8 fifo[UART_FIFO_BYTES];        // a ring; without FIFO mode only one byte of it is used
    unsigned fifo_first, fifo_count;
    u8 queue[UART_QUEUE_BYTES]; // a ring: what the host sent and the FIFO has no room for
    unsigned queue_first, queue_count;
    uart_transmit_fn *transmit;
    uart_line_fn *line_changed;
    void *context;
};

// The port as firmware leaves it: 115200 baud, 8 bits, no FIFO, no interrupt enabled. Both callbacks are
// needed. CTS, DSR and DCD are asserted for ever.
void uart_init(struct uart *u, uart_transmit_fn *transmit, uart_line_fn *line_changed, void *context);

// The guest's access to one of the eight one-byte registers; only the low three bits of reg count.
u8 uart_read(struct uart *u, unsigned reg);
void uart_write(struct uart *u, unsigned reg, u8 value);

// All bytes that were written have gone. Nothing happens unless u->sending.
void uart_sent(struct uart *u);

// A byte from the host's console. When the queue is full the byte is lost and the guest is told by LSR.OE.
void uart_receive(struct uart *u, u8 byte);
