// mmu=auto by address space: each root of the guest's may have the mode that it is better off with, and the
// guest goes from one to the other where it loads CR3. Pure: it is told what has run under which root, and
// says which mode each is to have.
//
// The guest as a whole has a mode (auto.h judges it), and a root that is not known has that. A root that runs
// much has a record and a policy of its own, and leaves the others when the other mode would have saved it
// the price of two changes and all that its visits would have cost: the two changes of the mode when the
// guest comes to it and leaves it. The guest's mode is judged by the roots that have it, so both are judged
// by the same measure, and a guest whose processes wait for one another changes as a whole or not at all.
//
// Records are few, and all that a guest can do to them is make them be replaced. Where two roots share one
// they share its mode; both modes are right for both.
#pragma once

#include "auto.h"

#define AUTO_ROOT_WAYS 4
#define AUTO_ROOTS     (16 * AUTO_ROOT_WAYS)

struct auto_root {
    u64 key;                 // of its CR3; 0: none
    u64 ran;                 // cycles of late
    struct auto_epoch epoch; // since its policy was asked last
    struct auto_policy policy;
};

struct auto_roots {
    struct auto_root guest;            // all roots that have the guest's mode, as one
    struct auto_root root[AUTO_ROOTS]; // sets of AUTO_ROOT_WAYS, by their keys
    unsigned others;                   // records of the other mode
    u64 epoch_cycles;                  // so much of a root is an epoch of its own
    u64 visit_cycles;                  // a change of the mode at a load of CR3, as the last ones were
    u64 changes;                       // of the mode of one root
    struct auto_factors factors;       // learned last: new records begin with them
    u64 effects, predicted, seen;      // as in auto.h, of all policies
};

// As auto_init has them; `epoch_cycles` see above.
void auto_roots_init(struct auto_roots *r, enum mmu_mode mode, u64 change_cycles, u64 epoch_cycles);

// The mode that a root is to have: `cr3` as the guest loads it.
enum mmu_mode auto_roots_mode(const struct auto_roots *r, u64 cr3);

// The same root, or two that share a record: Linux' isolated page tables are two neighbours.
bool auto_roots_same(u64 cr3, u64 other);

// This has run under a root, in `mode`. Its visits are not used.
void auto_roots_ran(struct auto_roots *r, u64 cr3, enum mmu_mode mode, const struct auto_epoch *ran);

// Loads of CR3 from one root to another, so many.
void auto_roots_switched(struct auto_roots *r, u64 from, u64 to, u64 loads);

// A change of the mode has taken so many cycles.
void auto_roots_visited(struct auto_roots *r, u64 cycles);

// An epoch of the guest has ended: `whole` is what was measured of all of it, and is used while all roots
// have the same mode. True: roots have another mode from now on.
bool auto_roots_epoch(struct auto_roots *r, const struct auto_epoch *whole) must_check;

// The guest and all its roots are in this mode.
void auto_roots_follow(struct auto_roots *r, enum mmu_mode mode);

// Records of this mode, of roots that ran of late.
unsigned auto_roots_count(const struct auto_roots *r, enum mmu_mode mode);
