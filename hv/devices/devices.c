// See devices.h.
#include <arch/console.h>

#include "guest_ports.h"
#include "devices.h"
#include "event.h"
#include "stop.h"
#include "../vm.h"

#define UART_PIN       4    // and input of the 8259s
#define EXIT_PORT      0xf4 // where test kernels write their status
#define KEYBOARD_PORT  0x64
#define KEYBOARD_RESET 0xfe
#define PIC1_PORT      0x20
#define PIT_PORT       0x40
#define PORT61         0x61
#define RTC_PORT       0x70
#define PIC2_PORT      0xa0

static void uart_transmit(void *context, u8 byte)
{
    (void)context;
    console_guest_write(byte);
}

static void uart_line_changed(void *context, bool level)
{
    struct vcpu *v = context;
    ioapic_set_line(&v->vm->ioapic, UART_PIN, level);
    legacy_set_line(v, UART_PIN, level);
}

static void ioapic_deliver(void *context, u8 vector, enum ioapic_delivery mode, u8 destination)
{
    struct vcpu *v = context;
    (void)destination; // there is one processor: every destination that is answered is it
    if (mode == IOAPIC_NMI)
        event_nmi_later(v);
    else
        apic_raise(v, vector);
}

void devices_init(struct vcpu *v, u64 second)
{
    ioapic_init(&v->vm->ioapic, ioapic_deliver, v);
    uart_init(&v->vm->uart, uart_transmit, uart_line_changed, v);
    legacy_init(v, second);
}

static u32 uart_port_read(struct vcpu *v, u16 port)
{
    u32 value = uart_read(&v->vm->uart, port - GUEST_COM1_PORT);
    ioapic_resample(&v->vm->ioapic, UART_PIN);
    return value;
}

static enum verdict uart_port_write(struct vcpu *v, u16 port, u32 value)
{
    uart_write(&v->vm->uart, port - GUEST_COM1_PORT, (u8)value);
    ioapic_resample(&v->vm->ioapic, UART_PIN);
    return VERDICT_SKIP;
}

static enum verdict exit_port_write(struct vcpu *v, u16 port, u32 value)
{
    (void)port;
    v->vm->status = value;
    v->vm->status_given = true;
    return vm_stop(v, "guest ended with status %u", value);
}

static enum verdict reset_write(struct vcpu *v, u16 port, u32 value)
{
    bool reset =
        port == KEYBOARD_PORT ? value == KEYBOARD_RESET : (value & ACPI_RESET_VALUE) == ACPI_RESET_VALUE;
    return reset ? vm_stop(v, "guest reset") : VERDICT_SKIP;
}

static enum verdict sleep_write(struct vcpu *v, u16 port, u32 value)
{
    (void)port;
    if (value & ACPI_SLP_EN && ACPI_SLP_TYP(value) == ACPI_S5_SLP_TYP)
        return vm_stop(v, "guest powered off");
    return VERDICT_SKIP;
}

static u32 zero_read(struct vcpu *v, u16 port)
{
    (void)v, (void)port;
    return 0;
}

// A row answers accesses that begin in it. Those to rows of `bytes` are taken apart, as the bus does for
// devices of 8 bits. The others are not: 4 bytes at CF8H are PCI's address register and no reset, and a
// status may be wider than a byte.
static const struct port_row {
    u16 first, last;
    bool bytes;
    u32 (*read)(struct vcpu *v, u16 port);
    enum verdict (*write)(struct vcpu *v, u16 port, u32 value);
} ports[] = {
    {GUEST_COM1_PORT, GUEST_COM1_PORT + 7, true, uart_port_read, uart_port_write},
    {EXIT_PORT, EXIT_PORT, false, NULL, exit_port_write},
    {ACPI_SLEEP_CONTROL_PORT, ACPI_SLEEP_CONTROL_PORT, false, zero_read, sleep_write},
    {ACPI_SLEEP_STATUS_PORT, ACPI_SLEEP_STATUS_PORT, false, zero_read, NULL},
    {ACPI_RESET_PORT, ACPI_RESET_PORT, false, NULL, reset_write},
    {KEYBOARD_PORT, KEYBOARD_PORT, false, NULL, reset_write},
    {PIC1_PORT, PIC1_PORT + 1, true, legacy_pic_read, legacy_pic_write},
    {PIT_PORT, PIT_PORT + 3, true, legacy_pit_read, legacy_pit_write},
    {PORT61, PORT61, true, legacy_pit_read, legacy_pit_write},
    {PIC2_PORT, PIC2_PORT + 1, true, legacy_pic_read, legacy_pic_write},
    {RTC_PORT, RTC_PORT + 1, true, legacy_rtc_read, legacy_rtc_write},
};

