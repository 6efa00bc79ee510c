// How shadow entries follow the guest's: writes to traced tables, INVLPG. Tables that go out of sync and come
// back are in sync.c.
#include "trace.h"
#include "entries.h"
#include "fill.h"
#include "filling.h"
#include "frames.h"
#include "tables.h"
#include "teardown.h"

// A large page of the guest's, at level 2 as a large leaf, or through splinters: these keep their rights in
// the link, so they stand or fall with it.
static u64 page_value(const struct shadow_view *view, const struct shadow_table *t, u64 now, u64 guest_entry)
{
    const struct shadow *s = view->s;
    bool leaf = t->level == 2 && entry_maps(s, now) && now & PTE_PS;
    return leaf ? fill_leaf(view, t->level, role_page(t->role, guest_entry)) : s->unknown;
}

static bool links_to_same(const struct shadow *s, u8 role, u64 now, u64 guest_entry)
{
    if (now & PTE_PS || (now & RIGHTS) != role_link_flags(role, guest_entry))
        return false;
    const struct shadow_table *c = &s->tables[entry_child(s, now)];
    return c->guest && c->role == role_below(role, guest_entry) &&
           c->frame == p2m_lookup(s->p2m, gpa_gfn(guest_entry & PTE_ADDRESS)).mfn.n;
}

// What an entry above level 1 is to be: these only follow, and are filled by faults.
static u64 link_value(const struct shadow_view *view, const struct shadow_table *t, u64 now, u64 guest_entry)
{
    const struct shadow *s = view->s;
    if (!entry_maps(s, now) || !(guest_entry & PTE_A))
        return s->unknown;
    if (guest_entry & PTE_PS)
        return page_value(view, t, now, guest_entry);
    bool reserved = guest_entry & view->reserved[t->level][false];
    return !reserved && links_to_same(s, t->role, now, guest_entry) ? now : s->unknown;
}

__attribute__((noinline)) bool trace_entry(struct shadow_view *view, u32 id)
{
    struct shadow *s = view->s;
    const struct shadow_table *t = &s->tables[id >> 9];
    u64 guest_entry = t->guest[id & (ENTRIES - 1)], now = *entry_at(s, id);
    if (entry_maps(s, now) && s->seen[id] == guest_entry)
        return false;
    u64 value = s->unknown;
    if (!(guest_entry & PTE_P))
        value = table_is_exact(s, t) ? 0 : s->unknown;
    else if (t->level == 1)
        value = fill_leaf(view, 1, role_page(t->role, guest_entry));
    else
        value = link_value(view, t, now, guest_entry);
    if (value == now) {
        s->seen[id] = guest_entry;
        return false;
    }
    s->stats.traced_fills += entry_maps(s, value);
    return entry_set(s, id, value);
}

// By a write that was seen. Other VPIDs hold what was there before.
static inline void translation_changed(struct shadow *s)
{
    s->stats.traced_changes++;
    s->epoch++;
}

static void slot_written(struct shadow_view *view, u32 table, unsigned slot)
{
    struct shadow *s = view->s;
    u32 id = entry_id(table, slot);
    u64 before = *entry_at(s, id), seen = s->seen[id];
    if (!trace_entry(view, id)) {
        if (s->apart && s->tables[table].level == 2 && !(s->tables[table].guest[slot] & PTE_P)) {
            teardown_apart(s, table, seen);
            teardown_empty(s, table);
        }
        return;
    }
    translation_changed(s);
    if (entry_is_leaf(s->tables[table].level, before))
        return;
    teardown_orphan(s, entry_child(s, before));
    teardown_empty(s, table);
}

__attribute__((noinline)) void trace_written(struct shadow_view *view, u64 hpa, unsigned bytes)
{
    struct shadow *s = view->s;
    u64 frame = hpa_mfn(hpa).n;
    unsigned first = hpa / 8 & (ENTRIES - 1), last = (hpa + bytes - 1) / 8 & (ENTRIES - 1);
    const struct shadow_frame *f = frame_known(s, frame) ? frame_at(s, frame) : NULL;
    if (!f || !f->traced)
        return;
    s->stats.traced_writes++;
    if (first == last && traced_once(f)) {
        slot_written(view, f->table, first);
        return;
    }
    for (unsigned index = WALK_LEVELS * ROLES; index-- > 0;) {
        for (unsigned slot = first; slot <= last && f->traced & BIT(index); slot++)
            slot_written(view, frame_table(s, frame, index), slot);
    }
}

// All but an entry that begins to map.
static __attribute__((noinline)) void leaf_written(struct shadow_view *view, u32 id)
{
    struct shadow *s = view->s;
    struct filling f = filling_begin(view, id >> 9);
    unsigned slot = id % ENTRIES;
    if (trace_leaf(view, &f, slot, s->tables[id >> 9].guest[slot]))
        translation_changed(s);
    filling_end(&f, BIT(slot / GROUP));
    s->stats.traced_fills += f.leaves;
}

void trace_leaf_written(struct shadow_view *view, u32 id)
{
    struct shadow *s = view->s;
    struct filling f = filling_begin(view, id >> 9);
    unsigned slot = id % ENTRIES;
    s->stats.traced_writes++;
    if (entry_maps(s, f.entries[slot]) || !filling_add(&f, slot, s->tables[id >> 9].guest[slot])) {
        leaf_written(view, id);
        return;
    }
    filling_end(&f, BIT(slot / GROUP));
    s->stats.traced_fills++;
}

void trace_path(struct shadow_view *view, u64 gva)
{
    struct shadow *s = view->s;
    u32 table = view->root;
    for (unsigned level = s->tables[table].level; level > 0; level--) {
        u32 id = entry_id(table, SLOT(gva, level));
        if (!s->tables[table].guest || trace_entry(view, id))
            return;
        u64 entry = *entry_at(s, id);
        if (!entry_maps(s, entry) || entry_is_leaf(level, entry))
            return;
        table = entry_child(s, entry);
    }
}

static void table_refresh(struct shadow_view *view, u32 table)
{
    struct shadow *s = view->s;
    const struct shadow_table *t = &s->tables[table];
    for (u64 groups = t->occupied; groups; groups &= groups - 1) {
        unsigned first = group_first(groups);
        for (unsigned slot = first; slot < first + GROUP; slot++) {
            if (entry_maps(s, t->entries[slot]))
                trace_entry(view, entry_id(table, slot));
        }
    }
}

void trace_links(struct shadow_view *view)
{
    struct shadow *s = view->s;
    for (u32 table = s->newest; table != SHADOW_NONE; table = s->tables[table].older) {
        const struct shadow_table *t = &s->tables[table];
        if (t->level > 1 && t->guest)
            table_refresh(view, table);
    }
}
