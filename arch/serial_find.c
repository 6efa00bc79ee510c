// See serial_find.h. UARTs whose registers are in memory are left out: serial.c reaches ports only.
#include <arch/console.h>
#include <arch/lib.h>
#include <arch/pci.h>

#include "serial_find.h"

#define PORT_FIRST 0x100
#define PORT_LAST  0xfff8
#define PC_CLOCK   115200 // baud at divisor 1

// Serial controllers that are like a 16550: base class 7, subclass 0, interfaces 2 to 6.
#define CLASS_16550_FIRST 0x070002
#define CLASS_16550_LAST  0x070006

static bool start(struct serial *s, u64 port, unsigned divisor)
{
    return port >= PORT_FIRST && port <= PORT_LAST && serial_init(s, (u16)port, divisor);
}

static bool start_named(struct serial *s, const struct acpi_uart *uart)
{
    return uart->at.space == ACPI_IO &&
           start(s, uart->at.address, uart->baud ? PC_CLOCK / uart->baud : SERIAL_KEEP);
}

static const char *start_legacy(struct serial *s)
{
    static const struct {
        u16 port;
        const char *name;
    } legacy[] = {{COM1_PORT, "COM1"}, {COM2_PORT, "COM2"}, {COM3_PORT, "COM3"}, {COM4_PORT, "COM4"}};
    for (size_t i = 0; i < ARRAY_SIZE(legacy); i++) {
        if (start(s, legacy[i].port, SERIAL_115200))
            return legacy[i].name;
    }
    return NULL;
}

// The first BAR that is a port; 0: there is none.
static u32 pci_port(const struct pci_function *f)
{
    for (u32 i = 0; i < PCI_BARS; i++) {
        u32 bar = pci_read(f, PCI_BAR + 4 * i);
        if (bar & PCI_BAR_IO && bar >> 2)
            return bar & ~3u;
        if (!(bar & PCI_BAR_IO) && bar & PCI_BAR_64)
            i++;
    }
    return 0;
}

// Firmware may have assigned the port and not switched it on. The status is written with zeros, which change
// nothing.
static bool start_function(const struct pci_function *f, void *context)
{
    if (f->header != PCI_HEADER_DEVICE || f->class_code < CLASS_16550_FIRST ||
        f->class_code > CLASS_16550_LAST)
        return false;
    u32 port = pci_port(f), command = pci_read(f, PCI_COMMAND) & 0xffff;
    if (!port)
        return false;
    pci_write(f, PCI_COMMAND, command | PCI_COMMAND_IO);
    if (start(context, port, SERIAL_KEEP))
        return true;
    pci_write(f, PCI_COMMAND, command);
    return false;
}

const char *serial_find(struct serial *s, const struct acpi *acpi, bool *unasked)
{
    *unasked = false;
    if (start_named(s, &acpi->spcr))
        return "the firmware's console (ACPI's SPCR)";
    const char *name = start_legacy(s);
    if (name)
        return name;
    *unasked = true;
    if (pci_walk(&pci_ports, start_function, s))
        return "a PCI function's";
    return start_named(s, &acpi->dbg2) ? "the port for debuggers (ACPI's DBG2)" : NULL;
}
