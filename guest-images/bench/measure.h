// One workload measured: in a process group of its own, with a limit of time. Does not print.
#pragma once
#include "bench.h"
#include "meter.h"
#include "modes.h"

enum { REPETITIONS_MAX = 1000, FAILURE_BYTES = 512 };

struct plan {
    unsigned repetitions; // in each mode
    double factor;        // multiplies the iterations
    unsigned limit;       // seconds for a workload in one mode, 0: none
    unsigned modes;       // to measure in, by turns; 0: in the one that is
    const char *mode[MODES_MAX];
    uint64_t seed; // of their order
};

// How many measurements a workload has: one for each mode, or one.
static inline unsigned plan_measurements(const struct plan *plan)
{
    return plan->modes ? plan->modes : 1;
}

struct measurement {
    char failure[FAILURE_BYTES]; // "": all went well, and the rest is meant
    unsigned long iterations;
    unsigned long operations;           // of an iteration; 0: it is one
    unsigned repetitions;               // as planned, or fewer, where one takes long
    uint64_t cycles[REPETITIONS_MAX];   // of each repetition
    uint8_t positions[REPETITIONS_MAX]; // of the mode among the others of the same round, from 0
    uint64_t faults;
    uint64_t counters[METER_MAX]; // as meter_stop() gives them
};

// The result is of plan_measurements(plan). It lasts until the next call. A mode in which a
// first try takes longer than the limit fails alone. When the result comes, no process that the workload
// started is left, unless it has gone into a process group of its own.
const struct measurement *workload_measure(const struct workload *w, const struct plan *plan);
