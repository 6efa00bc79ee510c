// Measures how fast the host's time stamp counter and local APIC timer run.
#pragma once

#include <arch/acpi.h>

#define PORT_B 0x61 // of every PC: gate and output of the PIT's channel 2

struct timer_rates {
    u64 tsc_hz;
    u64 apic_hz; // of the local APIC timer, divided by 1; 0: the local APIC is disabled
    bool by_pit; // measured against the PIT, for want of a PM timer
};

// Takes some 100 ms: five samples of 20 ms against the ACPI PM timer or, where there is none, channel 2 of
// the PIT. Uses the local APIC timer (masked, stopped afterwards; its page must be mapped) and the PIT's
// channel 2: call it at boot with interrupts off, before they have another owner. ERR_ABSENT: neither
// reference runs. ERR_INVALID: the samples differ by more than 0.1 %.
int timer_measure(const struct acpi *acpi, struct timer_rates *rates) must_check;

// Whether the TSC counts instructions, as it does in an emulator that knows no other time.
bool timer_counts_instructions(void);
