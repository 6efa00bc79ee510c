// Guest page tables in holes. A hole reads as ones, but the processor's own walk cannot be told so: it exits.
// So a page full of ones is put there, read-only, and the walk finds what hardware without memory there would
// find.
#pragma once

#include <hv/p2m.h>

#define ONES_PLACES 8 // one walk needs one, delivering an event a few

// All zeros at first.
struct ones {
    mfn_t page;
    bool made;
    gfn_t place[ONES_PLACES];
    unsigned used, next;
};

// Puts the page of ones at a gfn that is P2M_HOLE. Only the last few places keep it, so that a guest cannot
// fill the monitor's memory with p2m tables. ERR_NOMEM.
int ones_put(struct ones *ones, struct p2m *p2m, gfn_t where) must_check;

// Takes the page out of all its places, and frees it. As at first afterwards.
void ones_take_back(struct ones *ones, struct p2m *p2m);
