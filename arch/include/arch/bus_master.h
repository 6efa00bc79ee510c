// Devices that firmware left running write to memory by themselves: USB controllers that it polls for a
// keyboard, network cards that it booted from. Their buffers are memory that firmware has given up.
#pragma once

#include <arch/acpi.h>
#include <arch/multiboot2.h>

struct bus_masters {
    unsigned functions; // of all kinds
    unsigned stopped;   // that were bus masters, and are none now
    unsigned stuck;     // that went on being one
    unsigned unreached; // segments whose registers are not mapped, or where the loader says that there is RAM
};

// Switches off bus mastering (command bit 2) of every PCI function that is on, but for displays, which show
// what is in memory, and for what carries other devices' transactions: bridges, interrupt controllers and
// IOMMUs. When it returns, what the stopped ones had sent is in memory. They send no message-signalled
// interrupts, either. `map_end`: the end of the direct map (arch/memory.h).
struct bus_masters bus_masters_stop(const struct acpi *acpi, const struct boot_info *boot, u64 map_end);
