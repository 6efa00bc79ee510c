// auto.by=root: which loads of CR3 exit, and what is done then. In the sample of an epoch all do: what has
// passed since the one before is put to the root that ran. While roots of both modes are known, those that
// need a change of the mode do: under EPT all but to the few that were loaded last (the CR3 targets), under
// shadow paging all but to roots that are in place and have this mode. A load of a root that is to have the
// other mode asks for that mode.
#pragma once

#include <hv/mmu.h>

#include "auto_reading.h"
#include "effect.h"

struct auto_loads {
    u64 root;                  // during a sample: the CR3 that runs,
    struct auto_reading since; // and what was read when it began
    unsigned targets, next;    // under EPT: roots that do not exit, and which is replaced next
    u64 target[VCPU_CR3_TARGETS];
    unsigned unwatched_count; // what would not exit if there were no sample
    u64 unwatched[VCPU_CR3_TARGETS];
    struct effect effects[MMU_MODES]; // of both modes, ready to be asked for
    bool stuck;                       // one of them cannot be had
    bool at_load;                     // one has been asked for at a load
    u64 moved;                        // cycles that changes at loads took in this epoch
    u64 visits;                       // changes at loads so far
};

// While v->watches_roots the guest loads this into CR3. True: the mode changes before the next entry, and
// what is in CR3 follows then.
bool auto_loads_seen(struct vcpu *v, u64 cr3);

// What v->watches_roots makes of the back end's wishes.
void auto_loads_controls(struct vcpu *v, struct mmu_controls *wanted);

// A sample begins, or goes on after a change of the mode; what has run is put to its root.
void auto_loads_begin(struct vcpu *v);
void auto_loads_ran(struct vcpu *v);

// The mode that the root in use is to have is asked for, if it is another one.
void auto_loads_ask(struct vcpu *v);

// The guest's present state allows the other mode.
bool auto_loads_can_move(const struct vcpu *v);

// What was asked for is there.
void auto_loads_moved(struct vcpu *v, u64 now);

// From now on the modes are made of the present one.
void auto_loads_prepare(struct vcpu *v);

// v->watches_roots as it is to be.
void auto_loads_watch(struct vcpu *v);
