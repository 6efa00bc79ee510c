// How shadow entries follow the guest's.
#pragma once

#include "format.h"

// Makes the entry follow the guest's. True if a translation that the processor may hold has changed.
bool trace_entry(struct shadow_view *view, u32 id);

// The same of an entry of a table of level 1 that is traced, at once where it begins or ceases to map.
bool trace_leaf(struct shadow_view *view, u32 id);

// Makes the entries that translate gva follow the guest's, those that are stale.
void trace_path(struct shadow_view *view, u64 gva);

// Makes all links follow the guest's. Without tracing: INVLPG of any address drops all that the processor
// cached of entries above the leaves (SDM vol. 3, 4.10.4.1), so no link that is stale may lead to leaves that
// are looked at from now on.
void trace_links(struct shadow_view *view);

// [hpa, hpa + bytes) has been written: see shadow_written.
void trace_written(struct shadow_view *view, u64 hpa, unsigned bytes);

// The same of one entry of a table of level 1 that alone traces its frame.
void trace_leaf_written(struct shadow_view *view, u32 id);
