// The ACPI tables that the guest sees: RSDP, XSDT, FADT, MADT and the DSDT compiled from dsdt.asl, for ACPI's
// hardware-reduced mode, with a CMOS RTC: PIC and PIT are not told of, a keyboard controller and a PM timer
// are not there. This file writes them into memory; it does not choose where they lie (the guest loaders),
// nor does it model the ports that they name.
#pragma once

#include <arch/types.h>

// Power-off: the guest writes SLP_EN and a sleep type to the control port (ACPI 6.3, 4.8.3.7).
#define ACPI_SLEEP_CONTROL_PORT 0x600
#define ACPI_SLEEP_STATUS_PORT  0x601
#define ACPI_SLP_EN             0x20
#define ACPI_SLP_TYP(value)     ((value) >> 2 & 7) // of a byte written to the control port
#define ACPI_S5_SLP_TYP         5
#define ACPI_SLEEP_STATUS_WAK_STS \
    0x80 // written as one to clear it; reads zero in a machine that never sleeps

// Reset: the guest writes this value to this port (ACPI 6.3, 4.8.3.6). Linux 6.1 does so only with
// `reboot=acpi`: in hardware-reduced mode it prefers EFI's reset, and where there is no EFI it goes to real
// mode and jumps to F000:FFF0.
#define ACPI_RESET_PORT  0xcf9
#define ACPI_RESET_VALUE 6

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
