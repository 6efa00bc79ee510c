// What Linux itself counts of the core where no monitor does: its frequency and SMIs, by the kernel's perf
// events of the kind "msr", under the names of the monitor's counters.
#pragma once
#include <hv/vmcall.h>
#include <stddef.h>

#define NATIVE_EVENTS "/sys/bus/event_source/devices/msr"

// Opens what of it the folder `events` shows, and describes it. Returns how many there are: 0 where the
// processor has none, or perf is not allowed. They count the first processor: a kernel that uses several runs
// a workload anywhere. Once.
size_t native_counters_learn(const char *events, struct penumbra_counter *table, size_t room);

// All of them at once; dies if that fails.
void native_counters_read(uint64_t *values);
