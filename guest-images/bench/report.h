// The lines of JSON that bench prints, each written at once. What is in them is told in ../README.md.
#pragma once
#include "measure.h"

void report_begin(const struct plan *plan);

// Also tells the monitor, for its own table.
void report_workload(const struct workload *w, const struct measurement *m);

void report_end(unsigned workloads, unsigned failed);
