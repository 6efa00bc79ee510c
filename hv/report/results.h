// What workloads in the guest have reported by PENUMBRA_RESULT, for the table at the end of a comparison.
#pragma once

#include <arch/types.h>
#include <hv/vmcall.h>

#define RESULTS 128 // workloads of one run: more than bench has, with a folder full of programs

struct vm;

struct results {
    struct penumbra_result rows[RESULTS];
    unsigned count;
    bool refused; // one was, which has been said
};

// Keeps a result, as the guest gave it. 0; PENUMBRA_OFF: this run is no part of a comparison;
// PENUMBRA_ARGUMENT: its workload's name is none that vmcall.h allows, or there is no room for more; the
// first time in a run that is said.
s64 results_add(struct vm *vm, const struct penumbra_result *result);

// The row of a workload, or NULL.
struct penumbra_result *results_find(struct results *results, const char *workload);

// Adds the results of a further run to those of earlier ones: repetitions and exits are summed, lowest and
// highest are over all, the median is the mean of the runs' medians. A workload that failed before counts
// anew; one that has failed now, or has other iterations, leaves what there was.
void results_pool(struct results *all, const struct results *run);
