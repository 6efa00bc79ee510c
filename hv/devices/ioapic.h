// The guest's IOAPIC: 24 pins, version 20H, as in the 82093AA data sheet with the EOI register of later
// parts. It knows neither devices nor the local APIC: pins come in by ioapic_set_line, interrupts go out by a
// callback. The guest owns its real local APIC, so that its EOI causes no exit and is never seen here:
// level-triggered pins have no remote IRR, and the owner of a device says when to look again
// (ioapic_resample).
#pragma once

#include <arch/types.h>

#define IOAPIC_PINS 24u
#define IOAPIC_ID   0u // at reset, and in the ACPI tables

// Delivery modes (82093AA, 3.2.4, bits 10:8) that reach the callback.
enum ioapic_delivery {
    IOAPIC_FIXED = 0,
    IOAPIC_LOWEST = 1,
    IOAPIC_NMI = 4,
};

// One interrupt message. `vector` is 16..255, or without meaning for IOAPIC_NMI; `destination` is bits 63:56
// of the redirection entry, a physical or logical local APIC ID. Must not call back into the same ioapic.
typedef void ioapic_deliver_fn(void *context, u8 vector, enum ioapic_delivery mode, u8 destination);

struct ioapic {
    u64 entry[IOAPIC_PINS]; // redirection entries
    u32 lines;              // asserted pins
    u8 select;              // IOREGSEL
    u8 id;                  // bits 27:24 of the ID register
    ioapic_deliver_fn *deliver;
    void *context;
};

// All pins masked and not asserted.
void ioapic_init(struct ioapic *io, ioapic_deliver_fn *deliver, void *context);

// The guest's access at `offset` bytes into the IOAPIC's page. Only aligned accesses of 4 bytes to registers
// that are there do anything: other reads give 0, other writes are ignored.
u32 ioapic_read(const struct ioapic *io, u32 offset, unsigned bytes);
void ioapic_write(struct ioapic *io, u32 offset, unsigned bytes, u32 value);

// The device at this pin (0..23, else a bug of the caller) asserts its line or lets it go, whatever polarity
// the guest programs. An edge-triggered pin delivers when the line becomes asserted, a level-triggered one
// too, and once more when the guest unmasks it while it is asserted.
void ioapic_set_line(struct ioapic *io, unsigned pin, bool asserted);

// Whether an edge at this pin would be delivered.
bool ioapic_listens(const struct ioapic *io, unsigned pin);

// Delivers again if the pin is level-triggered, unmasked and asserted. To be called after each access of the
// guest to the device at this pin: the handler has then seen the device, and it still wants attention.
void ioapic_resample(struct ioapic *io, unsigned pin);
