// Tables out of sync: which leave, and how they come back. A table of level 1 whose entries are written in a
// burst leaves, so that the rest of the burst causes no exits; so does any table that an instruction writes
// which cannot be carried out. It comes back at the next root load, or when a fault needs it. See sync.h.
#include <arch/lib.h>
#include <arch/same.h>

#include "sync.h"
#include "entries.h"
#include "filling.h"
#include "frames.h"
#include "tables.h"
#include "teardown.h"
#include "trace.h"

#define BURST   4 // entries
#define SEVERAL 2 // that were changed in place

_Static_assert(SAME_STEP == GROUP * sizeof(u64) && SAME_BYTES == 8 * SAME_STEP &&
                   SAME_STEPS == ENTRIES / GROUP,
               "a block is eight groups");

// What was found in a table that has come back.
struct found {
    unsigned written; // entries
    bool changed;     // something maps otherwise than before
};

// Of these entries the guest's are not what they were.
static inline void group_synchronise(struct shadow_view *view, struct filling *f, const u64 *guest,
                                     unsigned first, unsigned changed, struct found *found)
{
    bool leaves = view->s->tables[f->first >> 9].level == 1;
    for (; changed; changed &= changed - 1) {
        unsigned slot = first + (unsigned)__builtin_ctz(changed);
        found->written += f->entries[slot] != view->s->unknown;
        found->changed |=
            leaves ? trace_leaf(view, f, slot, guest[slot]) : trace_entry(view, f->first + slot);
    }
}

// Of these groups, those whose guest entries have changed, and which entries. Eight that are all among them,
// as most of a full table's are, are looked at as one block first.
static inline u64 groups_changed(u64 groups, const u64 *guest, const u64 *seen, u8 slots[SAME_STEPS])
{
    u64 whole = groups & groups >> 1;
    whole &= whole >> 2;
    whole &= whole >> 4 & 0x0101010101010101ul; // bit 8n: these and the next seven
    if (whole)
        groups &= ~(same_blocks(guest, seen, whole) * 0xff);
    return groups & ~same_steps(guest, seen, groups, slots);
}

static struct found groups_synchronise(struct shadow_view *view, u32 table, u64 groups,
                                       const u8 slots[SAME_STEPS])
{
    const u64 *guest = view->s->tables[table].guest;
    struct filling f = filling_begin(view, table);
    struct found found = {0, false};
    for (u64 left = groups; left; left &= left - 1) {
        unsigned first = group_first(left);
        group_synchronise(view, &f, guest, first, slots[first / GROUP], &found);
    }
    filling_end(&f, groups);
    view->s->stats.traced_fills += f.leaves;
    return found;
}

static struct found table_compare(struct shadow_view *view, u32 table)
{
    const struct shadow *s = view->s;
    const struct shadow_table *t = &s->tables[table];
    u8 slots[SAME_STEPS] = {0};
    u64 changed = groups_changed(t->occupied, t->guest, &s->seen[entry_id(table, 0)], slots);
    return changed ? groups_synchronise(view, table, changed, slots) : (struct found){0, false};
}

// What has become of an entry.
enum change { CHANGE_OTHER, CHANGE_TAKEN_AWAY, CHANGE_READ_ONLY, CHANGE_CLEAN };

// A page that comes for a write is dirty, and comes alone. One that comes for a read may be of a file, with
// its neighbours.
static inline enum change change_of(u64 before, u64 after)
{
    if (!(before & PTE_P))
        return after & PTE_P && ~after & (PTE_W | PTE_D) ? CHANGE_CLEAN : CHANGE_OTHER;
    if (!(after & PTE_P))
        return CHANGE_TAKEN_AWAY;
    return before & PTE_W && (before ^ after) == PTE_W ? CHANGE_READ_ONLY : CHANGE_OTHER;
}

// What the next write of the same kind may begin. A table that has left the tree for an entry that was there
// says nothing, a page of it was copied; nor does one page that has come for a write.
static inline void burst_learn(struct shadow_table *t, bool apart, unsigned written)
{
    if (t->before & PTE_P)
        t->protects = apart ? t->protects : written >= SEVERAL;
    else if (written >= BURST || change_of(t->before, t->guest[t->slot]) == CHANGE_CLEAN)
        t->fills = written >= BURST;
}

