// The repetitions of one workload, in the process that is measured: in the mode that is, or by turns in
// several.
#pragma once
#include "measure.h"

// Sets the workload up, warms it up, measures, and ends it. Writes one measurement for each mode of the plan,
// or one; ends the process by fail() when anything goes wrong. `results` are zero.
void workload_repeat(const struct workload *w, const struct plan *plan, struct measurement *results);
