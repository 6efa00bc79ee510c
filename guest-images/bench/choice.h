// Which workloads are run: those of workloads.def and the programs of a folder, by name or by group, each at
// the sizes of its working set that are asked for.
#pragma once
#include "sizes.h"

struct choice {
    struct sizes sets, pages; // none: each workload's own
    struct workload *workloads;
    unsigned count;
};

// Once, before the others: the programs of this folder are workloads, too, and those that come with packages.
void choice_begin(const char *folder);

// All workloads there are, a line each.
void choice_list(void);

// Those of a name or group, or of NULL the default run. Ends the process with status 2 where there is none,
// or where a size is asked for and none of all has a working set.
void choice_add(struct choice *choice, const char *name);
void choice_check(const struct choice *choice);