void sync_table(struct shadow_view *view, u32 table)
{
    struct shadow *s = view->s;
    struct shadow_table *t = &s->tables[table];
    bool apart = t->apart;
    if (teardown_ends(s, table))
        return;
    table_found(s, table);
    frame_trace(s, table); // before the entries are looked at: no write is missed
    struct found found = table_compare(view, table);
    burst_learn(t, apart, found.written);
    t->burst = 0;
    s->epoch += found.changed;
    s->stats.synchronised++;
}

void sync_all(struct shadow_view *view)
{
    struct shadow *s = view->s;
    while (s->lost != SHADOW_NONE)
        sync_table(view, s->lost);
}

// What nothing leads to any more, and what maps nothing, has become something else while nobody looked.
static void table_return(struct shadow_view *view, u32 table)
{
    struct shadow *s = view->s;
    const struct shadow_table *t = &s->tables[table];
    bool root = t->level == WALK_LEVELS;
    if (!root && table_orphaned(s, table)) {
        table_drop(s, table);
        return;
    }
    if (!t->guest || t->out_of_sync)
        return;
    (void)table_compare(view, table);
    if (!t->mapped)
        table_drop(s, table);
}

// From the roots down, so that what they do not lead to any more need not be compared.
void sync_returned(struct shadow_view *view)
{
    struct shadow *s = view->s;
    for (unsigned level = WALK_LEVELS; level > 0; level--) {
        for (u32 table = s->newest, older; table != SHADOW_NONE; table = older) {
            older = s->tables[table].older;
            if (s->tables[table].level == level)
                table_return(view, table);
        }
    }
}

static bool is_users(const struct shadow *s, const struct shadow_table *t)
{
    return t->parents != SHADOW_NONE && *entry_at(s, t->parents) & PTE_U;
}

// Writes to two entries of one kind, close together, begin a burst: entries made (a fault for many pages),
// taken away (the end of a mapping) or made read-only (fork). Taking one away and making it again does not:
// copy on write, mprotect of one page.
static inline bool writes_in_burst(const struct shadow_view *view, struct shadow_table *t, unsigned slot)
{
    u64 now = view->hw.now(view->hw.context);
    u64 before = t->guest[slot];
    bool close = now - t->written < view->burst_cycles, present = before & PTE_P, other = slot != t->slot;
    bool again = close && other && present == (t->before & PTE_P);
    t->burst = close ? t->burst + other : 0;
    t->written = now;
    t->slot = (u16)slot;
    t->before = before;
    return again || t->burst >= BURST || (unlikely(t->fills && !present) && !is_users(view->s, t));
}

// Those of them whose index is in the mask.
static void frame_drop_traced(struct shadow *s, u64 frame, u32 mask)
{
    for (u32 left = frame_at(s, frame)->traced & mask; left; left &= left - 1)
        table_drop(s, frame_table(s, frame, (unsigned)__builtin_ctz(left)));
}

// Tables that nothing leads to, roots that are not in use among them, when they are written: the page is
// about to be used for something else.
static bool frame_drop_orphans(struct shadow *s, u64 frame)
{
    for (u32 left = frame_at(s, frame)->traced; left; left &= left - 1) {
        if (!table_orphaned(s, frame_table(s, frame, (unsigned)__builtin_ctz(left))))
            return false;
    }
    frame_drop_traced(s, frame, ~0u);
    s->stats.orphans++;
    return true;
}

bool sync_frees_frame(struct shadow_view *view, u64 hpa)
{
    struct shadow *s = view->s;
    u64 frame = hpa_mfn(hpa).n;
    unsigned slot = hpa / 8 & (ENTRIES - 1);
    const struct shadow_frame *f = frame_at(s, frame);
    if (unlikely(f->traced & TRACED_WP_CLEAR) && !s->tables[view->root].role) {
        frame_drop_traced(s, frame, TRACED_WP_CLEAR); // not in use: following them costs more than they save
        if (!f->traced)
            return true;
    }
    if (!traced_once(f) || table_orphaned(s, f->table))
        return frame_drop_orphans(s, frame);
    if (!s->config.strategy.sync || !(f->traced & TRACED_LEVEL_1) ||
        !writes_in_burst(view, &s->tables[f->table], slot))
        return false;
    table_lose(s, f->table);
    return true;
}

