// The ACPI tables that the guest sees: RSDP, XSDT, FADT, MADT and the DSDT compiled from dsdt.asl, for ACPI's
// hardware-reduced mode, with a CMOS RTC: PIC and PIT are not told of, a keyboard controller and a PM timer
// are not there. This file writes them into memory; it does not choose where they lie (the guest loaders),
// nor does it model the ports that they name (guest_ports.h).
#pragma once

#include <arch/types.h>

struct acpi_guest {
    u32 apic_id;      // of the one processor
    const void *dsdt; // compiled dsdt.asl
    size_t dsdt_bytes;
};

// Writes all tables to `area`, which the guest sees at gpa_of_area (a multiple of 16, and all of the area
// below 4G). The RSDP is at its start. Returns the bytes used (they end on a multiple of 16), or ERR_INVALID:
// the address or the DSDT is not well-formed; ERR_NOMEM: the area is too small, and nothing is written.
int acpi_tables_build(void *area, size_t area_bytes, u32 gpa_of_area,
                      const struct acpi_guest *guest) must_check;
