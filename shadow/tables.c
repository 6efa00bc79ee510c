// The shadow tables: recycled where they are not used again. See tables.h; how they are found is in hash.c,
// and how entries refer to them in entries.c.
#include "tables.h"
#include "entries.h"
#include "frames.h"
#include "place.h"
#include "view.h"

static void use_remove(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    *(t->newer == SHADOW_NONE ? &s->newest : &s->tables[t->newer].older) = t->older;
    *(t->older == SHADOW_NONE ? &s->oldest : &s->tables[t->older].newer) = t->newer;
}

static void use_insert(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    t->newer = SHADOW_NONE;
    t->older = s->newest;
    *(s->newest == SHADOW_NONE ? &s->oldest : &s->tables[s->newest].newer) = table;
    s->newest = table;
}

void table_empty(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    for (u64 groups = t->occupied; groups; groups &= groups - 1) {
        unsigned first = group_first(groups);
        entry_clear_group(s, entry_id(table, first), t->maps >> first / GROUP & 1);
    }
    t->occupied = t->maps = 0;
    t->mapped = 0;
    s->changes++;
}

__attribute__((noinline)) void table_lose(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    frame_untrace(s, table);
    t->out_of_sync = true;
    t->next_lost = s->lost;
    s->lost = table;
    s->lost_above += t->level > 1;
    if (!s->out_of_sync++)
        view_change_controls(s);
    s->stats.left_sync++;
}

void table_part(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    while (t->parents != SHADOW_NONE)
        entry_set(s, t->parents, s->unknown);
    frame_untrace(s, table);
    t->out_of_sync = t->apart = true;
    s->apart++;
    s->stats.left_sync++;
    s->stats.left_tree++;
}

void table_found(struct shadow *s, u32 table)
{
    u32 *at = &s->lost;
    if (s->tables[table].apart) {
        s->tables[table].out_of_sync = s->tables[table].apart = false;
        s->apart--;
        return;
    }
    while (*at != table)
        at = &s->tables[*at].next_lost;
    *at = s->tables[table].next_lost;
    s->tables[table].out_of_sync = false;
    s->lost_above -= s->tables[table].level > 1;
    if (!--s->out_of_sync)
        view_change_controls(s);
}

void table_drop(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    while (t->parents != SHADOW_NONE)
        entry_set(s, t->parents, s->unknown);
    s->epoch++; // from now on the guest's changes are not seen
    table_empty(s, table);
    if (t->out_of_sync)
        table_found(s, table);
    frame_untrace(s, table);
    hash_remove(s, table);
    use_remove(s, table);
    view_drop_root(s, table);
    place_leave(s, table);
    t->used = false;
    t->hash_next = s->dropped_table;
    s->dropped_table = table;
    s->used--;
    s->stats.tables_dropped++;
}

u32 table_apart(const struct shadow *s, u8 role, u64 guest_entry)
{
    struct p2m_leaf leaf = p2m_lookup(s->p2m, gpa_gfn(guest_entry & PTE_ADDRESS));
    struct table_key key = {.frame = leaf.mfn.n, .level = 1, .role = role_below(role, guest_entry)};
    u32 table = p2m_is_ram(leaf.type) ? hash_find(s, key) : SHADOW_NONE;
    return table != SHADOW_NONE && s->tables[table].apart ? table : SHADOW_NONE;
}

static bool kept(const u32 *keep, u32 table)
{
    while (keep && *keep != SHADOW_NONE && *keep != table)
        keep++;
    return keep && *keep == table;
}

// The oldest that is not needed, nor looked up since it was last the oldest: what is lives on as the newest.
static u32 victim_find(struct shadow *s, const u32 *keep)
{
    u32 at;
    while (at = s->oldest, s->tables[at].again || s->tables[at].roots || kept(keep, at)) {
        s->tables[at].again = false;
        use_remove(s, at);
        use_insert(s, at);
    }
    return at;
}

static void recycle(struct shadow *s, const u32 *keep)
{
    table_drop(s, victim_find(s, keep));
    s->stats.tables_recycled++;
}

// A dropped table that the processor may still walk, by what it has cached of the entries above, is all
// unknown. It can stand for something else once that cache is flushed.
static u32 table_take(struct shadow *s, const u32 *keep)
{
    if (s->free_table == SHADOW_NONE) {
        if (s->dropped_table == SHADOW_NONE)
            recycle(s, keep);
        s->free_table = s->dropped_table;
        s->dropped_table = SHADOW_NONE;
        entry_flush(s);
    }
    u32 table = s->free_table;
    s->free_table = s->tables[table].hash_next;
    if (unlikely(s->tables[table].entries[0] != s->unknown)) // free since before shadow_configure
        entries_begin(s, s->tables[table].entries);
    return table;
}

u32 table_make(struct shadow *s, struct table_key key, bool marks, const u32 *keep)
{
    u32 table = table_take(s, keep);
    struct shadow_table *t = &s->tables[table];
    *t = (struct shadow_table){
        .entries = t->entries,
        .guest = key.splinter ? NULL : mfn_ptr(mfn(key.frame)),
        .frame = key.frame,
        .parents = SHADOW_NONE,
        .level = key.level,
        .role = key.role,
        .used = true,
        .splinter = key.splinter,
        .splinters = key.splinter,
        .protects = true,
        .marks = marks,
    };
    hash_insert(s, table);
    use_insert(s, table);
    frame_trace(s, table); // before any of the guest's entries is looked at: no write is missed
    if (++s->used > s->stats.tables_peak)
        s->stats.tables_peak = s->used;
    s->stats.tables_made++;
    return table;
}

u32 table_get(struct shadow *s, struct table_key key, bool marks, const u32 *keep)
{
    u32 table = hash_find(s, key);
    if (table != SHADOW_NONE && !s->tables[table].apart) {
        s->tables[table].again = true;
        return table;
    }
    if (table != SHADOW_NONE)
        table_drop(s, table);
    return table_make(s, key, marks, keep);
}
