// The mode of a virtual machine: what of its parameters may change while the guest runs. The change itself is
// hv/exits/mode.c's.
#pragma once

#include "params.h"

#define MODES_CHURNED 12

struct modes {
    struct params params; // in effect
    struct params wanted; // in their place before the next entry, if `asked`
    bool asked;
    u64 changes; // so far
    char why[512];

    // mmu.churn=: the modes that this processor has, one of which comes at random after every so many exits.
    struct params churned[MODES_CHURNED];
    unsigned count;
    u64 left, random;
};
