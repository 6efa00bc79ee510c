// What of the parameters takes effect: a table of the words that do nothing because of others or of the
// machine, and functions of parameters and machine, which may be asked again whenever the parameters change.
// Pure, but for the log.
#pragma once

#include "params.h"

// What of a machine decides.
struct effect_machine {
    const struct vmx_caps *caps;
    unsigned physical_bits; // MAXPHYADDR
    bool mark_faults;       // MMU_MARK_BIT was tried, and is reserved
    bool pcid, pku;
    bool counts; // there are performance counters
    bool counts_walks;
};

enum effect_cause {
    BY_CONFIGURATION, // other words of the same configuration: so on every machine
    BY_MACHINE
};

struct effect_row {
    unsigned param;          // PARAM_INDEX_*, whose value is without effect
    enum effect_cause cause; // of that
    bool stays;              // no other value takes its place: the parameter means nothing at all
    u64 instead;             // else the value that does
    const char *why;
    bool (*found)(const struct params *asked, const struct params *now, const struct effect_machine *machine);
};

#define EFFECT_ROWS_MAX 64
extern const struct effect_row effect_rows[];
extern const unsigned effect_rows_count;

struct effect {
    struct params asked; // as they were given: who may want others later begins with these
    struct params now;   // what takes effect
    u64 found;           // the rows that make the difference: bit n for row n
};

// What the processor lacks for these parameters, as one sentence with the remedy, or NULL. `ops` is the back
// end of params->mmu. After vmx_missing.
const char *effect_missing(const struct params *params, const struct mmu_ops *ops,
                           const struct vmx_caps *caps);

// Fills in what of e->asked takes effect: what does not becomes what takes its place, vpid=auto on or off,
// pmu=auto off where nothing counts. `ops` as above. After effect_missing, which has found nothing.
void effect_choose(struct effect *e, const struct mmu_ops *ops, const struct effect_machine *machine);

// Says in the log what became of vpid=auto, and each row found as one sentence, such as "p2m.max=1g is
// p2m.max=2m on this processor: its EPT has no larger pages".
void effect_say(const struct effect *e);

// `machine` with all that parameters say put in, which have taken effect. Only what the machine is needs to
// be in it.
struct mmu_options effect_options(const struct params *params, const struct mmu_options *machine);
