// How shadow entries follow the guest's.
#pragma once

#include "filling.h"

// Makes the entry follow the guest's. True if a translation that the processor may hold has changed.
bool trace_entry(struct shadow_view *view, u32 id);

// The same of an entry of a table of level 1 that is traced. What is no leaf of RAM is left to trace_entry.
static inline __attribute__((always_inline)) bool trace_leaf(struct shadow_view *view, struct filling *f,
                                                             unsigned slot, u64 guest_entry)
{
    u64 before = f->entries[slot];
    bool mapped = entry_maps(f->s, before);
    if (mapped)
        filling_remove(f, slot);
    if (filling_add(f, slot, guest_entry))
        return mapped && f->entries[slot] != before;
    if (guest_entry & PTE_P)
        return trace_entry(view, f->first + slot) || mapped;
    filling_none(f, slot, guest_entry);
    f->s->tables[f->first >> 9].occupied |= BIT(slot / GROUP);
    return mapped;
}

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
