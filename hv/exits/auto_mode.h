// mmu=auto: measures epochs of the guest and changes its mode as hv/policy/auto.h says. An epoch is a
// hundredth of a second. Page walks are counted by the processor, or fed by a test (auto.feed=); the work of
// shadow paging is what the exits cost that only it has. Under EPT no page fault exits: they are counted in a
// sixteenth of each epoch, where they do.
#pragma once

#include <hv/vcpu.h>

#include "auto.h"

struct auto_mode {
    struct auto_policy policy;
    u64 epoch;                // cycles; 0: nothing is measured
    u64 began, walks, shadow; // when the present one began, and what was counted then
    bool samples;             // page faults exit and are counted
    u64 faults;               // in this epoch
    u64 fed, fed_part;        // auto.feed=: cycles of walks so far, by thousandths of the guest's
    u64 fed_at;               // the guest's cycles then
    u64 cycles[MMU_MODES];    // of epochs so far
    u64 changes;              // that were asked for
};

// mmu.auto= is in effect from now on, or is not, or the mode is another one: begins an epoch. At the start,
// and after each change of the mode, before paging_refresh.
void auto_mode_follow(struct vcpu *v);

// Something may be due: ends an epoch or its sample. `now`: TSC. May ask for another mode, and for other
// intercepts by v->refresh_controls.
void auto_mode_due(struct vcpu *v, u64 now);

// A page fault of the guest's under EPT, which exits because it is sampled.
void auto_mode_fault(struct vcpu *v);

// auto.feed=: so many thousandths of the guest's cycles are page walks from now on.
void auto_mode_feed(struct vcpu *v, u64 thousandths);
