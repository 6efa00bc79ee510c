// See arch/bus_master.h. Bridges stay on: what a device sends against a bridge that is off is an error, which
// firmware of servers answers with an NMI or a machine check (PCI Express Base 4.0, 7.5.1.1.3).
#include <arch/bus_master.h>
#include <arch/pci.h>

#define CLASS_DISPLAY              0x03
#define CLASS_BRIDGE               0x06
#define CLASS_INTERRUPT_CONTROLLER 0x0800
#define CLASS_IOMMU                0x0806

static bool may_stay(const struct pci_function *f)
{
    u32 base = f->class_code >> 16, class = f->class_code >> 8;
    return f->header != PCI_HEADER_DEVICE || base == CLASS_DISPLAY || base == CLASS_BRIDGE ||
           class == CLASS_INTERRUPT_CONTROLLER || class == CLASS_IOMMU;
}

static bool is_master(const struct pci_function *f)
{
    return pci_read(f, PCI_COMMAND) & PCI_COMMAND_BUS_MASTER;
}

// The status is written with zeros, which change nothing. Reading the command back also waits: the answer
// does not overtake what the device has written to memory before (PCI Express Base 4.0, 2.4.1).
static bool stop(const struct pci_function *f, void *context)
{
    struct bus_masters *m = context;
    m->functions++;
    if (may_stay(f) || !is_master(f))
        return false;
    pci_write(f, PCI_COMMAND, pci_read(f, PCI_COMMAND) & 0xffff & ~PCI_COMMAND_BUS_MASTER);
    if (is_master(f))
        m->stuck++;
    else
        m->stopped++;
    return false;
}

static bool is_reached(const struct acpi_segment *segment, const struct boot_info *boot, u64 map_end)
{
    u64 start = segment->ecam + PCI_AT(segment->first_bus, 0, 0);
    u64 end = segment->ecam + PCI_AT(segment->last_bus + 1ull, 0, 0);
    return start < end && end <= map_end && !boot_has_ram(boot, start, end);
}

// Segment 0 is reached by the ports, whatever ACPI says.
struct bus_masters bus_masters_stop(const struct acpi *acpi, const struct boot_info *boot, u64 map_end)
{
    struct bus_masters m = {0};
    pci_walk(&pci_ports, stop, &m);
    for (unsigned i = 0; i < acpi->segments; i++) {
        const struct acpi_segment *segment = &acpi->segment[i];
        if (segment->number && is_reached(segment, boot, map_end))
            pci_walk(segment, stop, &m);
        else if (segment->number)
            m.unreached++;
    }
    return m;
}
