// Workloads of one's own: every program in a folder (/prog in the guest) is one, named after its file.
#pragma once
#include "bench.h"

enum { PROGRAMS_MAX = 64 };

// Appends a workload for each executable file of the folder, in the order of names, to the table, which holds
// `count` and has room for PROGRAMS_MAX more. Returns how many it holds now. A folder that is not there has
// none.
size_t programs_append(const char *folder, struct workload *table, size_t count);
