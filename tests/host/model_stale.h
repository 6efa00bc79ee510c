// What a disciplined guest must know of a processor's caches: which addresses may have a stale translation,
// so that it invalidates them before it uses them (SDM vol. 3, 4.10.4.2). What nothing cached can differ from
// needs no invalidation: an entry that was not present (4.10.2.3, 4.10.4.3), and what lies below it. So a
// guest that asks here has one result for each of its accesses, whatever a processor caches. Neighbours:
// model_history.h knows all results that a guest without discipline may get; pair_monitor.c tells what
// happens, pair_guest.c asks.
#pragma once

#include "model_walk.h"

// Nothing is cached: at the start, after a change of CR4.PGE, without paging.
void stale_flush(void);

// MOV to CR3. With global translations in use it is no more than a change of CR3: a guest with different ones
// in its address spaces must flush these too, before it goes on.
void stale_cr3(void);
bool stale_has_global(void);

// INVLPG, or a #PF that the guest got, both of which drop what is cached for gva (4.10.4.1).
void stale_invlpg(u64 gva);
void stale_fault(u64 gva);

// The 8 bytes at gpa, aligned, are about to be stored over.
void stale_store(u64 gpa, u64 old, u64 value);

// gva has been translated.
void stale_used(const struct walk *walk);

// Whether something else may be cached for m->gva than the present entries, which are listed.
bool stale_may_be(const struct model *m);
