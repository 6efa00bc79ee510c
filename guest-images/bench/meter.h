// What is counted while a workload runs: page faults that the kernel handled, and the monitor's counters
// where Penumbra is there and answers; elsewhere what the machine below says over a line (host.h), or what
// Linux itself counts (native.h). Differences between two
// readings, without what an empty measurement costs. Does not measure time, and prints nothing.
#pragma once
#include <hv/vmcall.h>
#include <stdbool.h>
#include <stddef.h>

enum { METER_MAX = 1024 };

// Once, before the others: finds out what there is to count. `line`: where the machine below answers; or
// NULL.
void meter_open(const char *line);

// Where the monitor is there and does not count for us, its error; else 0.
int64_t meter_refusal(void);

// The counters: how many of meter_stop()'s values they are, and what each is.
size_t meter_counters(void);
const struct penumbra_counter *meter_counter(size_t index);

// Around what is measured. What meter_stop() writes: what the counters of kind PENUMBRA_COUNT grew by, and
// gauges as they are now; returns the page faults.
void meter_start(void);
uint64_t meter_stop(uint64_t *counters);

// Tells the monitor a workload's result, for its table; does nothing without the monitor.
void meter_tell(const struct penumbra_result *result);
