// What a reader of measurements must know of the machine that they were made on.
#pragma once

#include <arch/types.h>

struct machine {
    char processor[49];       // the brand string
    u32 signature;            // CPUID.1:EAX
    u32 microcode;            // its revision; 0: none is told
    char hypervisor[13];      // signature of the hypervisor below, "": none shows itself
    bool counts_instructions; // the TSC does: this is an emulator
};

// The monitor's own version, as git describes it.
extern const char machine_monitor_version[];

// Reads all. With the traps in place.
void machine_read(struct machine *m);
