// What of the parameters takes effect on this processor, and the options that a back end is made with.
#pragma once

#include <hv/mmu.h>

#include "params.h"

// What the processor lacks for these parameters, as one sentence with the remedy, or NULL. `ops` is the back
// end of params->mmu. Changes nothing. After vmx_missing.
const char *effect_missing(const struct params *params, const struct mmu_ops *ops,
                           const struct vmx_caps *caps);

// `machine` with all that parameters say put in. Only what the machine is needs to be in it.
struct mmu_options effect_options(const struct params *params, const struct mmu_options *machine);

// Makes the parameters those that take effect: turns vpid=auto into on or off, and off what is without effect
// (mmu_choose); each change is said. After effect_missing, which has found nothing.
void effect_choose(struct params *params, const struct mmu_ops *ops, const struct mmu_options *machine);
