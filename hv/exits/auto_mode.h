// mmu=auto: measures epochs of the guest and changes its mode as hv/policy/auto_roots.h says. An epoch is a
// hundredth of a second, or longer where measuring would cost more than a part of it. Under EPT no page fault
// exits: they are counted in a sample at the begin of each epoch, where they do. With auto.by=root all loads
// of CR3 exit in the sample, too (auto_loads.h).
#pragma once

#include <hv/vcpu.h>

#include "auto_loads.h"
#include "auto_reading.h"
#include "auto_roots.h"

struct auto_mode {
    struct auto_roots roots;
    u64 epoch;                 // cycles of the present one; 0: nothing is measured
    u64 sample;                // of these, its sample
    u64 random;                // makes epochs differ, so that none keeps step with the guest's ticks
    struct auto_reading began; // when it did
    bool samples;              // it is in its sample
    u64 faults;                // of samples
    u64 needless;              // cycles of exits under shadow paging that were only there to be counted
    u64 spent;                 // cycles that measuring this epoch has taken
    struct auto_feed feed;
    struct auto_loads loads;
    enum mmu_mode mode;    // that the guest has
    u64 since;             // TSC from which on its time is not yet in `cycles`
    u64 cycles[MMU_MODES]; // that the guest was in each mode
    u64 changes;           // of the guest's mode that were chosen
};

// mmu.auto= is in effect from now on, or is not, or the mode is another one. At the start, and after each
// change of the mode, before paging_refresh.
void auto_mode_follow(struct vcpu *v);

// Something may be due: ends an epoch or its sample. `now`: TSC. May ask for another mode, and for other
// intercepts by v->refresh_controls.
void auto_mode_due(struct vcpu *v, u64 now);

// A page fault exits. True: it does so to be counted, and is the guest's.
bool auto_mode_fault(struct vcpu *v);

// auto.feed=: so many thousandths of the cycles are page walks from now on: with auto.by=root those of the
// root in use, and none of the others, else of the guest.
void auto_mode_feed(struct vcpu *v, u64 thousandths);
