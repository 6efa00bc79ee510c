// How the monitor ends.
#pragma once

#include "host.h"
#include "params.h"

// What this machine lacks, and what to do, as one sentence: on every console, readable until somebody
// switches off.
_Noreturn void refuse(const char *sentence);

// The end after the last guest, as on-exit= has it.
_Noreturn void finish(const struct host *host, enum on_exit on_exit);
