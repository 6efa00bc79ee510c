// How the machine ends. None of these returns; the ways are tried one after the other, the surest first.
// `acpi` may be NULL or empty: then the ways that ACPI knows are left out. Interrupts are turned off.
#pragma once

#include <arch/acpi.h>

// Switches the machine off, or if it does not go, says so on the console and halts.
_Noreturn void machine_poweroff(const struct acpi *acpi);

// Resets the machine.
_Noreturn void machine_reboot(const struct acpi *acpi);

// Stops here for good, with the screen readable.
_Noreturn void machine_halt(void);
