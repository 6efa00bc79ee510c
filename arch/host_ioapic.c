// Masks the 8259s and the IOAPICs of the host, and routes one interrupt as an NMI. IOAPIC registers: Intel
// 82093AA data sheet, 3.
#include <arch/host_ioapic.h>

#include <arch/io.h>
#include <arch/phys.h>

#define PIC1_DATA 0x21
#define PIC2_DATA 0xa1

#define IOAPIC_SELECT      0x00 // of the register that is at IOAPIC_WINDOW
#define IOAPIC_WINDOW      0x10
#define IOAPICVER          0x01               // bits 23:16: number of the last pin
#define IOREDTBL(pin)      (0x10 + 2 * (pin)) // low half; the high half follows
#define REDIRECTION_MASKED BIT(16)
#define REDIRECTION_LOW    BIT(13)
#define REDIRECTION_NMI    (4u << 8)

static volatile u32 *ioapic_register(const struct acpi_ioapic *ioapic, u32 index)
{
    volatile u8 *registers = phys_ptr(ioapic->hpa);
    *(volatile u32 *)(registers + IOAPIC_SELECT) = index;
    return (volatile u32 *)(registers + IOAPIC_WINDOW);
}

static u32 ioapic_pins(const struct acpi_ioapic *ioapic)
{
    return (*ioapic_register(ioapic, IOAPICVER) >> 16 & 0xff) + 1;
}

static void ioapic_mask(const struct acpi_ioapic *ioapic)
{
    u32 pins = ioapic_pins(ioapic);
    for (u32 pin = 0; pin < pins; pin++)
        *ioapic_register(ioapic, IOREDTBL(pin)) = REDIRECTION_MASKED;
}

void host_ioapic_mask_all(const struct acpi *acpi)
{
    outb(PIC1_DATA, 0xff);
    outb(PIC2_DATA, 0xff);
    for (unsigned i = 0; i < acpi->ioapics; i++)
        ioapic_mask(&acpi->ioapic[i]);
}

int host_ioapic_route_nmi(const struct acpi *acpi, u8 isa_irq, u32 apic_id)
{
    struct acpi_override route = acpi_isa_route(acpi, isa_irq);
    const struct acpi_ioapic *ioapic = acpi_ioapic_of(acpi, route.gsi);
    if (!ioapic || route.gsi - ioapic->gsi_base >= ioapic_pins(ioapic))
        return ERR_ABSENT;
    if (apic_id > 0xff)
        return ERR_INVALID;
    u32 pin = route.gsi - ioapic->gsi_base;
    bool low = (route.flags & ACPI_POLARITY_MASK) == ACPI_POLARITY_LOW;
    // The trigger mode stays "edge" whatever the override says: delivery mode NMI demands it
    // (82093AA, 3.2.4).
    *ioapic_register(ioapic, IOREDTBL(pin) + 1) = apic_id << 24;
    *ioapic_register(ioapic, IOREDTBL(pin)) = REDIRECTION_NMI | (low ? REDIRECTION_LOW : 0);
    return 0;
}
