// Which serial port a console can have on this machine, where nobody has named one.
#pragma once

#include <arch/acpi.h>

#include "serial.h"

// Starts `s` on the first UART that answers: the one of SPCR, COM1 to COM4, a PCI function's, the one of
// DBG2. Returns its kind in words; NULL: there is none behind I/O ports. *unasked: it is one of the last two,
// so nothing says that it is for a console.
const char *serial_find(struct serial *s, const struct acpi *acpi, bool *unasked);
