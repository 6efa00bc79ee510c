// How entries refer to tables and frames, and tracing: which frames are write-protected. See tables.h. Every
// entry that maps is in the chain of what it leads to, so that dropping a table, protecting a frame and
// taking a frame away touch just what leads there.
#include "tables.h"

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

static struct shadow_region *region_of(const struct shadow *s, u64 frame)
{
    return &s->regions[frame / ENTRIES];
}

// NULL: of a leaf that maps device memory beyond RAM, which nobody asks for.
static u32 *chain_of(const struct shadow *s, u32 id, u64 entry)
{
    unsigned level = s->tables[id >> 9].level;
    if (!entry_is_leaf(level, entry))
        return &s->tables[entry_child(s, entry)].parents;
    u64 frame = hpa_mfn(entry & PTE_ADDRESS).n;
    if (frame >= s->p2m->frames->limit)
        return NULL;
    return level == 1 ? &s->frames[frame].leaves : &region_of(s, frame)->leaves;
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
        flush_everything(s);
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
    s->fresh_gva = ~0ul;
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

static void chain_clear(struct shadow *s, const u32 *head)
{
    while (*head != SHADOW_NONE)
        entry_set(s, *head, s->unknown);
}

// Takes write access to the frame from every leaf, and from what a TLB holds of leaves that are gone: the
// guest may have changed its entry and not yet executed the INVLPG for it.
static void frame_protect(struct shadow *s, u64 frame)
{
    if (s->loose)
        flush_everything(s);
    for (u32 id = s->frames[frame].leaves; id != SHADOW_NONE; id = s->links[id].next) {
        u64 *entry = entry_at(s, id);
        if (!(*entry & PTE_W))
            continue;
        *entry &= ~PTE_W;
        flush_everything(s);
    }
    struct shadow_region *r = region_of(s, frame);
    if (!r->traced++ && r->leaves != SHADOW_NONE) {
        chain_clear(s, &r->leaves);
        flush_everything(s);
    }
}

// Adding rights needs no flush: a fault by what a TLB still holds finds the entry repaired.
static void frame_unprotect(struct shadow *s, u64 frame)
{
    region_of(s, frame)->traced--;
    s->fresh_gva = ~0ul;
    for (u32 id = s->frames[frame].leaves; id != SHADOW_NONE; id = s->links[id].next) {
        u64 *entry = entry_at(s, id);
        if (*entry & PTE_MAY_WRITE)
            *entry |= PTE_W;
    }
}

// The table that stands for the frame and has this traced_index.
static u32 table_at(const struct shadow *s, u64 frame, unsigned index)
{
    return table_find(s, (struct table_key){.frame = frame,
                                            .level = (u8)(index % WALK_LEVELS + 1),
                                            .role = (u8)(index / WALK_LEVELS)});
}

void frame_trace(struct shadow *s, u32 table)
{
    const struct shadow_table *t = &s->tables[table];
    if (!table_is_exact(s, t))
        return;
    struct shadow_frame *f = &s->frames[t->frame];
    if (!f->traced)
        frame_protect(s, t->frame);
    f->traced |= 1u << traced_index(t->level, t->role);
    f->table = table;
}

void frame_untrace(struct shadow *s, u32 table)
{
    const struct shadow_table *t = &s->tables[table];
    if (!t->guest)
        return;
    struct shadow_frame *f = &s->frames[t->frame];
    u32 traced = f->traced & ~(1u << traced_index(t->level, t->role));
    if (f->traced && !traced)
        frame_unprotect(s, t->frame);
    f->traced = traced;
    if (frame_traced_once(s, t->frame))
        f->table = table_at(s, t->frame, (unsigned)__builtin_ctz(traced));
}

u32 frame_table(const struct shadow *s, u64 frame, unsigned index)
{
    return frame_traced_once(s, frame) ? s->frames[frame].table : table_at(s, frame, index);
}

void frame_forget(struct shadow *s, u64 frame)
{
    for (unsigned index = 0; index < WALK_LEVELS * ROLES; index++) {
        u32 table = table_at(s, frame, index);
        if (table != SHADOW_NONE)
            table_drop(s, table);
    }
    chain_clear(s, &s->frames[frame].leaves);
    chain_clear(s, &region_of(s, frame)->leaves);
}
