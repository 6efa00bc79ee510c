// The IOAPIC model of ioapic.h. Names are those of the 82093AA data sheet.
// Not here: who asserts the pins (the device models), how the message gets to the guest's local APIC.
#include "ioapic.h"

#include <arch/lib.h>
#include <arch/panic.h>

#define IOREGSEL 0x00
#define IOWIN    0x10
#define EOI      0x40 // from version 20H on

#define IOAPICID      0x00
#define IOAPICVER     0x01
#define IOAPICARB     0x02
#define IOREDTBL      0x10 // two registers an entry, the low half first
#define IOREDTBL_END  (IOREDTBL + 2 * IOAPIC_PINS)
#define ID_SHIFT      24
#define ID_MASK       0x0f
#define VERSION_VALUE (0x20u | (IOAPIC_PINS - 1) << 16)

#define ENTRY_LEVEL    BIT(15)
#define ENTRY_MASKED   BIT(16)
#define ENTRY_LOW      0xffffffffull
#define ENTRY_WRITABLE 0xff0000000001afffull // not delivery status (12) and remote IRR (14): they read 0
#define LOWEST_VECTOR  16                    // a local APIC refuses those below (SDM vol. 3, 11.5.2)

void ioapic_init(struct ioapic *io, ioapic_deliver_fn *deliver, void *context)
{
    memset(io, 0, sizeof(*io));
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        io->entry[pin] = ENTRY_MASKED;
    io->id = IOAPIC_ID;
    io->deliver = deliver;
    io->context = context;
}

// SMI and INIT would touch what the guest does not own, and ExtINT needs the PIC, which it does not have.
static void pin_deliver(struct ioapic *io, unsigned pin)
{
    u64 entry = io->entry[pin];
    u8 vector = (u8)entry;
    unsigned mode = entry >> 8 & 7;
    bool vectored = (mode == IOAPIC_FIXED || mode == IOAPIC_LOWEST) && vector >= LOWEST_VECTOR;
    if (vectored || mode == IOAPIC_NMI)
        io->deliver(io->context, vector, mode, (u8)(entry >> 56));
}

static bool pin_level_enabled(const struct ioapic *io, unsigned pin)
{
    return (io->entry[pin] & (ENTRY_LEVEL | ENTRY_MASKED)) == ENTRY_LEVEL;
}

bool ioapic_listens(const struct ioapic *io, unsigned pin)
{
    assert_that(pin < IOAPIC_PINS);
    return !(io->entry[pin] & ENTRY_MASKED);
}

void ioapic_resample(struct ioapic *io, unsigned pin)
{
    assert_that(pin < IOAPIC_PINS);
    if (pin_level_enabled(io, pin) && (io->lines & BIT(pin)))
        pin_deliver(io, pin);
}

// An edge at a masked pin is lost: "not delivered or held pending" (82093AA, 3.2.4, bit 16); QEMU and Bochs
// agree, and Linux resends such an edge by itself. So only a level-triggered pin looks at its line later.
void ioapic_set_line(struct ioapic *io, unsigned pin, bool asserted)
{
    assert_that(pin < IOAPIC_PINS);
    bool rises = asserted && !(io->lines & BIT(pin));
    io->lines = asserted ? io->lines | (u32)BIT(pin) : io->lines & ~(u32)BIT(pin);
    if (rises && !(io->entry[pin] & ENTRY_MASKED))
        pin_deliver(io, pin);
}

static void entry_write(struct ioapic *io, unsigned reg, u32 value)
{
    unsigned pin = (reg - IOREDTBL) / 2;
    unsigned shift = reg % 2 * 32;
    bool before = pin_level_enabled(io, pin);
    u64 merged = (io->entry[pin] & ~(ENTRY_LOW << shift)) | (u64)value << shift;
    io->entry[pin] = merged & ENTRY_WRITABLE;
    if (!before)
        ioapic_resample(io, pin);
}

static void window_write(struct ioapic *io, u32 value)
{
    if (io->select == IOAPICID)
        io->id = value >> ID_SHIFT & ID_MASK;
    else if (io->select >= IOREDTBL && io->select < IOREDTBL_END)
        entry_write(io, io->select, value);
}

static u32 window_read(const struct ioapic *io)
{
    if (io->select == IOAPICID || io->select == IOAPICARB)
        return (u32)io->id << ID_SHIFT;
    if (io->select == IOAPICVER)
        return VERSION_VALUE;
    if (io->select < IOREDTBL || io->select >= IOREDTBL_END)
        return 0;
    return (u32)(io->entry[(io->select - IOREDTBL) / 2] >> io->select % 2 * 32);
}

static void eoi_write(struct ioapic *io, u8 vector)
{
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        if ((u8)io->entry[pin] == vector)
            ioapic_resample(io, pin);
}

u32 ioapic_read(const struct ioapic *io, u32 offset, unsigned bytes)
{
    if (bytes != sizeof(u32))
        return 0;
    if (offset == IOREGSEL)
        return io->select;
    return offset == IOWIN ? window_read(io) : 0;
}

void ioapic_write(struct ioapic *io, u32 offset, unsigned bytes, u32 value)
{
    if (bytes != sizeof(u32))
        return;
    if (offset == IOREGSEL)
        io->select = (u8)value;
    else if (offset == IOWIN)
        window_write(io, value);
    else if (offset == EOI)
        eoi_write(io, (u8)value);
}
