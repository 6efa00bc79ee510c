// What the machine below counts of this guest, where that is not Penumbra: whoever runs the guest answers
// over a second serial line. Each line that comes there is answered by one of NAME=NUMBER words, always of
// the same names in the same order (guest-images/kvm/kvm has KVM's).
#pragma once
#include <hv/vmcall.h>
#include <stddef.h>
#include <stdint.h>

// Opens the line and describes the counters, all of kind PENUMBRA_COUNT. Returns how many there are; dies
// where nobody answers, or with more than there is room for. Once.
size_t host_counters_learn(const char *device, struct penumbra_counter *table, size_t room);

// All of them at once; dies if that fails.
void host_counters_read(uint64_t *values);
