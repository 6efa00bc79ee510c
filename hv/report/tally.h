// All counters of the monitor put together: the rows of <hv/counters.def>, and for each exit reason how many
// exits there were and what was spent on them. Reset is a matter of reading: what was counted until then is
// taken off, and nothing else knows of it. The exits' accounts alone begin anew. Neighbours: summary.c prints
// them, vmcall.c gives them to the guest.
#pragma once

#include <arch/frequency.h>
#include <hv/counters.h>
#include <hv/vcpu.h>

struct vm;

struct tally {
    u64 base[COUNTERS]; // at the last reset
    const struct frequency *frequency;
    struct frequency_counts begin; // when the guest started
};

struct counter_row {
    const char *name, *unit;
    enum counter_owner owner;
    enum penumbra_kind kind;
};
extern const struct counter_row counter_rows[COUNTERS];

// Whether this run has the counter: those of the other back end, and of what is switched off, it has not.
bool counter_is_shown(const struct vm *vm, enum counter counter);

// Begins the counts of what counts by itself: VMREADs and VMWRITEs, which before were not of this guest's
// VMCS, and what `frequency` says that there is.
void tally_init(struct vm *vm, const struct frequency *frequency);

// All rows, as since the last reset; those that are not shown are 0.
void tally_read(struct vm *vm, u64 values[COUNTERS]);

// Counters of kind PENUMBRA_COUNT are 0 from now on.
void tally_reset(struct vm *vm);

// As the guest gets them: the rows that are shown, and two for each exit reason that can be, in one list
// without gaps.
#define COUNTERS_LISTED (COUNTERS + 2 * EXIT_REASONS)

// Fills the list in and returns its length.
unsigned tally_list(struct vm *vm, u64 values[COUNTERS_LISTED]);

// Describes counter `index` of the list. ERR_ABSENT: it ends before.
int tally_describe(const struct vm *vm, u64 index, struct penumbra_counter *counter) must_check;
