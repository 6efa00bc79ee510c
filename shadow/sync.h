// Tables out of sync: which leave, and how they come back.
#pragma once

#include "format.h"

#define BURST_CYCLES 1500ul // at most, of the guest's own, between two writes of a burst

// Takes all back that are out of sync, and makes their entries exact.
void sync_all(struct shadow_view *view);

// The guest has run without the tables, so that none of its writes to its own was seen: makes them follow.
void sync_returned(struct shadow_view *view);

// A write to a traced frame is about to be seen: true if the frame was better made writable, and now is.
bool sync_frees_frame(struct shadow_view *view, u64 hpa);

// The same where one table of level 1 alone traces the frame, as of shadow_fault_watched. False: it is
// otherwise.
bool sync_leaf_table(struct shadow_view *view, struct mmu_fault *f, enum mmu_outcome *outcome);

// [hpa, hpa + bytes) has been written, which sync_frees_frame has left traced. True: what has been written
// says that more such writes follow, so the table that stands for the frame has left.
bool sync_written(struct shadow *s, u64 hpa, unsigned bytes);

// The same of one entry of a table of level 1 that alone traces its frame. `plain`: by a store that does not
// read what was there.
bool sync_leaf_written(struct shadow *s, u32 id, bool plain);

// The table of this entry, of level 1, leaves the tree and goes out of sync, so that no write to it is seen
// and nothing that the processor walks depends on it. It comes back when a fault needs it. False: it stays.
// Only a user's leaves: a kernel's is needed at once, there are stacks in it. And only if one address is all
// that must be flushed for it.
bool sync_part(struct shadow *s, u32 id);

// The table is in sync again. If it is apart the caller links it.
void sync_table(struct shadow_view *view, u32 table);

// Makes the traced frame writable, whatever that costs.
void sync_release(struct shadow *s, u64 frame);
