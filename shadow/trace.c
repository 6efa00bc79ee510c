// How shadow entries follow the guest's: writes to traced tables, INVLPG. Tables that go out of sync and come
// back are in sync.c.
#include "tables.h"

// A large page of the guest's, at level 2 as a large leaf, or through splinters: these keep their rights in
// the link, so they stand or fall with it.
static u64 page_value(const struct shadow *s, const struct walk_context *w, const struct shadow_table *t,
                      u64 now, u64 guest_entry)
{
    bool leaf = t->level == 2 && entry_maps(s, now) && now & PTE_PS;
    return leaf ? leaf_value(s, w, t->level, entry_in_role(t->role, guest_entry)) : s->unknown;
}

static bool links_to_same(const struct shadow *s, u8 role, u64 now, u64 guest_entry)
{
    if (now & PTE_PS || (now & RIGHTS) != link_flags(role, guest_entry))
        return false;
    const struct shadow_table *c = &s->tables[entry_child(s, now)];
    return c->guest && c->role == role_below(role, guest_entry) &&
           c->frame == p2m_lookup(s->p2m, gpa_gfn(guest_entry & PTE_ADDRESS)).mfn.n;
}

// What an entry above level 1 is to be: these only follow, and are filled by faults.
static u64 link_value(const struct shadow *s, const struct walk_context *w, const struct shadow_table *t,
                      u64 now, u64 guest_entry)
{
    if (!entry_maps(s, now) || !(guest_entry & PTE_A))
        return s->unknown;
    if (guest_entry & PTE_PS)
        return page_value(s, w, t, now, guest_entry);
    bool reserved = guest_entry & walk_reserved_bits(w, PAGING_4LEVEL, t->level, false);
    return !reserved && links_to_same(s, t->role, now, guest_entry) ? now : s->unknown;
}

bool entry_refresh(struct shadow *s, const struct walk_context *w, u32 id)
{
    const struct shadow_table *t = &s->tables[id >> 9];
    u64 guest_entry = t->guest[id & (ENTRIES - 1)], now = *entry_at(s, id);
    if (entry_maps(s, now) && s->seen[id] == guest_entry)
        return false;
    u64 value = s->unknown;
    if (!(guest_entry & PTE_P))
        value = table_is_exact(s, t) ? 0 : s->unknown;
    else if (t->level == 1)
        value = leaf_value(s, w, 1, entry_in_role(t->role, guest_entry));
    else
        value = link_value(s, w, t, now, guest_entry);
    if (value == now) {
        s->seen[id] = guest_entry;
        return false;
    }
    s->stats.traced_fills += entry_maps(s, value);
    return entry_set(s, id, value);
}

// A table that no entry points to any more stands for a page that the guest is about to use for something
// else.
static void drop_orphan(struct shadow *s, u32 table)
{
    if (table_orphaned(s, table))
        table_drop(s, table);
}

// A table above level 1 that leads nowhere any more is being torn down, and what led to it soon: dropping it
// loses nothing, and its further writes need not be seen.
static void drop_empty(struct shadow *s, u32 table)
{
    while (table != s->root && s->tables[table].level > 1 && !s->tables[table].mapped) {
        u32 parent = s->tables[table].parents;
        table_drop(s, table);
        if (parent == SHADOW_NONE)
            return;
        table = parent >> 9;
    }
}

static void slot_written(struct shadow *s, const struct walk_context *w, u32 table, unsigned slot)
{
    u32 id = entry_id(table, slot);
    u64 before = *entry_at(s, id);
    if (!entry_refresh(s, w, id))
        return;
    s->stats.traced_changes++;
    s->epoch++;
    if (entry_is_leaf(s->tables[table].level, before))
        return;
    drop_orphan(s, entry_child(s, before));
    drop_empty(s, table);
}

void shadow_written(struct shadow *s, const struct walk_context *w, u64 hpa, unsigned bytes)
{
    u64 frame = hpa_mfn(hpa).n;
    unsigned first = hpa / 8 & (ENTRIES - 1), last = (hpa + bytes - 1) / 8 & (ENTRIES - 1);
    if (frame >= s->p2m->frames->limit || !frame_traced(s, frame))
        return;
    s->stats.traced_writes++;
    if (first == last && frame_traced_once(s, frame)) {
        slot_written(s, w, s->frames[frame].table, first);
        settle(s);
        return;
    }
    for (unsigned index = WALK_LEVELS * ROLES; index-- > 0;) {
        for (unsigned slot = first; slot <= last && s->frames[frame].traced & BIT(index); slot++)
            slot_written(s, w, frame_table(s, frame, index), slot);
    }
    settle(s);
}

void path_refresh(struct shadow *s, const struct walk_context *w, u64 gva)
{
    u32 table = s->root;
    for (unsigned level = s->tables[table].level; level > 0; level--) {
        u32 id = entry_id(table, SLOT(gva, level));
        if (!s->tables[table].guest || entry_refresh(s, w, id))
            return;
        u64 entry = *entry_at(s, id);
        if (!entry_maps(s, entry) || entry_is_leaf(level, entry))
            return;
        table = entry_child(s, entry);
    }
}

static void table_refresh(struct shadow *s, const struct walk_context *w, u32 table)
{
    const struct shadow_table *t = &s->tables[table];
    for (u64 groups = t->occupied; groups; groups &= groups - 1) {
        unsigned first = (unsigned)__builtin_ctzl(groups) * GROUP;
        for (unsigned slot = first; slot < first + GROUP; slot++) {
            if (entry_maps(s, t->entries[slot]))
                entry_refresh(s, w, entry_id(table, slot));
        }
    }
}

// Without tracing: INVLPG of any address drops all that the processor cached of entries above the leaves (SDM
// vol. 3, 4.10.4.1): so no link that is stale may lead to leaves that are looked at from now on.
static void links_refresh(struct shadow *s, const struct walk_context *w)
{
    for (u32 table = s->newest; table != SHADOW_NONE; table = s->tables[table].older) {
        const struct shadow_table *t = &s->tables[table];
        if (t->level > 1 && t->guest)
            table_refresh(s, w, table);
    }
}

void shadow_invlpg(struct shadow *s, const struct walk_context *w, u64 gva)
{
    if (s->config.strategy.trace) {
        synchronise_all(s, w);
    } else {
        path_refresh(s, w, gva);
        links_refresh(s, w);
    }
    settle(s);
}
