// How entries refer to tables and frames. Every entry that maps is in the chain of what it leads to, so that
// dropping a table, protecting a frame and taking a frame away touch just what leads there. See entries.h.
#include "entries.h"

static bool in_root(const struct shadow *s, u32 id)
{
    return s->tables[id >> 9].level == WALK_LEVELS;
}

// Whether the links are one place of the tree: the same entry, be it of two roots.
static bool same_place(const struct shadow *s, u32 id, u32 other)
{
    return id == other || (in_root(s, id) && (id ^ other) % ENTRIES == 0);
}

// A link goes. What a TLB holds of below is the guest's to flush, but of its large pages.
static void link_remove(struct shadow *s, u32 id, u64 old)
{
    struct shadow_table *child = &s->tables[entry_child(s, old)];
    chain_remove(s, &child->parents, id);
    if (child->parents == SHADOW_NONE) {
        child->strayed = child->spread ? s->flushes : child->strayed;
        child->spread = false;
        child->home = id;
        child->moved = s->flushes;
    }
    if (child->splinters)
        entry_flush(s);
}

// A splinter may lie below the table, and so below all that lead to it.
static void splinters_below(struct shadow *s, struct shadow_table *t)
{
    if (t->splinters)
        return;
    t->splinters = true;
    for (u32 id = t->parents; id != SHADOW_NONE; id = s->links[id].next)
        splinters_below(s, &s->tables[id >> 9]);
}

static void link_add(struct shadow *s, u32 id, u64 link)
{
    struct shadow_table *child = &s->tables[entry_child(s, link)];
    if (child->parents != SHADOW_NONE)
        child->spread |= !same_place(s, id, child->parents);
    else if (child->moved == s->flushes && !same_place(s, id, child->home))
        child->strayed = s->flushes;
    if (child->splinters)
        splinters_below(s, &s->tables[id >> 9]);
    chain_add(s, &child->parents, id);
}

// The value of an entry above level 1 goes, or comes.
static inline void upper_take_out(struct shadow *s, struct shadow_table *t, u32 id, u64 old)
{
    s->way_changes++;
    if (entry_is_leaf(t->level, old))
        leaf_remove(s, id, t->level, old);
    else
        link_remove(s, id, old);
}

static inline void upper_put_in(struct shadow *s, struct shadow_table *t, u32 id, u64 value)
{
    t->mapped++;
    t->maps |= BIT(id % ENTRIES / GROUP);
    if (entry_is_leaf(t->level, value))
        leaf_add(s, id, t->level, value);
    else
        link_add(s, id, value);
}

// A leaf that goes on mapping its frame, with other rights: its chain is the same.
static inline bool leaf_adjusts(u64 old, u64 value)
{
    return !((old ^ value) & PTE_ADDRESS);
}

static bool leaf_replace(struct shadow *s, struct shadow_table *t, u32 id, u64 old, u64 value)
{
    bool mapped = entry_maps(s, old), maps = entry_maps(s, value);
    if (mapped && maps && leaf_adjusts(old, value)) {
        leaf_loosen(s, 1, old);
        return true;
    }
    t->mapped += (u32)maps - (u32)mapped;
    if (mapped)
        leaf_remove(s, id, 1, old);
    if (maps) {
        t->maps |= BIT(id % ENTRIES / GROUP);
        leaf_add(s, id, 1, value);
    }
    return mapped;
}

static __attribute__((noinline)) bool upper_replace(struct shadow *s, struct shadow_table *t, u32 id, u64 old,
                                                    u64 value)
{
    bool mapped = entry_maps(s, old);
    t->mapped -= mapped;
    if (mapped)
        upper_take_out(s, t, id, old);
    if (entry_maps(s, value))
        upper_put_in(s, t, id, value);
    return mapped;
}

bool entry_set(struct shadow *s, u32 id, u64 value)
{
    struct shadow_table *t = &s->tables[id >> 9];
    unsigned slot = id % ENTRIES;
    u64 old = t->entries[slot];
    s->changes++;
    t->entries[slot] = value;
    t->occupied |= BIT(slot / GROUP);
    if (t->guest)
        s->seen[id] = t->guest[slot];
    return t->level == 1 ? leaf_replace(s, t, id, old, value) : upper_replace(s, t, id, old, value);
}

void entry_fill_link(struct shadow *s, u32 id, u64 link)
{
    struct shadow_table *t = &s->tables[id >> 9];
    u64 group = BIT(id % ENTRIES / GROUP);
    t->entries[id % ENTRIES] = link;
    s->seen[id] = t->guest[id % ENTRIES];
    t->occupied |= group;
    t->maps |= group;
    t->mapped++;
    s->changes++;
    link_add(s, id, link);
}

// Whether what a TLB may hold of the table is of one place in the tree.
static bool one_place(const struct shadow *s, const struct shadow_table *t)
{
    return !t->spread && t->strayed != s->flushes;
}

// The address that a leaf of level 1 translates, if it has translated no other since all was flushed last.
static bool entry_address(const struct shadow *s, u32 id, u64 *gva)
{
    u64 at = (u64)(id % ENTRIES) << PAGE_SHIFT;
#pragma GCC unroll 3
    for (unsigned level = 2; level <= WALK_LEVELS; level++) {
        const struct shadow_table *t = &s->tables[id >> 9];
        id = t->parents;
        if (id == SHADOW_NONE || !one_place(s, t))
            return false;
        at |= (u64)(id % ENTRIES) << (3 + 9 * level);
    }
    *gva = (u64)((s64)(at << 16) >> 16);
    return true;
}

bool entry_flush_address(struct shadow *s, u32 id)
{
    u64 gva;
    if (s->stale_count == SHADOW_STALE || !entry_address(s, id, &gva))
        return false;
    s->stale[s->stale_count++] = gva;
    s->epoch++;
    return s->unsettled = true;
}

void entry_flush_leaf(struct shadow *s, u32 id)
{
    if (!entry_flush_address(s, id))
        entry_flush(s);
}

// The leaves of level 1 in a group leave their chains.
static inline void leaves_take_out(struct shadow *s, u32 first, const u64 *entries)
{
    const u64 kinds = s->mark | PTE_DIRECT | PTE_P;
    const u32 flushes = s->flushes;
    for (unsigned i = 0; i < GROUP; i++) {
        u64 old = entries[i];
        if ((old & kinds) != PTE_P)
            continue;
        struct shadow_frame *frame = frame_at(s, hpa_mfn(old & PTE_ADDRESS).n);
        chain_remove(s, &frame->leaves, first + i);
        if (old & PTE_W)
            frame->loosened = flushes;
    }
}

static void uppers_take_out(struct shadow *s, struct shadow_table *t, u32 first, const u64 *entries)
{
    for (unsigned i = 0; i < GROUP; i++) {
        if (entry_maps(s, entries[i]))
            upper_take_out(s, t, first + i, entries[i]);
    }
}

void entry_clear_group(struct shadow *s, u32 first, bool maps)
{
    struct shadow_table *t = &s->tables[first >> 9];
    u64 *entries = &t->entries[first % ENTRIES], unknown = s->unknown;
    if (maps && t->level == 1)
        leaves_take_out(s, first, entries);
    else if (maps)
        uppers_take_out(s, t, first, entries);
#pragma GCC unroll 8
    for (unsigned i = 0; i < GROUP; i++)
        entries[i] = unknown;
}

void entry_clear_chain(struct shadow *s, const u32 *head)
{
    while (*head != SHADOW_NONE)
        entry_set(s, *head, s->unknown);
}
