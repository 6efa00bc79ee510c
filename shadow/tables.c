// The pool of shadow tables and the references between entries. See tables.h.
#include <arch/lib.h>
#include <arch/panic.h>
#include <arch/phys.h>

#include "tables.h"

static u32 hash_of(const struct shadow *s, u64 frame, unsigned level, bool splinter)
{
    u64 key = (frame << 3 | level) * 2 + splinter;
    return (u32)(key * 0x9e3779b97f4a7c15ul >> 40) & s->hash_mask;
}

u32 table_find(const struct shadow *s, u64 frame, unsigned level, bool splinter)
{
    u32 at = s->hash[hash_of(s, frame, level, splinter)];
    while (at != SHADOW_NONE) {
        const struct shadow_table *t = &s->tables[at];
        if (t->frame == frame && t->level == level && t->splinter == splinter)
            break;
        at = t->hash_next;
    }
    return at;
}

static u32 *hash_slot(struct shadow *s, const struct shadow_table *t)
{
    return &s->hash[hash_of(s, t->frame, t->level, t->splinter)];
}

static void hash_insert(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    u32 *head = hash_slot(s, t);
    t->hash_next = *head;
    *head = table;
}

static void hash_remove(struct shadow *s, u32 table)
{
    u32 *at = hash_slot(s, &s->tables[table]);
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

void table_touch(struct shadow *s, u32 table)
{
    if (s->newest == table)
        return;
    use_remove(s, table);
    use_insert(s, table);
}

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

// The chain of the leaves that map the same frame writable. Device memory beyond RAM has none: no table lies
// there.
static u32 *writers_of(struct shadow *s, u64 leaf)
{
    u64 frame = hpa_mfn(leaf & PTE_ADDRESS).n;
    return leaf & PTE_W && frame < s->p2m->frames->limit ? &s->frames[frame].writers : NULL;
}

static void frame_trace(struct shadow *s, u32 table)
{
    const struct shadow_table *t = &s->tables[table];
    if (!s->config.strategy.trace || t->splinter)
        return;
    s->frames[t->frame].levels |= (u8)BIT(t->level);
    if (frame_protect(s, mfn(t->frame)))
        flush_everything(s);
}

static void frame_untrace(struct shadow *s, u32 table)
{
    const struct shadow_table *t = &s->tables[table];
    if (!t->splinter)
        s->frames[t->frame].levels &= (u8)~BIT(t->level);
}

static void count_out_of_sync(struct shadow *s, const struct shadow_table *t, int change)
{
    s->out_of_sync += (u32)change;
    if (t->level > 1)
        s->links_out_of_sync += (u32)change;
}

void table_leave_sync(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    t->out_of_sync = true;
    t->burst = 0;
    count_out_of_sync(s, t, 1);
    s->stats.out_of_sync++;
    memcpy(&s->seen[entry_id(table, 0)], t->guest, PAGE_SIZE);
    frame_untrace(s, table);
    for (unsigned slot = 0; slot < ENTRIES; slot++) {
        if (t->entries[slot] == 0)
            t->entries[slot] = s->unknown; // it may become present unseen
    }
}

void table_enter_sync(struct shadow *s, u32 table)
{
    s->tables[table].out_of_sync = false;
    count_out_of_sync(s, &s->tables[table], -1);
    frame_trace(s, table);
}

bool frame_protect(struct shadow *s, mfn_t frame)
{
    struct shadow_frame *f = &s->frames[frame.n];
    bool any = f->writers != SHADOW_NONE;
    for (u32 id = f->writers; id != SHADOW_NONE; id = s->links[id].next)
        *entry_at(s, id) &= ~PTE_W;
    f->writers = SHADOW_NONE;
    return any;
}

// What an entry of a table out of sync was made from, so that coming back into sync finds out whether it
// still holds.
static void remember(struct shadow *s, u32 id)
{
    const struct shadow_table *t = &s->tables[id >> 9];
    if (t->out_of_sync)
        s->seen[id] = t->guest[id & (ENTRIES - 1)];
}

void entry_link(struct shadow *s, u32 id, u32 child, u64 flags)
{
    entry_clear(s, id, s->unknown);
    *entry_at(s, id) = (mfn_hpa(s->pool) + child * PAGE_SIZE) | flags | PTE_P | PTE_A;
    chain_add(s, &s->tables[child].parents, id);
    remember(s, id);
}

void entry_set_leaf(struct shadow *s, u32 id, u64 value)
{
    entry_clear(s, id, s->unknown);
    *entry_at(s, id) = value;
    u32 *writers = entry_maps(s, value) ? writers_of(s, value) : NULL;
    if (writers)
        chain_add(s, writers, id);
    remember(s, id);
}

bool entry_clear(struct shadow *s, u32 id, u64 blank)
{
    u64 old = *entry_at(s, id);
    *entry_at(s, id) = blank;
    if (!entry_maps(s, old))
        return false;
    const struct shadow_table *t = &s->tables[id >> 9];
    s->epoch += t->out_of_sync; // it may have been stale, and be in the TLB under other VPIDs
    if (t->level == 1) {
        u32 *writers = writers_of(s, old);
        if (writers)
            chain_remove(s, writers, id);
        return true;
    }
    // The guest ends a large page with one INVLPG; the processor may have cached the splinters below one by
    // one.
    flush_everything(s);
    chain_remove(s, &s->tables[entry_child(s, old)].parents, id);
    return true;
}

static void table_blank(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    bool exact = s->config.strategy.trace && t->guest;
    for (unsigned slot = 0; slot < ENTRIES; slot++)
        t->entries[slot] = exact && !(t->guest[slot] & PTE_P) ? 0 : s->unknown;
}

void table_forget_entries(struct shadow *s, u32 table)
{
    const struct shadow_table *t = &s->tables[table];
    for (unsigned slot = 0; slot < ENTRIES; slot++) {
        if (entry_maps(s, t->entries[slot]))
            entry_clear(s, entry_id(table, slot), s->unknown);
    }
}

void table_drop(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    while (t->parents != SHADOW_NONE)
        entry_clear(s, t->parents, s->unknown);
    table_forget_entries(s, table);
    if (t->out_of_sync)
        count_out_of_sync(s, t, -1);
    frame_untrace(s, table);
    hash_remove(s, table);
    use_remove(s, table);
    t->used = false;
    t->hash_next = s->free_table;
    s->free_table = table;
    s->stats.tables_dropped++;
}

static bool kept(const u32 *keep, u32 table)
{
    while (*keep != SHADOW_NONE && *keep != table)
        keep++;
    return *keep == table;
}

static void recycle(struct shadow *s, const u32 *keep)
{
    u32 victim = s->oldest;
    while (victim == s->root || kept(keep, victim))
        victim = s->tables[victim].newer;
    table_drop(s, victim);
    flush_everything(s); // the processor may still hold entries that lead through it
    s->stats.tables_recycled++;
}

u32 table_get(struct shadow *s, u64 frame, unsigned level, bool splinter, const u32 *keep)
{
    u32 table = table_find(s, frame, level, splinter);
    if (table != SHADOW_NONE) {
        table_touch(s, table);
        return table;
    }
    if (s->free_table == SHADOW_NONE)
        recycle(s, keep);
    table = s->free_table;
    struct shadow_table *t = &s->tables[table];
    s->free_table = t->hash_next;
    *t = (struct shadow_table){
        .entries = t->entries,
        .guest = splinter ? NULL : mfn_ptr(mfn(frame)),
        .frame = frame,
        .parents = SHADOW_NONE,
        .level = (u8)level,
        .used = true,
        .splinter = splinter,
    };
    hash_insert(s, table);
    use_insert(s, table);
    frame_trace(s, table); // first: from here on no write is missed
    table_blank(s, table);
    s->stats.tables_made++;
    return table;
}

void settle(struct shadow *s)
{
    unpaged_publish(s);
    if (!s->flush)
        return;
    s->flush = false;
    s->flushed = s->epoch;
    s->stats.flush_all++;
    s->hw.flush_all(s->hw.context);
}
