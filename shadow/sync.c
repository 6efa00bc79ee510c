// Tables out of sync: which leave, and how they come back. A table of level 1 whose entries are written in a
// burst leaves, so that the rest of the burst causes no exits; so does any table that an instruction writes
// which cannot be carried out. It comes back at the next root load, or when a fault needs it. See tables.h.
#include "tables.h"

#define BURST        3    // writes that follow closely on another until a table leaves
#define BURST_CYCLES 1500 // of the guest between two such writes

void table_leave_sync(struct shadow *s, u32 table)
{
    frame_untrace(s, table);
    s->tables[table].out_of_sync = true;
    s->out_of_sync++;
    s->stats.out_of_sync++;
}

// An entry of a table that has come back. True if it maps something else than before.
static bool slot_synchronise(struct shadow *s, const struct walk_context *w, u32 id, u64 now, u64 guest_entry)
{
    if (entry_maps(s, now))
        return s->seen[id] != guest_entry && entry_refresh(s, w, id);
    bool none = !(guest_entry & PTE_P);
    if (none != (now == 0) || (!none && guest_entry & PTE_A))
        entry_refresh(s, w, id);
    return false;
}

static unsigned group_synchronise(struct shadow *s, const struct walk_context *w, u32 table, unsigned first)
{
    const struct shadow_table *t = &s->tables[table];
    unsigned changed = 0;
    for (unsigned slot = first; slot < first + GROUP; slot++)
        changed += slot_synchronise(s, w, entry_id(table, slot), t->entries[slot], t->guest[slot]);
    return changed;
}

void table_synchronise(struct shadow *s, const struct walk_context *w, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    t->out_of_sync = false;
    s->out_of_sync--;
    frame_trace(s, table); // before the entries are looked at: no write is missed
    unsigned changed = 0;
    for (u64 groups = t->occupied; groups; groups &= groups - 1)
        changed += group_synchronise(s, w, table, (unsigned)__builtin_ctzl(groups) * GROUP);
    t->bursty = changed >= BURST;
    t->burst = 0;
    s->epoch += changed > 0;
    s->stats.synchronised++;
}

void synchronise_all(struct shadow *s, const struct walk_context *w)
{
    for (u32 table = s->newest; s->out_of_sync && table != SHADOW_NONE; table = s->tables[table].older) {
        if (s->tables[table].out_of_sync)
            table_synchronise(s, w, table);
    }
}

static bool writes_in_burst(struct shadow *s, struct shadow_table *t)
{
    u64 now = s->hw.now(s->hw.context);
    t->burst = now - t->written < BURST_CYCLES ? t->burst + 1 : 0;
    t->written = now;
    return t->burst >= BURST || t->bursty;
}

// Tables that nothing leads to, roots that are not in use among them, when they are written: the page is
// about to be used for something else.
static bool table_orphaned(const struct shadow *s, u32 table)
{
    return s->tables[table].parents == SHADOW_NONE && table != s->root;
}

static bool frame_drop_orphans(struct shadow *s, u64 frame)
{
    for (unsigned level = 1; level <= WALK_LEVELS; level++) {
        if (s->frames[frame].levels & BIT(level) && !table_orphaned(s, frame_table(s, frame, level)))
            return false;
    }
    for (unsigned level = 1; level <= WALK_LEVELS; level++) {
        if (s->frames[frame].levels & BIT(level))
            table_drop(s, frame_table(s, frame, level));
    }
    s->stats.orphans++;
    return true;
}

bool write_frees_frame(struct shadow *s, u64 frame)
{
    const struct shadow_frame *f = &s->frames[frame];
    if (!frame_traced_once(s, frame) || table_orphaned(s, f->table))
        return frame_drop_orphans(s, frame);
    if (!s->config.strategy.sync || f->levels != BIT(1) || !writes_in_burst(s, &s->tables[f->table]))
        return false;
    table_leave_sync(s, f->table);
    return true;
}

void shadow_release(struct shadow *s, u64 hpa)
{
    u64 frame = hpa_mfn(hpa).n;
    (void)frame_drop_orphans(s, frame);
    for (unsigned level = 1; level <= WALK_LEVELS; level++) {
        if (s->frames[frame].levels & BIT(level))
            table_leave_sync(s, frame_table(s, frame, level));
    }
    settle(s);
}
