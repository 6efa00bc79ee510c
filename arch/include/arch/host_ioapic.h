// The host's interrupt controllers for devices: silenced, but for the one interrupt that the monitor wants
// for itself, as an NMI, since all others belong to the guest. The local APIC is elsewhere: it is the
// guest's.
#pragma once

#include <arch/acpi.h>

// Masks every pin of both 8259 PICs and of all IOAPICs. Call it before anything is routed, with IOAPICs
// mapped.
void host_ioapic_mask_all(const struct acpi *acpi);

// Delivers an ISA interrupt as an NMI to the processor with this local APIC id, from now on. ERR_ABSENT: no
// IOAPIC has a pin for it. ERR_INVALID: the id needs more than the 8 bits that an IOAPIC has for it.
int host_ioapic_route_nmi(const struct acpi *acpi, u8 isa_irq, u32 apic_id) must_check;
