// The guest's debug exceptions: what the processor leaves undone when a #DB exits, and the breakpoints that
// are hit by an instruction which the monitor carries out. SDM vol. 3, chapter 18 (debug registers) and 28.1
// (exits).
//
// #DB and #AC exit in every mode: a guest can have either raised by its own delivery, again and again, and
// then no interrupt, NMI or timer would get through (CVE-2015-8104, CVE-2015-5307). So each delivery passes
// the monitor.
//
// The debug registers are the guest's own, and moving to or from them costs no exit while it debugs. The
// first such move exits, so that nobody need look at DR7 for a guest that does not.
#pragma once

#include <arch/cpu.h>

#include "verdict.h"

#define DEBUG_EXCEPTIONS (BIT(VECTOR_DB) | BIT(VECTOR_AC)) // of the exception bitmap

// A #DB or INT1 that exited with this interruption information: goes to the guest, with DR6, DR7.GD and
// IA32_DEBUGCTL as the processor would have left them.
enum verdict debug_exception(struct vcpu *v, u64 info);

// DR7 where a breakpoint is enabled in it, or 0.
u64 debug_dr7(struct vcpu *v);
static inline u64 debug_enabled(struct vcpu *v)
{
    return unlikely(v->debugged) ? debug_dr7(v) : 0;
}

// Whether a data breakpoint is enabled.
bool debug_watches(struct vcpu *v);
static inline bool debug_watches_memory(struct vcpu *v)
{
    return unlikely(v->debugged) && debug_watches(v);
}

// The kinds of breakpoints (values of DR7.R/Wn) that an access hits.
enum watches {
    WATCHES_NONE = 0,
    WATCHES_WRITE = 1 << 1 | 1 << 3,
    WATCHES_IO = 1 << 2,
    WATCHES_READ = 1 << 3,
};

// Bits 3:0 of DR6 for an access to linear addresses, or to ports: 0 unless one that is hit is enabled in dr7.
u64 debug_match(u64 dr7, u64 gva, unsigned bytes, enum watches kinds);
u64 debug_match_port(u64 dr7, u16 port, unsigned bytes);

// An instruction (or an iteration) that the monitor has carried out has hit these breakpoints: #DB after it.
void debug_hit(struct vcpu *v, u64 hits);

// The handler of a MOV to or from a debug register: the guest debugs from now on.
enum verdict exit_mov_dr(struct vcpu *v);
