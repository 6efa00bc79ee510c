// The ports by which a guest powers the machine off and resets it, as the FADT tells them (acpi_tables.c) and
// devices.c answers them.
#pragma once

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
