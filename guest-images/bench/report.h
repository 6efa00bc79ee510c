// The lines of JSON that bench prints, each written at once. What is in them is told in ../README.md.
#pragma once
#include "measure.h"

void report_begin(const struct plan *plan);

// A mode that the monitor refuses, and why.
void report_refused(const char *mode, const char *why);

// A line for each mode of the plan, or one. Of a workload in one mode the monitor is told, too, for its own
// table.
void report_workload(const struct workload *w, const struct plan *plan, const struct measurement *results);

void report_end(unsigned workloads, unsigned failed);
