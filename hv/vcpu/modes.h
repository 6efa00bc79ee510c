// The mode of a virtual machine: what of its parameters may change while the guest runs. The change itself is
// hv/exits/mode.c's.
#pragma once

#include "configurations.h"
#include "effect.h"

#define MODES_CHURNED 12

struct modes {
    struct effect now;
    struct effect wanted; // in its place before the next entry, if `asked`
    bool asked;
    bool chosen;         // by mmu.auto=
    struct effect first; // comes back when the time of what was asked for is over
    u64 asked_at, lasts; // TSC, and cycles from then on; 0: for ever
    u64 changes;         // so far
    char why[512];
    const struct configurations *turns; // of a comparison by switching: the guest asks for each by its name

    // mmu.churn=: the modes that this processor has, one of which comes at random after every so many exits.
    struct effect churned[MODES_CHURNED];
    unsigned count;
    u64 left, random;
};
