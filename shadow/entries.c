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

static void entry_take_out(struct shadow *s, u32 id, u64 old)
{
    struct shadow_table *t = &s->tables[id >> 9];
    unsigned level = t->level;
    u32 *chain = chain_of(s, id, old);
    if (chain)
        chain_remove(s, chain, id);
    t->mapped--;
    bool leaf = entry_is_leaf(level, old);
    s->loose |= leaf && old & PTE_W;
    if (!leaf && (level > 2 || s->tables[entry_child(s, old)].splinter))
        entry_flush(s);
}

static void entry_put_in(struct shadow *s, u32 id, u64 value)
{
    struct shadow_table *t = &s->tables[id >> 9];
    u32 *chain = chain_of(s, id, value);
    if (chain)
        chain_add(s, chain, id);
    t->mapped++;
}

// A leaf that goes on mapping its frame, with other rights: its chain is the same.
static bool leaf_adjust(struct shadow *s, const struct shadow_table *t, u64 old, u64 value)
{
    if (t->level != 1 || !entry_maps(s, value) || (old ^ value) & PTE_ADDRESS)
        return false;
    s->loose |= old & PTE_W;
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

void entry_clear_chain(struct shadow *s, const u32 *head)
{
    while (*head != SHADOW_NONE)
        entry_set(s, *head, s->unknown);
}
