// The last exits, in a ring (trace=): what each was, what the guest was doing, and what the monitor spent on
// it; and marks that a program in the guest sets (PENUMBRA_MARK). Without trace= there is no ring and nothing
// is done. exit.c adds each exit after it has been handled.
#pragma once

#include <arch/frames.h>

#include "verdict.h"

struct trace {
    struct trace_record *records; // NULL: no trace
    u64 size;                     // of the ring
    u64 count;                    // records ever made: the next one is [count % size]
};

// Takes memory for a ring of `size` records; 0: no trace. ERR_NOMEM.
int trace_init(struct trace *t, struct frames *frames, u64 size) must_check;

static inline bool trace_on(const struct trace *t)
{
    return t->records;
}

// An exit has been handled, with this verdict: v->exit_reason, and the VMCS as the handler left it, before
// RIP moves. Nothing if there is no trace.
void trace_exit(struct vcpu *v, enum verdict verdict);

// A mark of the guest's, while there is a trace.
void trace_mark(struct vcpu *v, u64 value);

// Prints the ring, the oldest first. Returns how many records there are.
u64 trace_print(const struct trace *t);
