// Which serial port a console can have on this machine, where nobody has named one.
#pragma once

#include <arch/console.h>

#include "serial.h"

// Starts `s` on what console_find says, and returns that.
struct console_port serial_find(struct serial *s, const struct boot_info *boot, const struct acpi *acpi,
                                bool pci_only);
