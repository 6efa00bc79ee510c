// Forgetting what the tables hold. What the processor has cached of it must go, too: the caller's call ends
// by a flush where it says so.
#pragma once

#include "format.h"

// A root where there is no RAM reads as ones: every walk of the guest's ends with a reserved bit, and nothing
// is filled. The frame of its table:
#define NO_ROOT (~0ul >> 4)

// All tables, the roots too.
void forget_all(struct shadow *s);

// What was made of guest memory that changes, with a flush. See shadow_p2m_changing.
void forget_range(struct shadow *s, gfn_t first, u64 count);

// What a write of CR0, CR4 or EFER ends, with a flush where the processor's is one. See
// shadow_paging_changed.
void forget_paging(struct shadow *s, const struct paging_regs *before, const struct paging_regs *after);
