// How the monitor ends.
#pragma once

#include "host.h"
#include "params.h"

// What this machine lacks, and what to do, as one sentence: on every console, readable until somebody
// switches off. Before that what is known of the machine by now, for programs.
_Noreturn void refuse(const struct host *host, const char *sentence);

// The end after the last guest, which has been released, as on-exit= has it. Before the machine is switched
// off or reset, all its processors leave VMX operation.
_Noreturn void finish(struct host *h, enum on_exit on_exit);
