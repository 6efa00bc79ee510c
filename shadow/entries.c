// How entries refer to tables and frames. Every entry that maps is in the chain of what it leads to, so that
// dropping a table, protecting a frame and taking a frame away touch just what leads there. See entries.h.
#include "entries.h"

static void chain_add(struct shadow *s, u32 *head, u32 id)
{
    s->links[id] = (struct shadow_link){.next = *head, .previous = SHADOW_NONE};
    if (*head != SHADOW_NONE)
        s->links[*head].previous = id;
    *head = id;
}

static void chain_remove(struct shadow *s, u32 *head, u32 id)
{
    struct shadow_link link = s->links[id];
    if (link.previous == SHADOW_NONE)
        *head = link.next;
    else
        s->links[link.previous].next = link.next;
    if (link.next != SHADOW_NONE)
        s->links[link.next].previous = link.previous;
}

// NULL: of a leaf that maps device memory, which nobody asks for.
static u32 *chain_of(const struct shadow *s, u32 id, u64 entry)
{
    unsigned level = s->tables[id >> 9].level;
    if (!entry_is_leaf(level, entry))
        return &s->tables[entry_child(s, entry)].parents;
    if (entry & PTE_DIRECT)
        return NULL;
    u64 frame = hpa_mfn(entry & PTE_ADDRESS).n;
    return level == 1 ? &frame_at(s, frame)->leaves : &region_at(s, frame)->leaves;
}

// A leaf that gives write access goes, and a TLB may hold it.
static void leaf_loosen(struct shadow *s, unsigned level, u64 old)
{
    u64 frame = hpa_mfn(old & PTE_ADDRESS).n;
    *(level == 1 ? &frame_at(s, frame)->loosened : &region_at(s, frame)->loosened) = s->flushes;
}

static bool in_root(const struct shadow *s, u32 id)
{
    return s->tables[id >> 9].level == WALK_LEVELS;
}

// Whether the link is the same entry as one that leads to the child, of another root: they are one place.
static bool same_place(const struct shadow *s, u32 id, const struct shadow_table *child)
{
    return in_root(s, id) && (child->parents ^ id) % ENTRIES == 0;
}

// A link goes. What a TLB holds of below is the guest's to flush, but of its large pages.
static void link_loosen(struct shadow *s, struct shadow_table *child)
{
    if (child->parents == SHADOW_NONE) {
        child->spread = false;
        child->moved = s->flushes;
    }
    if (child->splinters)
        entry_flush(s);
}

static void entry_take_out(struct shadow *s, u32 id, u64 old)
{
    struct shadow_table *t = &s->tables[id >> 9];
    u32 *chain = chain_of(s, id, old);
    if (chain)
        chain_remove(s, chain, id);
    t->mapped--;
    if (!entry_is_leaf(t->level, old))
        link_loosen(s, &s->tables[entry_child(s, old)]);
    else if (chain && old & PTE_W)
        leaf_loosen(s, t->level, old);
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

static void link_add(struct shadow *s, u32 id, struct shadow_table *child)
{
    if (child->parents != SHADOW_NONE && !same_place(s, id, child))
        child->spread = true;
    if (child->splinters)
        splinters_below(s, &s->tables[id >> 9]);
}

static void entry_put_in(struct shadow *s, u32 id, u64 value)
{
    struct shadow_table *t = &s->tables[id >> 9];
    u32 *chain = chain_of(s, id, value);
    if (!entry_is_leaf(t->level, value))
        link_add(s, id, &s->tables[entry_child(s, value)]);
    if (chain)
        chain_add(s, chain, id);
    t->mapped++;
}

// A leaf that goes on mapping its frame, with other rights: its chain is the same.
static bool leaf_adjust(struct shadow *s, const struct shadow_table *t, u64 old, u64 value)
{
    if (t->level != 1 || !entry_maps(s, value) || (old ^ value) & PTE_ADDRESS)
        return false;
    if (old & PTE_W && !(old & PTE_DIRECT))
        leaf_loosen(s, 1, old);
    return true;
}

bool entry_set(struct shadow *s, u32 id, u64 value)
{
    struct shadow_table *t = &s->tables[id >> 9];
    unsigned slot = id & (ENTRIES - 1);
    u64 old = t->entries[slot];
    bool mapped = entry_maps(s, old);
    s->changes++;
    t->entries[slot] = value;
    t->occupied |= BIT(slot / GROUP);
    if (t->guest)
        s->seen[id] = t->guest[slot];
    if (mapped && leaf_adjust(s, t, old, value))
        return true;
    if (mapped)
        entry_take_out(s, id, old);
    if (entry_maps(s, value))
        entry_put_in(s, id, value);
    return mapped;
}

// Whether what a TLB may hold of the table is of one place in the tree.
static bool one_place(const struct shadow *s, const struct shadow_table *t)
{
    return !t->spread && t->moved != s->flushes;
}

// The address that a leaf of level 1 translates, if it has translated no other since all was flushed last.
static bool entry_address(const struct shadow *s, u32 id, u64 *gva)
{
    u64 at = (u64)(id % ENTRIES) << PAGE_SHIFT;
    const struct shadow_table *t = &s->tables[id >> 9];
    for (; t->parents != SHADOW_NONE && one_place(s, t); t = &s->tables[id >> 9]) {
        id = t->parents;
        at |= (u64)(id % ENTRIES) << (3 + 9 * s->tables[id >> 9].level);
    }
    *gva = (u64)((s64)(at << 16) >> 16);
    return t->level == WALK_LEVELS;
}

void entry_flush_leaf(struct shadow *s, u32 id)
{
    u64 gva;
    if (s->stale_count == SHADOW_STALE || !entry_address(s, id, &gva)) {
        entry_flush(s);
        return;
    }
    s->stale[s->stale_count++] = gva;
    s->epoch++;
    s->unsettled = true;
}

void entry_clear_chain(struct shadow *s, const u32 *head)
{
    while (*head != SHADOW_NONE)
        entry_set(s, *head, s->unknown);
}
