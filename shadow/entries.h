// Shadow entries and the chains that lead from what they map back to them.
#pragma once

#include "format.h"

// What the processor may have cached of the tables must be gone before the guest runs. At most one flush is
// done, at the end of the engine's call: engine.c.
static inline void entry_flush(struct shadow *s)
{
    s->unsettled = s->flush = true;
}

// The same for the address of an entry of level 1, and for the links that lead to its table. False: it is not
// found to have had just one address, and nothing is done.
bool entry_flush_address(struct shadow *s, u32 id) must_check;

// The same for what a leaf of level 1 translates: by its address, or all.
void entry_flush_leaf(struct shadow *s, u32 id);

// Makes the entry `value`, in the chain that it belongs to. The caller sees to flushes, but where splinters
// may lie below: the guest ends a large page with one INVLPG, while the processor may have cached the
// splinters one by one. True if it mapped something before.
bool entry_set(struct shadow *s, u32 id, u64 value);

// The same, if it is another value than before.
static inline void entry_make(struct shadow *s, u32 id, u64 value)
{
    if (value != *entry_at(s, id))
        entry_set(s, id, value);
}

// Makes the entries of a group unknown, of which none maps unless `maps`. The caller counts the change.
void entry_clear_group(struct shadow *s, u32 first, bool maps);

// Makes all entries of a chain unknown: `head` is SHADOW_NONE then.
void entry_clear_chain(struct shadow *s, const u32 *head);

// What is known of a frame of the guest's RAM, by its mfn.
static inline struct shadow_frame *frame_at(const struct shadow *s, u64 frame)
{
    return (struct shadow_frame *)(s->chunks[frame / SHADOW_CHUNK] + frame * sizeof(struct shadow_frame));
}

// The large leaves and traced frames of the 2M of machine memory around it.
static inline struct shadow_region *region_at(const struct shadow *s, u64 frame)
{
    struct shadow_chunk *chunk = (struct shadow_chunk *)frame_at(s, align_down(frame, SHADOW_CHUNK));
    return &chunk->regions[frame % SHADOW_CHUNK / ENTRIES];
}

// The chain of the leaves of one frame, or of the large leaves of one region.
static inline u32 *leaf_chain(const struct shadow *s, unsigned level, u64 leaf)
{
    u64 frame = hpa_mfn(leaf & PTE_ADDRESS).n;
    return level == 1 ? &frame_at(s, frame)->leaves : &region_at(s, frame)->leaves;
}

// Puts an entry that maps into the chain of what it leads to.
static inline void chain_add(struct shadow *s, u32 *head, u32 id)
{
    u32 next = *head;
    s->links[id] = (struct shadow_link){.next = next, .previous = SHADOW_NONE};
    if (next != SHADOW_NONE)
        s->links[next].previous = id;
    *head = id;
}

// The same of a leaf. One of device memory is in no chain: nobody asks for it.
static inline void leaf_add(struct shadow *s, u32 id, unsigned level, u64 leaf)
{
    if (!(leaf & PTE_DIRECT))
        chain_add(s, leaf_chain(s, level, leaf), id);
}

static inline void chain_remove(struct shadow *s, u32 *head, u32 id)
{
    struct shadow_link link = s->links[id];
    *(link.previous == SHADOW_NONE ? head : &s->links[link.previous].next) = link.next;
    if (link.next != SHADOW_NONE)
        s->links[link.next].previous = link.previous;
}

// A leaf that gives write access goes, and a TLB may hold it.
static inline void leaf_loosen(struct shadow *s, unsigned level, u64 old)
{
    u64 frame = hpa_mfn(old & PTE_ADDRESS).n;
    if ((old & (PTE_W | PTE_DIRECT)) == PTE_W)
        *(level == 1 ? &frame_at(s, frame)->loosened : &region_at(s, frame)->loosened) = s->flushes;
}

static inline void leaf_remove(struct shadow *s, u32 id, unsigned level, u64 old)
{
    if (old & PTE_DIRECT)
        return;
    chain_remove(s, leaf_chain(s, level, old), id);
    leaf_loosen(s, level, old);
}

// Makes an entry of level 1 that maps nothing a leaf for the guest's entry, which is to be of RAM or of a
// device.
static inline void entry_fill(struct shadow *s, u32 id, u64 leaf, u64 guest_entry)
{
    struct shadow_table *t = &s->tables[id >> 9];
    u64 group = BIT(id % ENTRIES / GROUP);
    t->entries[id % ENTRIES] = leaf;
    s->seen[id] = guest_entry;
    leaf_add(s, id, 1, leaf);
    t->occupied |= group;
    t->maps |= group;
    t->mapped++;
    s->changes++;
}

// Makes an entry that maps nothing, of a guest's table above level 1, a link.
void entry_fill_link(struct shadow *s, u32 id, u64 link);

// Makes a page a table's that is all unknown, whatever is in it.
static inline void entries_begin(const struct shadow *s, u64 *entries)
{
#pragma GCC unroll 8
    for (unsigned slot = 0; slot < ENTRIES; slot++)
        entries[slot] = s->unknown;
}
