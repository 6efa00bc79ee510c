// Two monitored machines of test_strategies: on each a shadow engine and a model processor of its own, over
// one side of pair_machine.h. One guest runs on both: each instruction is carried out on either side, with
// the exits that it needs there, and must have the same result, and leave the same memory. Plays the part of
// shadow/shadow.c and hv/ twice. Neighbours: pair_guest.h is the guest; model_stale.h is told what happens.
#pragma once

#include <shadow/engine.h>

#include "model_walk.h"

extern struct walk_context pair_regs; // the guest's: cpl, rflags and pkru may be set between instructions

enum pair_kind { PAIR_DONE, PAIR_EMULATED, PAIR_FAULT };

extern struct pair_counts {
    u64 accesses, by_kind[PAIR_FAULT + 1], hidden, traced, released, direct, native_invlpg, unseen, unlike,
        recycled, left_sync, root_hits;
} pair_counts;

// Starts both engines, and the guest at its first root. What the guest sees is one machine: `config` has the
// same physical_bits on both sides.
void pair_start(const struct shadow_config config[], bool has_1g_pages);

// Ends them, after a last look at all memory.
void pair_end(void);

// The model of an access, as memory is now.
struct model pair_model(u64 gva, struct walk_access access);

// One instruction that accesses gva. A write stores `bytes` of `data`, within one page. False: a #PF.
bool pair_access(u64 gva, struct walk_access access, const void *data, unsigned bytes);

// Instructions: INVLPG; MOV to CR3; whatever else changes the paging registers to `after`.
void pair_invlpg(u64 gva);
void pair_cr3(u64 cr3);
void pair_paging(const struct paging_regs *after);

// A store on behalf of the guest, by the monitor.
void pair_store(u64 gpa, const void *data, unsigned bytes);

// The p2m of both sides is changed by `change(argument)`.
void pair_change(void (*change)(u64 argument), u64 argument);

void pair_audit(void);
