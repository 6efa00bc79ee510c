// What is counted: the rows of counters.def by number. Who counts them keeps a struct with a member for each
// of its rows; hv/report/tally.c puts them together.
#pragma once

#include <arch/types.h>
#include <hv/vmcall.h>

enum counter {
#define COUNTER(owner, name, ...) COUNTER_##name,
#include <hv/counters.def>
    COUNTERS
};

enum counter_owner {
    COUNTER_OF_HV,
    COUNTER_OF_CLOCK,
    COUNTER_OF_PMU,
    COUNTER_OF_CHURN,
    COUNTER_OF_AUTO,
    COUNTER_OF_MMU,
    COUNTER_OF_EPT,
    COUNTER_OF_SHADOW
};
