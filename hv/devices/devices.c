// See devices.h.
#include <arch/console.h>

#include "guest_ports.h"
#include "devices.h"
#include "due.h"
#include "event.h"
#include "stop.h"
#include "../vm.h"

#define KEYBOARD_RESET 0xfe

// Where nothing makes a guest exit that waits, it is not told to wait: the console does.
static bool uart_transmit(void *context, u8 byte)
{
    struct vcpu *v = context;
    console_guest_write(byte);
    if (!v->sending && due_has_timer(v) && !console_empty()) {
        due_send(v);
        due_arm(v, legacy_wait(v));
    }
    return !v->sending;
}

static void uart_line_changed(void *context, bool level)
{
    struct vcpu *v = context;
    ioapic_set_line(&v->vm->ioapic, GUEST_COM1_PIN, level);
    legacy_set_line(v, GUEST_COM1_PIN, level);
}

static void ioapic_deliver(void *context, u8 vector, enum ioapic_delivery mode, u8 destination)
{
    struct vcpu *v = context;
    (void)destination; // there is one processor: every destination that is answered is it
    if (mode == IOAPIC_NMI)
        event_nmi_later(v);
    else
        apic_raise(&v->vm->apic, vector);
}

void devices_init(struct vcpu *v, u64 second)
{
    ioapic_init(&v->vm->ioapic, ioapic_deliver, v);
    uart_init(&v->vm->uart, uart_transmit, uart_line_changed, v);
    legacy_init(v, second);
}

void devices_due(struct vcpu *v)
{
    if (!v->sending || !console_empty())
        return;
    v->sending = false;
    uart_sent(&v->vm->uart);
    ioapic_resample(&v->vm->ioapic, GUEST_COM1_PIN);
}

static u64 uart_port_read(struct vcpu *v, const struct device_access *a)
{
    devices_due(v);
    u8 value = uart_read(&v->vm->uart, (unsigned)(a->at - GUEST_COM1_PORT));
    ioapic_resample(&v->vm->ioapic, GUEST_COM1_PIN);
    return value;
}

static enum verdict uart_port_write(struct vcpu *v, const struct device_access *a)
{
    devices_due(v);
    uart_write(&v->vm->uart, (unsigned)(a->at - GUEST_COM1_PORT), (u8)a->value);
    ioapic_resample(&v->vm->ioapic, GUEST_COM1_PIN);
    return VERDICT_SKIP;
}

static enum verdict exit_port_write(struct vcpu *v, const struct device_access *a)
{
    v->vm->status = a->value;
    v->vm->status_given = true;
    return vm_stop(v, "guest ended with status %u", (u32)a->value);
}

static enum verdict reset_write(struct vcpu *v, const struct device_access *a)
{
    bool reset = a->at == GUEST_KEYBOARD_PORT ? a->value == KEYBOARD_RESET
                                              : (a->value & ACPI_RESET_VALUE) == ACPI_RESET_VALUE;
    return reset ? vm_stop(v, "guest reset") : VERDICT_SKIP;
}

static enum verdict sleep_write(struct vcpu *v, const struct device_access *a)
{
    if (a->value & ACPI_SLP_EN && ACPI_SLP_TYP(a->value) == ACPI_S5_SLP_TYP)
        return vm_stop(v, "guest powered off");
    return VERDICT_SKIP;
}

static u64 zero_read(struct vcpu *v, const struct device_access *a)
{
    (void)v, (void)a;
    return 0;
}

static u64 ioapic_page_read(struct vcpu *v, const struct device_access *a)
{
    return ioapic_read(&v->vm->ioapic, (u32)(a->at - GUEST_IOAPIC_GPA), a->bytes);
}

static enum verdict ioapic_page_write(struct vcpu *v, const struct device_access *a)
{
    ioapic_write(&v->vm->ioapic, (u32)(a->at - GUEST_IOAPIC_GPA), a->bytes, (u32)a->value);
    legacy_attend(v); // the timer's pin may have been unmasked
    return VERDICT_SKIP;
}

// The local APIC's page exits only where the guest's mode is below the hardware's (apic.h).
static bool is_apic_register(const struct device_access *a)
{
    return a->bytes == 4 && a->at % 16 == 0;
}

