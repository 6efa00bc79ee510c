// How many exits there were at each place, and what they cost: a table of bounded size. A place is a number,
// such as an address of the guest's, and an exit reason. What finds no row is counted all the same, as
// elsewhere. Pure. Neighbour: profile.c, which knows where the guest was.
#pragma once

#include <arch/types.h>

struct place {
    u64 key;
    u32 reason;
    u64 count;  // 0: no place
    u64 cycles; // of the monitor
};

struct places {
    struct place *rows;
    u64 size; // rows that there are
    u64 used;
    struct place elsewhere; // exits at places that have found no row
};

// An empty table in `rows`, of which there are `size`, at least 1.
void places_init(struct places *p, struct place *rows, u64 size);

// The row of a place, a new one if need be: its caller counts the exit there. `elsewhere`, where none is free
// near the one that the place would have: a guest that chooses its addresses can have no long search.
struct place *places_find(struct places *p, u64 key, u32 reason);

// The places from the one with most exits on: NULL, and then the one given last, give the next; NULL: no
// more.
const struct place *places_next(const struct places *p, const struct place *last);

// What there is behind `last` in that order: the number of places, their exits and cycles in *sum.
u64 places_rest(const struct places *p, const struct place *last, struct place *sum);