bool sync_leaf_table(struct shadow_view *view, struct mmu_fault *f, enum mmu_outcome *outcome)
{
    struct shadow *s = view->s;
    const struct shadow_frame *frame = frame_at(s, hpa_mfn(f->hpa).n);
    struct shadow_table *t = &s->tables[frame->table];
    unsigned slot = f->hpa / 8 & (ENTRIES - 1);
    if (frame->traced != BIT(traced_index(1, 0)) || t->parents == SHADOW_NONE)
        return false;
    bool leaves = s->config.strategy.sync && writes_in_burst(view, t, slot);
    f->watched = entry_id(frame->table, slot);
    *outcome = leaves ? MMU_FIXED : MMU_TRACED;
    if (unlikely(leaves))
        table_lose(s, frame->table);
    return true;
}

// What is written to the entry's group is to be found when the table comes back, though nothing of it is
// known.
static void group_await(struct shadow *s, struct shadow_table *t, u32 id)
{
    u64 group = BIT(id % ENTRIES / GROUP);
    if (t->occupied & group)
        return;
    t->occupied |= group;
    memset(&s->seen[align_down(id, GROUP)], 0, GROUP * sizeof(u64));
}

static bool part(struct shadow *s, u32 id)
{
    struct shadow_table *t = &s->tables[id >> 9];
    if (!s->config.strategy.sync || !table_is_exact(s, t) || !is_users(s, t) || !entry_flush_address(s, id))
        return false;
    table_part(s, id >> 9);
    group_await(s, t, id);
    return true;
}

bool sync_part(struct shadow *s, u32 id)
{
    struct shadow_table *t = &s->tables[id >> 9];
    if (!part(s, id))
        return false;
    t->slot = id % ENTRIES;
    t->before = t->guest[t->slot];
    return true;
}

static bool leaves_after(struct shadow *s, u32 table, unsigned slot, bool plain)
{
    const struct shadow_table *t = &s->tables[table];
    enum change change = t->slot == slot ? change_of(t->before, t->guest[slot]) : CHANGE_OTHER;
    bool ends = change == CHANGE_TAKEN_AWAY && plain && !t->guest[slot] && is_users(s, t);
    if (ends && teardown_begins(s, table))
        return true;
    if (change == CHANGE_TAKEN_AWAY)
        return part(s, entry_id(table, slot));
    bool several = change == CHANGE_READ_ONLY ? t->protects : change == CHANGE_CLEAN && t->fills;
    if (!several || !is_users(s, t))
        return false;
    if (change == CHANGE_READ_ONLY || !part(s, entry_id(table, slot)))
        table_lose(s, table);
    return true;
}

bool sync_leaf_written(struct shadow *s, u32 id, bool plain)
{
    if (!s->config.strategy.sync || !leaves_after(s, id >> 9, id % ENTRIES, plain))
        return false;
    s->stats.traced_writes++;
    return true;
}

bool sync_written(struct shadow *s, u64 hpa, unsigned bytes)
{
    u64 frame = hpa_mfn(hpa).n;
    const struct shadow_frame *f = frame_known(s, frame) ? frame_at(s, frame) : NULL;
    bool one = f && traced_once(f) && f->traced & TRACED_LEVEL_1 && hpa / 8 == (hpa + bytes - 1) / 8;
    return one && sync_leaf_written(s, entry_id(f->table, hpa / 8 & (ENTRIES - 1)), false);
}

void sync_release(struct shadow *s, u64 frame)
{
    (void)frame_drop_orphans(s, frame);
    for (u32 left = frame_at(s, frame)->traced; left; left &= left - 1)
        table_lose(s, frame_table(s, frame, (unsigned)__builtin_ctz(left)));
}