static u64 lapic_page_read(struct vcpu *v, const struct device_access *a)
{
    return is_apic_register(a) ? apic_page_read(v, (u32)(a->at - GUEST_LAPIC_GPA)) : 0;
}

static enum verdict lapic_page_write(struct vcpu *v, const struct device_access *a)
{
    if (is_apic_register(a))
        apic_page_write(v, (u32)(a->at - GUEST_LAPIC_GPA), (u32)a->value);
    return VERDICT_SKIP;
}

enum space { PORT, PAGE };

// A row answers accesses that begin in it. Those to ports of `by_byte` are taken apart, as the bus does for
// devices of 8 bits. The others are not: 4 bytes at CF8H are PCI's address register and no reset, and a
// status may be wider than a byte. Only a write to a port can end the guest.
static const struct device {
    enum space space;
    u64 first, count; // ports, or bytes of gpa
    bool by_byte;
    u64 (*read)(struct vcpu *v, const struct device_access *a);
    enum verdict (*write)(struct vcpu *v, const struct device_access *a);
} devices[] = {
    {PORT, GUEST_COM1_PORT, 8, true, uart_port_read, uart_port_write},
    {PORT, GUEST_EXIT_PORT, 1, false, NULL, exit_port_write},
    {PORT, ACPI_SLEEP_CONTROL_PORT, 1, false, zero_read, sleep_write},
    {PORT, ACPI_SLEEP_STATUS_PORT, 1, false, zero_read, NULL},
    {PORT, ACPI_RESET_PORT, 1, false, NULL, reset_write},
    {PORT, GUEST_KEYBOARD_PORT, 1, false, NULL, reset_write},
    {PORT, GUEST_PIC1_PORT, 2, true, legacy_pic_read, legacy_pic_write},
    {PORT, GUEST_PIT_PORT, 4, true, legacy_pit_read, legacy_pit_write},
    {PORT, GUEST_PORT_B, 1, true, legacy_pit_read, legacy_pit_write},
    {PORT, GUEST_PIC2_PORT, 2, true, legacy_pic_read, legacy_pic_write},
    {PORT, GUEST_RTC_PORT, 2, true, legacy_rtc_read, legacy_rtc_write},
    {PAGE, GUEST_IOAPIC_GPA, PAGE_SIZE, false, ioapic_page_read, ioapic_page_write},
    {PAGE, GUEST_LAPIC_GPA, PAGE_SIZE, false, lapic_page_read, lapic_page_write},
};

static const struct device *find(enum space space, u64 at)
{
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
        if (devices[i].space == space && at - devices[i].first < devices[i].count)
            return &devices[i];
    }
    return NULL;
}

static u64 read_one(struct vcpu *v, const struct device *device, u64 at, unsigned bytes)
{
    const struct device_access a = {.at = at, .bytes = bytes};
    return device && device->read ? device->read(v, &a) : ~0ull;
}

static enum verdict write_one(struct vcpu *v, const struct device *device, u64 at, unsigned bytes, u64 value)
{
    const struct device_access a = {at, bytes, value};
    return device && device->write ? device->write(v, &a) : VERDICT_SKIP;
}

u32 devices_port_read(struct vcpu *v, u16 port, unsigned bytes)
{
    const struct device *device = find(PORT, port);
    if (!device || !device->by_byte)
        return (u32)read_one(v, device, port, bytes);
    u32 value = 0;
    for (unsigned i = 0; i < bytes; i++, port++)
        value |= (u32)(read_one(v, find(PORT, port), port, 1) & 0xff) << 8 * i;
    return value;
}

enum verdict devices_port_write(struct vcpu *v, u16 port, unsigned bytes, u32 value)
{
    const struct device *device = find(PORT, port);
    if (!device || !device->by_byte)
        return write_one(v, device, port, bytes, value);
    enum verdict verdict = VERDICT_SKIP;
    for (unsigned i = 0; i < bytes && verdict == VERDICT_SKIP; i++, port++)
        verdict = write_one(v, find(PORT, port), port, 1, value >> 8 * i & 0xff);
    return verdict;
}

u64 devices_page_read(struct vcpu *v, u64 gpa, unsigned bytes)
{
    return read_one(v, find(PAGE, gpa), gpa, bytes);
}

void devices_page_write(struct vcpu *v, u64 gpa, unsigned bytes, u64 value)
{
    write_one(v, find(PAGE, gpa), gpa, bytes, value);
}
