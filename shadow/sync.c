// Tables out of sync: which leave, and how they come back. A table of level 1 whose entries are written in a
// burst leaves, so that the rest of the burst causes no exits; so does any table that an instruction writes
// which cannot be carried out. It comes back at the next root load, or when a fault needs it. See tables.h.
#include "tables.h"

#define BURST        4    // entries
#define BURST_CYCLES 1500 // of the guest between two writes of a burst

void table_leave_sync(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    frame_untrace(s, table);
    t->out_of_sync = true;
    t->next_lost = s->lost;
    s->lost = table;
    s->out_of_sync++;
    s->stats.left_sync++;
}

void table_found(struct shadow *s, u32 table)
{
    u32 *at = &s->lost;
    while (*at != table)
        at = &s->tables[*at].next_lost;
    *at = s->tables[table].next_lost;
    s->tables[table].out_of_sync = false;
    s->out_of_sync--;
}

// What was found in a table that has come back.
struct found {
    unsigned written; // entries
    bool changed;     // something maps otherwise than before
};

// The guest's entry is not what it was.
static void slot_synchronise(struct shadow *s, const struct walk_context *w, u32 id, struct found *found)
{
    found->written += *entry_at(s, id) != s->unknown;
    found->changed |= entry_refresh(s, w, id);
}

static void group_synchronise(struct shadow *s, const struct walk_context *w, u32 first, struct found *found)
{
    const u64 *guest = &s->tables[first >> 9].guest[first & (ENTRIES - 1)], *seen = &s->seen[first];
    for (unsigned i = 0; i < GROUP; i++) {
        if (guest[i] != seen[i])
            slot_synchronise(s, w, first + i, found);
    }
}

static void table_synchronise(struct shadow *s, const struct walk_context *w, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    struct found found = {0, false};
    table_found(s, table);
    frame_trace(s, table); // before the entries are looked at: no write is missed
    for (u64 groups = t->occupied; groups; groups &= groups - 1)
        group_synchronise(s, w, entry_id(table, (unsigned)__builtin_ctzl(groups) * GROUP), &found);
    t->bursty = found.written >= BURST;
    t->burst = 0;
    s->epoch += found.changed;
    s->stats.synchronised++;
}

void synchronise_all(struct shadow *s, const struct walk_context *w)
{
    while (s->lost != SHADOW_NONE)
        table_synchronise(s, w, s->lost);
}

// Writes to two entries of one kind, close together, begin a burst: entries made (a fault for many pages),
// taken away (the end of a mapping) or made read-only (fork). Taking one away and making it again does not:
// copy on write, mprotect of one page.
static bool writes_in_burst(struct shadow *s, struct shadow_table *t, unsigned slot)
{
    u64 now = s->hw.now(s->hw.context);
    bool close = now - t->written < BURST_CYCLES, present = t->guest[slot] & PTE_P, other = slot != t->slot;
    bool again = close && other && present == t->present;
    t->burst = close ? t->burst + other : 0;
    t->written = now;
    t->slot = (u16)slot;
    t->present = present;
    return again || t->burst >= BURST || (t->bursty && !present);
}

// Those of them whose index is in the mask.
static void frame_drop_traced(struct shadow *s, u64 frame, u32 mask)
{
    for (u32 left = s->frames[frame].traced & mask; left; left &= left - 1)
        table_drop(s, frame_table(s, frame, (unsigned)__builtin_ctz(left)));
}

// Tables that nothing leads to, roots that are not in use among them, when they are written: the page is
// about to be used for something else.
static bool frame_drop_orphans(struct shadow *s, u64 frame)
{
    for (u32 left = s->frames[frame].traced; left; left &= left - 1) {
        if (!table_orphaned(s, frame_table(s, frame, (unsigned)__builtin_ctz(left))))
            return false;
    }
    frame_drop_traced(s, frame, ~0u);
    s->stats.orphans++;
    return true;
}

bool write_frees_frame(struct shadow *s, u64 hpa)
{
    u64 frame = hpa_mfn(hpa).n;
    unsigned slot = hpa / 8 & (ENTRIES - 1);
    const struct shadow_frame *f = &s->frames[frame];
    if (unlikely(f->traced & TRACED_WP_CLEAR) && !s->tables[s->root].role) {
        frame_drop_traced(s, frame, TRACED_WP_CLEAR); // not in use: following them costs more than they save
        if (!f->traced)
            return true;
    }
    if (!frame_traced_once(s, frame) || table_orphaned(s, f->table))
        return frame_drop_orphans(s, frame);
    if (!s->config.strategy.sync || !(f->traced & TRACED_LEVEL_1) ||
        !writes_in_burst(s, &s->tables[f->table], slot))
        return false;
    table_leave_sync(s, f->table);
    return true;
}

void shadow_release(struct shadow *s, u64 hpa)
{
    u64 frame = hpa_mfn(hpa).n, fresh_gva = s->fresh_gva;
    (void)frame_drop_orphans(s, frame);
    for (u32 left = s->frames[frame].traced; left; left &= left - 1)
        table_leave_sync(s, frame_table(s, frame, (unsigned)__builtin_ctz(left)));
    settle(s);
    s->fresh_gva = fresh_gva; // the guest has not run since the fault
}
