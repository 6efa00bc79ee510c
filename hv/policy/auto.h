// mmu=auto: which mode a guest is better off with, by what the epochs before were like. Pure: it is told what
// each epoch measured, and says when to change.
//
// A mode's price is what the other one would not have cost: under EPT the part of the page walks that comes
// from walking in two dimensions, under shadow paging its exits. One of the two is measured, the other is
// predicted: walks under EPT take `walk_factor` times as long, and each page fault of the guest stands for
// `fault_cycles` of shadow paging's work, since what changes page tables faults too. Both factors are learned
// at each change, from the rates on its two sides.
//
// The guest changes when the other mode would have saved the price of two changes: whatever comes next, it
// has lost about as much as it would have by changing at once (rent until you could have bought). Where a
// change is soon regretted the next one needs twice as much. A prediction that is never tried is never
// corrected: where the guest has paid many times what a trial costs, the other mode is tried, and each trial
// that was in vain makes the next one wait twice as long.
//
// The same judges one address space of the guest's (auto_roots.h). Its price has a third part: the changes of
// the mode when the guest comes to it and leaves it, in the mode that the others do not have.
#pragma once

#include <arch/types.h>

#include "params.h"

#define AUTO_PRICE_ONE BIT(20) // in prices and rates: as much again as the guest's own work

// One epoch, in cycles of the TSC.
struct auto_epoch {
    u64 cycles;            // guest and monitor
    u64 walks;             // of these, the processor's page walks
    u64 shadow;            // of these, shadow paging's exits, with what an exit takes by itself; under EPT 0
    u64 faults;            // the guest's page faults; under EPT only
    u64 visits[MMU_MODES]; // not of these: changes of the mode that come and go with a root, were this its
                           // mode
};

// By mode, per cycle of the guest's own work, in units of 1 / AUTO_PRICE_ONE, as they were of late.
struct auto_rates {
    u64 walks, shadow, faults;
};

// What predicts.
struct auto_factors {
    u32 walk;     // in 1/256: walks under EPT take so many times as long
    u32 fault;    // cycles of shadow paging's work
    bool learned; // they are no guesses any more
};

struct auto_policy {
    enum mmu_mode mode;
    u64 change_cycles;      // what a change costs
    u64 regret;             // cycles that the other mode would have saved since the last change
    u64 paid;               // cycles that this mode has cost since then
    unsigned doubt;         // so often a change was regretted soon
    unsigned trials;        // so often the other mode was tried in vain
    u64 epochs;             // since the last change
    bool changed;           // there was one: what it brought will be learned
    bool trial, trial_next; // the last change is a trial; the next one will be
    struct auto_factors factors;
    struct auto_rates rates[MMU_MODES];
    u64 expected;        // price of the mode that the last change was to
    u64 effects;         // changes whose effect has been seen
    u64 predicted, seen; // the expected price of the last of these, and what it was then
};

// `change_cycles`: what a change costs, with what is slow after it until all is warm again; not 0. `factors`:
// those to begin with, or NULL.
void auto_init(struct auto_policy *p, enum mmu_mode mode, u64 change_cycles,
               const struct auto_factors *factors);

// An epoch has ended. True: the other mode is better from now on; auto_changed says that it is had.
bool auto_epoch(struct auto_policy *p, const struct auto_epoch *epoch) must_check;

// The guest is in the other mode.
void auto_changed(struct auto_policy *p);
