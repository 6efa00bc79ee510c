// The half of arch/timer.h that needs no particular machine: rates of the TSC and the local APIC timer by
// counters of known rate, whoever reads them. Of arch/io.h it uses RDTSC and CPUID alone. timer.c has the
// counters.
#pragma once

#include <arch/timer.h>

// A counter that counts up. One whose rate is known is a reference; the local APIC timer is one that is
// measured.
struct timer_counter {
    const char *name;
    void (*start)(void); // before each sample; NULL: it always runs
    u64 (*read)(const void *of);
    const void *of;
    unsigned bits;  // 16 to 64; it goes on from 0 after its highest value
    u64 period_fs;  // 10^-15 seconds; 0: it is not there
    u64 must_be_hz; // the TSC's rate if what is said of this counter is true; 0: nothing is said of it
};

// Measures against the first of the references that is there, runs, gives samples that agree, and does not
// contradict itself; of the others `rates` says why not. ERR_ABSENT: there is none.
// A reading stands between two of the TSC, and the tightest of some is taken; a sample in which the processor
// was away from us for long is taken again. So a busy host makes it take longer, some 10 s for each reference
// at most.
int timer_rates_measure(struct timer_rates *rates, const struct timer_counter *references, unsigned count,
                        const struct timer_counter *apic, timer_progress *progress) must_check;

// What CPUID leaf 15H says makes the local APIC timer a reference, which counts the core crystal clock (SDM
// vol. 3, 11.5.4), and says the TSC's rate: how it is counted against that is proof. Not there where the leaf
// leaves anything open.
struct timer_counter timer_crystal(const struct timer_counter *apic);

// How far a counter of so many bits (1 to 64) went from `start` to `end`, if it passed its end at most once.
u64 timer_elapsed(u64 start, u64 end, unsigned bits);

// The median of the rates, if at least 3 and more than half of them are within 0.1 % of it, itself included,
// and it is not 0; else 0.
#define TIMER_RATES_MOST 64u
u64 timer_believe(const u64 *rates, unsigned count);

// Whether a stretch of so many instructions took just as many ticks, but for the two reads around it. Of two
// stretches of which one divides, this is true of both only where the counter counts instructions, whatever
// its rate.
bool timer_is_instructions(u64 ticks, u64 instructions);
