// The repetitions of one workload, in the process that is measured: in the mode that is, or by turns in
// several.
#pragma once
#include "measure.h"

// Sets the workload up, warms it up, measures, and ends it. Writes one measurement for each mode of the plan,
// or one; ends the process by fail() when anything goes wrong. `results` are zero but for modes that have
// failed before, which are left out. A mode in which a first try takes too long gets its failure, and the
// process ends with status 0.
void workload_repeat(const struct workload *w, const struct plan *plan, struct measurement *results);
