// See serial_find.h.
#include <arch/lib.h>
#include <arch/multiboot2.h>
#include <arch/pci.h>

#include "device_map.h"
#include "serial_find.h"

#define PORT_FIRST 0x100
#define PORT_LAST  0xfff8
#define PC_CLOCK   115200 // baud at divisor 1

// Serial controllers that are like a 16550: base class 7, subclass 0, interfaces 2 to 6.
#define CLASS_16550_FIRST 0x070002
#define CLASS_16550_LAST  0x070006

struct search {
    struct serial *s;
    const struct boot_info *boot;
    const struct acpi *acpi;
    struct console_port *found;
};

static bool start_port(struct search *search, u64 port, unsigned divisor)
{
    if (port < PORT_FIRST || port > PORT_LAST)
        return false;
    *search->s = SERIAL_PORT(port);
    search->found->at = port;
    return serial_init(search->s, divisor);
}

// The clock is not known, so firmware's divisor stays.
static bool start_memory(struct search *search, u64 hpa, u8 stride, u8 width)
{
    u64 bytes = SERIAL_BYTES(stride);
    if (!hpa || hpa % width || hpa + bytes < hpa)
        return false;
    if (boot_has_ram(search->boot, hpa, hpa + bytes)) {
        search->found->in_ram = hpa;
        return false;
    }
    *search->s = (struct serial)SERIAL_MEMORY((uintptr_t)uart_map(hpa, bytes), stride, width);
    search->found->at = hpa;
    search->found->in_memory = serial_init(search->s, SERIAL_KEEP);
    return search->found->in_memory;
}

static bool start_named(struct search *search, const struct acpi_uart *uart)
{
    u64 address = uart->at.address;
    switch (uart->at.space) {
    case ACPI_IO:
        return start_port(search, address, uart->baud ? PC_CLOCK / uart->baud : SERIAL_KEEP);
    case ACPI_MEMORY:
        return start_memory(search, address, uart->stride, uart->width);
    default:
        return false;
    }
}

static const char *start_spcr(struct search *search)
{
    return start_named(search, &search->acpi->spcr) ? "the firmware's console (ACPI's SPCR)" : NULL;
}

static const char *start_dbg2(struct search *search)
{
    return start_named(search, &search->acpi->dbg2) ? "the port for debuggers (ACPI's DBG2)" : NULL;
}

static const char *start_legacy(struct search *search)
{
    static const struct {
        u16 port;
        const char *name;
    } legacy[] = {{COM1_PORT, "COM1"}, {COM2_PORT, "COM2"}, {COM3_PORT, "COM3"}, {COM4_PORT, "COM4"}};
    for (size_t i = 0; i < ARRAY_SIZE(legacy); i++) {
        if (start_port(search, legacy[i].port, SERIAL_115200))
            return legacy[i].name;
    }
    return NULL;
}

// Whether a base address register of memory is for more than 16 bytes. The function must not answer to its
// memory meanwhile.
static bool has_more_than_16(const struct pci_function *f, u32 offset)
{
    u32 bar = pci_read(f, offset);
    pci_write(f, offset, 0xffffffff);
    bool more = !(pci_read(f, offset) & BIT(4));
    pci_write(f, offset, bar);
    return more;
}

// Cards have their registers at one of two distances, and a UART answers only at the right one. The wider one
// is not tried where it would reach another device's memory.
static bool start_pci_memory(struct search *search, const struct pci_function *f, u32 offset, u64 hpa,
                             u32 command)
{
    pci_write(f, PCI_COMMAND, command & ~(u32)PCI_COMMAND_MEMORY);
    bool wide = has_more_than_16(f, offset);
    pci_write(f, PCI_COMMAND, command | PCI_COMMAND_MEMORY);
    return start_memory(search, hpa, 1, 1) || (wide && start_memory(search, hpa, 4, 4));
}

static bool start_pci_port(struct search *search, const struct pci_function *f, u64 port, u32 command)
{
    pci_write(f, PCI_COMMAND, command | PCI_COMMAND_IO);
    return start_port(search, port, SERIAL_KEEP);
}

// Firmware may have assigned an address and not switched it on. The status is written with zeros, which
// change nothing.
static bool start_bars(struct search *search, const struct pci_function *f, bool memory)
{
    u32 command = pci_read(f, PCI_COMMAND) & 0xffff;
    for (u32 at = PCI_BAR; at < PCI_BAR + 4 * PCI_BARS; at += 4) {
        u32 bar = pci_read(f, at), offset = at;
        bool is_memory = !(bar & PCI_BAR_IO);
        u64 address = bar & (is_memory ? ~0xfu : ~3u);
        if (is_memory && bar & PCI_BAR_64 && at + 4 < PCI_BAR + 4 * PCI_BARS)
            address |= (u64)pci_read(f, at += 4) << 32;
        if (is_memory != memory || !address)
            continue;
        if (memory ? start_pci_memory(search, f, offset, address, command)
                   : start_pci_port(search, f, address, command))
            return true;
        pci_write(f, PCI_COMMAND, command);
    }
    return false;
}

static bool start_function(const struct pci_function *f, void *context)
{
    return f->header == PCI_HEADER_DEVICE && f->class_code >= CLASS_16550_FIRST &&
           f->class_code <= CLASS_16550_LAST &&
           (start_bars(context, f, false) || start_bars(context, f, true));
}

static const char *start_pci(struct search *search)
{
    return pci_walk(&pci_ports, start_function, search) ? "a PCI function's" : NULL;
}

struct console_port serial_find(struct serial *s, const struct boot_info *boot, const struct acpi *acpi,
                                bool pci_only)
{
    static const struct {
        const char *(*start)(struct search *search);
        bool is_pci, unasked;
    } ways[] = {{start_spcr, false, false},
                {start_legacy, false, false},
                {start_pci, true, true},
                {start_dbg2, false, true}};
    struct console_port found = {0};
    struct search search = {s, boot, acpi, &found};
    s->base = 0;
    for (size_t i = 0; i < ARRAY_SIZE(ways) && !found.how; i++) {
        if (pci_only && !ways[i].is_pci)
            continue;
        found.how = ways[i].start(&search);
        found.unasked = ways[i].unasked && !pci_only;
    }
    return found;
}
