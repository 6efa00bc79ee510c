// How fast this processor's core runs: what the monitor asks of it, so that all guests have the same, and
// what it was (SDM vol. 3, chapter 15). The frequency counters count in guest and monitor alike, while the
// core is not halted.
#pragma once

#include <arch/types.h>

enum frequency_choice {
    FREQUENCY_BASE,  // the highest without turbo
    FREQUENCY_TURBO, // as high as it goes
    FREQUENCY_KEEP,  // as firmware left it
};

struct frequency {
    bool counts;      // IA32_APERF and IA32_MPERF do
    bool counts_smis; // MSR_SMI_COUNT is there
    char says[240];   // what was asked for, by what, and what is counted; or why not
};

// Asks for it, on the processor that it runs on, by HWP or else by IA32_PERF_CTL, and finds the counters.
// Changes nothing but the registers of power management; HWP, once on, stays on until reset. Every register
// may be missing. Needs traps_init.
void frequency_set(struct frequency *f, enum frequency_choice choice);

// What is not counted is 0. aperf / mperf is the core's rate by the TSC's.
struct frequency_counts {
    u64 aperf, mperf;
    u64 smis;
};
struct frequency_counts frequency_read(const struct frequency *f);

// What was counted from `begin` to `end`.
struct frequency_counts frequency_between(const struct frequency_counts *begin,
                                          const struct frequency_counts *end);
