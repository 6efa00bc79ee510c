// One workload measured: in a process group of its own, with a limit of time. Does not print.
#pragma once
#include "bench.h"
#include "meter.h"

enum { REPETITIONS_MAX = 1000 };

struct plan {
    unsigned repetitions;
    double factor;  // multiplies the iterations
    unsigned limit; // seconds for all of a workload, 0: none
};

struct measurement {
    char failure[512]; // "": all went well, and the rest is meant
    unsigned long iterations;
    unsigned repetitions;
    uint64_t cycles[REPETITIONS_MAX]; // of each repetition
    uint64_t faults;
    uint64_t counters[METER_MAX]; // as meter_stop() gives them
};

// The result lasts until the next call. When it comes, no process that the workload started is left, unless
// it has gone into a process group of its own.
const struct measurement *workload_measure(const struct workload *w, const struct plan *plan);
