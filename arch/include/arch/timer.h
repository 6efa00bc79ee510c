// Measures how fast the host's time stamp counter and local APIC timer run.
#pragma once

#include <arch/acpi.h>
#include <arch/io.h>

#define PORT_B 0x61 // of every PC: gate and output of the PIT's channel 2

struct timer_rates {
    u64 tsc_hz;
    u64 apic_hz;           // of the local APIC timer, divided by 1; 0: it does not run evenly
    const char *reference; // what they were measured against
    char vain[160];        // what was tried before, each with the reason why not; "": nothing
};

// Called about once a second while too few samples agree.
typedef void timer_progress(unsigned samples);

// Takes some 100 ms: samples of 20 ms against the ACPI PM timer, else the HPET, else channel 2 of the PIT,
// else the local APIC timer by what CPUID leaf 15H says of it. Uses the local APIC timer (masked, stopped
// afterwards), the HPET (left as it was) and the PIT's channel 2: call it at boot with interrupts off and the
// local APIC enabled, before they have another owner. ERR_ABSENT: there is no reference; `vain` says why.
int timer_measure(const struct acpi *acpi, struct timer_rates *rates, timer_progress *progress) must_check;

// Whether the TSC counts instructions, as it does in an emulator that knows no other time.
bool timer_counts_instructions(void);

// Whether the processor promises a TSC that runs at one rate in all its states (CPUID.80000007H:EDX[8]).
static inline bool timer_tsc_is_invariant(void)
{
    return cpuid(0x80000000, 0).eax >= 0x80000007 && cpuid(0x80000007, 0).edx & BIT(8);
}
