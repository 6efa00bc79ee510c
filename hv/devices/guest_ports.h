// The ports of the guest's devices and the pins of its IOAPIC, each number once: for devices.c and the models
// behind it, for the FADT (acpi_tables.c), and for the DSDT (dsdt.asl), so there are only defines here.
#pragma once

#define GUEST_COM1_PORT 0x3f8
#define GUEST_COM1_PIN  4 // and input of the 8259s

#define GUEST_PIC1_PORT     0x20
#define GUEST_PIC2_PORT     0xa0
#define GUEST_PIT_PORT      0x40
#define GUEST_PORT_B        0x61 // the PIT's gate, and its output
#define GUEST_KEYBOARD_PORT 0x64
#define GUEST_RTC_PORT      0x70
#define GUEST_EXIT_PORT     0xf4 // where test kernels write their status

// Power-off: the guest writes SLP_EN and a sleep type to the control port (ACPI 6.3, 4.8.3.7).
#define ACPI_SLEEP_CONTROL_PORT 0x600
#define ACPI_SLEEP_STATUS_PORT  0x601
#define ACPI_SLP_EN             0x20
#define ACPI_SLP_TYP(value)     ((value) >> 2 & 7) // of a byte written to the control port
#define ACPI_S5_SLP_TYP         5

// Reset: the guest writes this value to this port (ACPI 6.3, 4.8.3.6). Linux 6.1 does so only with
// `reboot=acpi`: in hardware-reduced mode it prefers EFI's reset, and where there is no EFI it goes to real
// mode and jumps to F000:FFF0.
#define ACPI_RESET_PORT  0xcf9
#define ACPI_RESET_VALUE 6
