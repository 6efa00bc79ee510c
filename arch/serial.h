// The host's 16550 UART, polled, with an optional receive interrupt. Used by the console only.
#pragma once

#include <arch/types.h>

struct serial {
    u64 base;  // of its registers: an I/O port, or where they are mapped; 0: there is none
    u8 stride; // bytes in memory from one register to the next; 0: they are ports
    u8 width;  // bytes of an access to memory: 1 or 4
    u8 fifo;   // bytes that an empty transmitter takes at once
    u8 room;   // bytes that it certainly takes now
};
#define SERIAL_PORT(port) ((struct serial){.base = (port)})
#define SERIAL_MEMORY(at, apart, bytes)                   \
    {                                                     \
        .base = (at), .stride = (apart), .width = (bytes) \
    }

// The bytes that its registers have in memory.
#define SERIAL_BYTES(stride) (8u * (stride))

// The divisor of the UART's clock: 115200 on a PC's, or what firmware has set.
#define SERIAL_115200 1
#define SERIAL_KEEP   0

// Sets this divisor and 8N1, with the FIFOs on. False, and every later call does nothing, if no UART answers
// where `s` says.
bool serial_init(struct serial *s, unsigned divisor);

// Whether the transmitter is empty, so that it takes a FIFO full of bytes at once. True where no UART is.
bool serial_empty(struct serial *s);

// Sends one byte as it is. Waits for room for a bounded time: a UART that stops answering is given up.
void serial_write(struct serial *s, u8 byte);

// The next received byte, or -1.
int serial_read(struct serial *s);

// Waits, but not for ever, until everything written has left the wire.
void serial_flush(struct serial *s);

// Whether the UART raises its interrupt line while received bytes are waiting.
void serial_interrupt(struct serial *s, bool on);

// Whether an NMI comes, within so many cycles of the TSC, when the UART raises its interrupt. Waits until all
// is sent, and takes the NMIs that root mode has had; what is received meanwhile is lost. The interrupt is
// off then.
bool serial_interrupt_is_nmi(struct serial *s, u64 (*take_nmis)(void), u64 cycles);

// The ISA interrupt of a legacy port (COM1 to COM4), or -1 for another port or none.
int serial_irq(const struct serial *s);
