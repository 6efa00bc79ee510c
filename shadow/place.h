// Roots in place: see place.c.
#pragma once

#include "format.h"

// No frame claimed yet; no targets yet.
void place_init(struct shadow *s);
void place_view_init(struct shadow_view *view);

// Before the root for the guest's cr3 is looked up: makes the machine frame at that address the engine's, if
// that can be. It may move a page of the guest's, which the back end hears of as of any p2m change: tables
// that lie or lead there are dropped, the root in use too. NULL: the root cannot be in place.
struct shadow_place *place_claim(struct shadow *s, u64 cr3);

// Where a root lies in place, or NULL.
static inline struct shadow_place *place_of(struct shadow *s, const struct shadow_table *t)
{
    return t->place ? &s->places[t->place - 1] : NULL;
}

// The root in use from now on lies at the place claimed for cr3, with the entries that it has, and is a
// target.
void place_root(struct shadow_view *view, struct shadow_place *p, u64 cr3);

// A table that is dropped, or is to lie elsewhere, goes back to its own page. The frame stays claimed.
void place_leave(struct shadow *s, u32 table);

// The VPID that all share will be another root's: the one that was in use under it last must flush it.
void place_yield(struct shadow_view *view);

// Of the roots of the PCID in use only the one in use may be a target, so that each change from one to
// another exits.
void place_alone(struct shadow_view *view);

// Gives back the frames that are claimed.
void place_free_all(struct shadow *s);

// All roots in place share a VPID: a MOV to CR3 that does not exit cannot change it. The others' are below.
static inline u16 place_vpid(const struct shadow *s)
{
    return (u16)(s->config.pool + 2);
}

// What all roots share, in place or not, while the guest has PCIDs, which tag in their stead.
static inline u16 place_vpid_pcids(const struct shadow *s)
{
    return (u16)(s->config.pool + 3);
}