static const struct port_row *port_find(u16 port)
{
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        if (port >= ports[i].first && port <= ports[i].last)
            return &ports[i];
    }
    return NULL;
}

static u32 read_one(struct vcpu *v, const struct port_row *row, u16 port)
{
    return row && row->read ? row->read(v, port) : 0xffffffff;
}

u32 devices_port_read(struct vcpu *v, u16 port, unsigned bytes)
{
    const struct port_row *row = port_find(port);
    if (!row || !row->bytes)
        return read_one(v, row, port);
    u32 value = 0;
    for (unsigned i = 0; i < bytes; i++, port++)
        value |= (read_one(v, port_find(port), port) & 0xff) << 8 * i;
    return value;
}

static enum verdict write_one(struct vcpu *v, const struct port_row *row, u16 port, u32 value)
{
    return row && row->write ? row->write(v, port, value) : VERDICT_SKIP;
}

enum verdict devices_port_write(struct vcpu *v, u16 port, unsigned bytes, u32 value)
{
    const struct port_row *row = port_find(port);
    if (!row || !row->bytes)
        return write_one(v, row, port, value);
    enum verdict verdict = VERDICT_SKIP;
    for (unsigned i = 0; i < bytes && verdict == VERDICT_SKIP; i++, port++)
        verdict = write_one(v, port_find(port), port, value >> 8 * i & 0xff);
    return verdict;
}

// The local APIC's page exits only where the guest's mode is below the hardware's (apic.h).
static u64 apic_access_read(struct vcpu *v, u32 offset, unsigned bytes)
{
    return bytes == 4 && offset % 16 == 0 ? apic_page_read(v, offset) : 0;
}

static void apic_access_write(struct vcpu *v, u32 offset, unsigned bytes, u64 value)
{
    if (bytes == 4 && offset % 16 == 0)
        apic_page_write(v, offset, (u32)value);
}

static u64 ioapic_access_read(struct vcpu *v, u32 offset, unsigned bytes)
{
    return ioapic_read(&v->vm->ioapic, offset, bytes);
}

static void ioapic_access_write(struct vcpu *v, u32 offset, unsigned bytes, u64 value)
{
    ioapic_write(&v->vm->ioapic, offset, bytes, (u32)value);
    legacy_attend(v); // the timer's pin may have been unmasked
}

static const struct page_row {
    u64 base, bytes; // of gpa
    u64 (*read)(struct vcpu *v, u32 offset, unsigned bytes);
    void (*write)(struct vcpu *v, u32 offset, unsigned bytes, u64 value);
} pages[] = {
    {GUEST_IOAPIC_GPA, PAGE_SIZE, ioapic_access_read, ioapic_access_write},
    {GUEST_LAPIC_GPA, PAGE_SIZE, apic_access_read, apic_access_write},
};

static const struct page_row *page_find(u64 gpa)
{
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        if (gpa - pages[i].base < pages[i].bytes)
            return &pages[i];
    }
    return NULL;
}

u64 devices_page_read(struct vcpu *v, u64 gpa, unsigned bytes)
{
    const struct page_row *row = page_find(gpa);
    return row ? row->read(v, (u32)(gpa - row->base), bytes) : ~0ull;
}

void devices_page_write(struct vcpu *v, u64 gpa, unsigned bytes, u64 value)
{
    const struct page_row *row = page_find(gpa);
    if (row)
        row->write(v, (u32)(gpa - row->base), bytes, value);
}
