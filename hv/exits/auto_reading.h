// What mmu=auto counts: the guest's page walks, by the processor or as a test feeds them (auto.feed=), the
// exits that only shadow paging has, and page faults that are sampled under EPT. What has passed is the
// difference of two readings.
#pragma once

#include <hv/vcpu.h>

#include "auto.h"

struct auto_reading {
    u64 at; // TSC
    u64 walks, shadow, faults;
};

// auto.feed=: of the cycles of one root, or of all, so many thousandths are walks.
struct auto_feed {
    bool one;
    u64 root, part;
    u64 walks, at; // so far, and the guest's cycles then
};

// Of now: the last exit. `root`: the CR3 since the last reading.
struct auto_reading auto_reading_take(struct vcpu *v, u64 root);

// What has passed between two, all of it under the present mode.
struct auto_epoch auto_reading_passed(const struct vcpu *v, const struct auto_reading *from,
                                      const struct auto_reading *to);

// What an exit of this reason takes in the mean, with what it takes by itself.
u64 auto_exit_cycles(const struct vcpu *v, unsigned reason);
