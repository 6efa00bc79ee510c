// Guest page tables in holes. A hole reads as ones, but the processor's own walk cannot be told so: it exits.
// So a page full of ones is put there, read-only, and the walk finds what hardware without memory there would
// find.
#pragma once

#include <hv/mmu.h>

// For a new guest: no page of ones is anywhere.
void ones_init(void);

// Puts the page of ones at a gfn that is P2M_HOLE. Only the last few places keep it, so that a guest cannot
// fill the monitor's memory with p2m tables. ERR_NOMEM.
int ones_put(struct p2m *p2m, gfn_t where) must_check;
