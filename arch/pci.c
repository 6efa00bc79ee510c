// See arch/pci.h.
#include <arch/io.h>
#include <arch/pci.h>
#include <arch/phys.h>

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define CONFIG_ENABLE  BIT(31)

#define DEVICES   32
#define FUNCTIONS 8

#define REGISTER_ID     0x00
#define REGISTER_CLASS  0x08 // bits 31:8
#define REGISTER_HEADER 0x0c // bits 23:16
#define HEADER_LAYOUT   0x7f
#define HEADER_MULTI    BIT(7) // there may be functions 1 to 7

static void select(u32 at)
{
    outl(CONFIG_ADDRESS, (u32)CONFIG_ENABLE | (at >> 4 & 0xffff00) | (at & 0xfc));
}

const struct acpi_segment pci_ports = {.last_bus = 0xff};

static volatile u32 *ecam_register(const struct pci_function *f, u32 offset)
{
    return phys_ptr(f->segment->ecam + (f->at | offset));
}

u32 pci_read(const struct pci_function *f, u32 offset)
{
    if (f->segment->ecam)
        return *ecam_register(f, offset);
    select(f->at | offset);
    return inl(CONFIG_DATA);
}

void pci_write(const struct pci_function *f, u32 offset, u32 value)
{
    if (f->segment->ecam) {
        *ecam_register(f, offset) = value;
        return;
    }
    select(f->at | offset);
    outl(CONFIG_DATA, value);
}

void pci_write_byte(u32 at, u8 value)
{
    select(at);
    outb((u16)(CONFIG_DATA + (at & 3)), value);
}

// What nobody answers reads as ones; no vendor has 0.
static bool is_there(const struct pci_function *f)
{
    u16 vendor = (u16)pci_read(f, REGISTER_ID);
    return vendor != 0 && vendor != 0xffff;
}

// Functions 1 to 7 of a device that has only one may answer in the place of function 0.
static bool walk_device(struct pci_function *f, bool (*each)(const struct pci_function *f, void *context),
                        void *context)
{
    u32 device = f->at;
    unsigned functions = 1;
    for (u32 n = 0; n < functions; n++) {
        f->at = device | PCI_AT(0, 0, n);
        if (!is_there(f))
            continue;
        u32 header = pci_read(f, REGISTER_HEADER) >> 16 & 0xff;
        if (n == 0 && header & HEADER_MULTI)
            functions = FUNCTIONS;
        f->header = header & HEADER_LAYOUT;
        f->class_code = pci_read(f, REGISTER_CLASS) >> 8;
        if (each(f, context))
            return true;
    }
    return false;
}

bool pci_walk(const struct acpi_segment *segment, bool (*each)(const struct pci_function *f, void *context),
              void *context)
{
    struct pci_function f = {.segment = segment};
    for (u32 bus = segment->first_bus; bus <= segment->last_bus; bus++) {
        for (u32 device = 0; device < DEVICES; device++) {
            f.at = PCI_AT(bus, device, 0);
            if (walk_device(&f, each, context))
                return true;
        }
    }
    return false;
}
