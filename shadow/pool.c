// The pool of shadow tables: found by hash, recycled by last use. See tables.h; references between entries
// are in entries.c.
#include "place.h"

static u32 *hash_head(const struct shadow *s, struct table_key key)
{
    u64 number = ((key.frame << 3 | key.level) * 2 + key.splinter) ^ (u64)key.role << 60;
    return &s->hash[(u32)(number * 0x9e3779b97f4a7c15ul >> 40) & s->hash_mask];
}

u32 table_find(const struct shadow *s, struct table_key key)
{
    u32 at = *hash_head(s, key);
    while (at != SHADOW_NONE) {
        const struct shadow_table *t = &s->tables[at];
        if (t->frame == key.frame && t->level == key.level && t->splinter == key.splinter &&
            t->role == key.role)
            break;
        at = t->hash_next;
    }
    return at;
}

static u32 *hash_of(struct shadow *s, u32 table)
{
    const struct shadow_table *t = &s->tables[table];
    return hash_head(s, (struct table_key){t->frame, t->level, t->role, t->splinter});
}

static void hash_insert(struct shadow *s, u32 table)
{
    u32 *head = hash_of(s, table);
    s->tables[table].hash_next = *head;
    *head = table;
}

static void hash_remove(struct shadow *s, u32 table)
{
    u32 *at = hash_of(s, table);
    while (*at != table)
        at = &s->tables[*at].hash_next;
    *at = s->tables[table].hash_next;
}

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

static void table_touch(struct shadow *s, u32 table)
{
    if (s->newest == table)
        return;
    use_remove(s, table);
    use_insert(s, table);
}

void table_empty(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    for (; t->occupied; t->occupied &= t->occupied - 1) {
        unsigned first = (unsigned)__builtin_ctzl(t->occupied) * GROUP;
        for (unsigned slot = first; slot < first + GROUP; slot++) {
            if (entry_maps(s, t->entries[slot]))
                entry_set(s, entry_id(table, slot), s->unknown);
            else
                t->entries[slot] = s->unknown;
        }
    }
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
    if (s->root == table)
        s->root = SHADOW_NONE;
    place_leave(s, table);
    t->used = false;
    t->hash_next = s->dropped_table;
    s->dropped_table = table;
    s->used--;
    s->stats.tables_dropped++;
}

static bool kept(const u32 *keep, u32 table)
{
    while (keep && *keep != SHADOW_NONE && *keep != table)
        keep++;
    return keep && *keep == table;
}

static void recycle(struct shadow *s, const u32 *keep)
{
    u32 victim = s->oldest;
    while (victim == s->root || kept(keep, victim))
        victim = s->tables[victim].newer;
    table_drop(s, victim);
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
        flush_everything(s);
    }
    u32 table = s->free_table;
    s->free_table = s->tables[table].hash_next;
    return table;
}

u32 table_get(struct shadow *s, struct table_key key, bool marks, const u32 *keep)
{
    u32 table = table_find(s, key);
    if (table != SHADOW_NONE) {
        table_touch(s, table);
        return table;
    }
    table = table_take(s, keep);
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

void flush_now(struct shadow *s)
{
    s->flush = s->loose = false;
    s->flushed = s->epoch;
    s->stats.flush_all++;
    s->hw.flush_all(s->hw.context);
}

// Roots in place share one, and so do all without root_vpids.
static u64 vpids_in_use(const struct shadow *s)
{
    u64 own = 0, shared = 0;
    for (u32 table = s->newest; table != SHADOW_NONE; table = s->tables[table].older) {
        u16 vpid = s->tables[table].vpid;
        if (vpid && vpid == (u16)(table + 2))
            own++;
        else if (vpid)
            shared = 1;
    }
    return own + shared;
}

struct shadow_stats shadow_stats_now(const struct shadow *s)
{
    struct shadow_stats now = s->stats;
    now.vpids = vpids_in_use(s);
    now.tables_used = s->used;
    now.tables_pool = s->config.pool;
    return now;
}
