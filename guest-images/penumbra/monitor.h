// How programs in the guest find Penumbra, ask it for its counters and change its mode; what its errors mean,
// in words. For bench and penctl alike. The interface itself, with the call, is hv/vmcall.h; other programs
// need no more than that.
#pragma once
#include <hv/vmcall.h>
#include <stdbool.h>
#include <stddef.h>

// The signature of the monitor or hypervisor that CPUID shows, such as PENUMBRA_SIGNATURE or "KVMKVMKVM"; ""
// where CPUID shows none.
const char *monitor_signature(void);

// The interface that Penumbra has; 0 where the monitor is another one, or there is none. Calls may be made
// only where this is PENUMBRA_INTERFACE: elsewhere VMCALL may be anybody's call, or none.
uint32_t monitor_interface(void);

// The name of an error of a call, such as "PENUMBRA_DENIED"; NULL for a result that is no error.
const char *monitor_error_name(int64_t result);

// The error in words, with what to do about it.
const char *monitor_error_words(int64_t error);

// Asks what the first `room` counters are; touches `table` before. Returns how many there are, or an error;
// (NULL, 0) only asks for that.
int64_t monitor_counters_learn(struct penumbra_counter *table, size_t room);

// Reads the first `count` counters; touches `values` before. Returns how many there are, or an error.
int64_t monitor_counters_read(uint64_t *values, size_t count);

// Changes the mode as the words say: words that commas join, as in compare=, such as "trace,vpid=off". 0, or
// an error: then `answer`, of some hundred bytes, is one sentence that says why. After so many seconds, or
// never with 0, the guest's first mode comes back, unless the mode has changed again.
int64_t monitor_mode_switch(const char *words, unsigned seconds, char *answer, size_t bytes);

// What a comparison by switching asks to be measured by turns, as bench -m has it. The text's length, or an
// error: PENUMBRA_OFF where nothing is to be.
int64_t monitor_modes(char *text, size_t bytes);

// Tells a workload's result. 0 or an error: PENUMBRA_OFF where it is not wanted.
int64_t monitor_result_tell(const struct penumbra_result *result);
