// The processor's performance counters (SDM vol. 3, "Performance Monitoring"), which belong to the monitor
// and count the guest alone: they run while IA32_PERF_GLOBAL_CTRL is `enabled`, which VM entry loads, and
// stand still while it is 0, which VM exit loads (hv/vcpu/msr_switch.h). They count in rings 0 and 3 and
// interrupt nobody. The first guest entry after pmu_start begins at 0.
#pragma once

#include <arch/types.h>

enum pmu_event {
#define EVENT(event, ...) PMU_##event,
#include <arch/pmu_counts.def>
#undef EVENT
    PMU_EVENTS
};

// By enum pmu_event, as in pmu_counts.def.
extern const struct pmu_event_text {
    const char *name, *unit, *help;
} pmu_event_texts[PMU_EVENTS];

struct pmu_counter {
    u32 msr;     // its value; 0: the event is not counted
    u32 control; // the register that says what it counts: shared by the fixed counters
    u64 select;  // its bits there
    u64 enable;  // its bit of IA32_PERF_GLOBAL_CTRL
    u64 mask;    // its width
    u64 seen;    // when it was read last
    u64 total;
};

// A zeroed one counts nothing.
struct pmu {
    struct pmu_counter counters[PMU_EVENTS];
    u64 enabled;    // IA32_PERF_GLOBAL_CTRL for the guest; 0: there is nothing to count with
    char says[320]; // what is counted, or why nothing is
};

// Finds out what this processor can count. Each counter is tried: emulators show some that stand still, or
// whose registers do not exist. All are off then. Needs traps_init. May be called again.
void pmu_detect(struct pmu *p);

// All totals are 0. Nothing counts until somebody loads `enabled`. Call it only if that is not 0, and while
// IA32_PERF_GLOBAL_CTRL is 0, as pmu_detect and every VM exit leave it.
void pmu_start(struct pmu *p);

// Is the event counted?
bool pmu_counts(const struct pmu *p, enum pmu_event event);

// How often it happened in the guest since pmu_start; 0 for what is not counted. Right if not a whole turn of
// the counter has passed since it was read last: with 48 bits at 5 GHz that takes an event in each cycle 15
// hours, and four instructions in each cycle 4 hours.
u64 pmu_read(struct pmu *p, enum pmu_event event);
