// Workloads of one's own, and of packages: every program in a folder (/prog and /rows in the guest) is one,
// named after its file.
#pragma once
#include "bench.h"

enum { PROGRAMS_MAX = 64 };

// Appends a workload of this group for each executable file of the folder, in the order of names, to the
// table, which holds `count` and has room for PROGRAMS_MAX in all. Returns how many it holds now. A folder
// that is not there has none.
size_t programs_append(const char *folder, const char *group, struct workload *table, size_t count);
