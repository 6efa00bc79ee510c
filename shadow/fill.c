// Page faults: hidden or true, and the entries that a hidden one fills. See engine.h.
#include <arch/cpu.h>

#include "tables.h"

#define LINK_RIGHTS (PTE_W | PTE_U | PTE_NX)
#define PAGE_TYPE   (PTE_PWT | PTE_PCD | PTE_PAT)

u64 link_flags(u64 guest_entry)
{
    return guest_entry & LINK_RIGHTS;
}

// Write access needs a dirty guest entry (so that the first write is seen and sets it), RAM, and no trace.
static bool may_write(const struct shadow *s, u64 guest_entry, const struct p2m_leaf *leaf)
{
    return (guest_entry & (PTE_W | PTE_D)) == (PTE_W | PTE_D) && leaf->type == P2M_RAM &&
           !frame_traced(s, leaf->mfn);
}

static u64 leaf_to(const struct shadow *s, u64 guest_entry, u64 flags, gfn_t g)
{
    struct p2m_leaf leaf = p2m_lookup(s->p2m, g);
    u64 value = mfn_hpa(leaf.mfn) | flags | PTE_P | PTE_A | PTE_D;
    switch (leaf.type) {
    case P2M_RAM:
    case P2M_RAM_RO:
        return may_write(s, guest_entry, &leaf) ? value | PTE_W : value;
    case P2M_DIRECT: // device memory: uncached whatever the guest says, writable if the guest's entry is
        return (value & ~PTE_PAT) | PTE_PWT | PTE_PCD | (guest_entry & PTE_D ? guest_entry & PTE_W : 0);
    default:
        return s->unknown;
    }
}

u64 leaf_value(const struct shadow *s, const struct walk_context *w, u64 guest_entry)
{
    u64 reserved = walk_reserved_bits(w, PAGING_4LEVEL, 1, true);
    if ((guest_entry & (PTE_P | PTE_A)) != (PTE_P | PTE_A) || guest_entry & reserved)
        return s->unknown;
    u64 flags = guest_entry & (PTE_U | PTE_NX | PAGE_TYPE);
    return leaf_to(s, guest_entry, flags, gpa_gfn(guest_entry & PTE_ADDRESS));
}

// A frame of a guest's large page. The large page's rights are in the entry above, so all are given here;
// where two large pages of the guest name the same frames with different memory types, the first to be used
// counts.
u64 splinter_value(const struct shadow *s, u64 large, gfn_t g)
{
    u64 flags = PTE_U | (large & (PTE_PWT | PTE_PCD)) | (large & PTE_PAT_2M ? PTE_PAT : 0);
    return leaf_to(s, PTE_W | PTE_D, flags, g);
}

// The table that the guest's entry at `level` leads to: the guest's next table, or a piece of its large
// page.
static u32 child_for(struct shadow *s, const struct walk *walk, unsigned level, const u32 *keep)
{
    if (level > walk->level) {
        gfn_t table = gpa_gfn(walk->entry[level] & PTE_ADDRESS);
        return table_get(s, p2m_lookup(s->p2m, table).mfn.n, level - 1, false, keep);
    }
    u64 frames = 1ul << 9 * (level - 1);
    return table_get(s, align_down(gpa_gfn(walk->gpa).n, frames), level - 1, true, keep);
}

static u64 child_flags(const struct walk *walk, unsigned level, bool write)
{
    if (level < walk->level)
        return PTE_W | PTE_U; // inside a large page: its rights are further up
    u64 entry = walk->entry[level];
    u64 flags = link_flags(entry);
    return level == walk->level && !write && !(entry & PTE_D) ? flags & ~PTE_W : flags;
}

// A table that is not exact may hold entries that were never true at a new place, or under new rights: there
// they would not be stale but invented. So it starts blank, and so do all of a lower level, as an exact table
// may lead to them.
static void link_anew(struct shadow *s, u32 id, u32 child, u64 flags)
{
    const struct shadow_table *t = &s->tables[child];
    if (!t->splinter && !s->config.strategy.trace)
        table_forget_entries(s, child);
    for (u32 at = s->newest; s->out_of_sync && at != SHADOW_NONE; at = s->tables[at].older) {
        if (s->tables[at].out_of_sync && (at == child || s->tables[at].level < t->level))
            table_forget_entries(s, at);
    }
    entry_link(s, id, child, flags);
}

// Walks down from the root to the table of level 1 for gva, making and linking what is missing.
static u32 path_make(struct shadow *s, u64 gva, const struct walk *walk, bool write)
{
    u32 path[WALK_LEVELS + 1] = {s->root, SHADOW_NONE};
    unsigned depth = 1;
    for (unsigned level = s->tables[s->root].level; level > 1; level--) {
        u32 id = entry_id(path[depth - 1], SLOT(gva, level));
        u32 child = child_for(s, walk, level, path);
        u64 flags = child_flags(walk, level, write), now = *entry_at(s, id);
        if (!entry_maps(s, now) || entry_child(s, now) != child || (now & LINK_RIGHTS) != flags)
            link_anew(s, id, child, flags);
        path[depth++] = child;
        path[depth] = SHADOW_NONE;
    }
    return path[depth - 1];
}

static u64 value_for(struct shadow *s, const struct walk_context *w, const struct walk *walk, u32 id,
                     u64 marks)
{
    const struct shadow_table *t = &s->tables[id >> 9];
    unsigned slot = id & (ENTRIES - 1);
    if (t->splinter)
        return splinter_value(s, walk->entry[walk->level], gfn(t->frame + slot));
    return leaf_value(s, w, t->guest[slot] | marks);
}

// Fills the neighbours of a filled entry that are unknown and that the guest has used before.
static void prefetch(struct shadow *s, const struct walk_context *w, const struct walk *walk, u32 id)
{
    u32 first = id - id % s->config.prefetch;
    for (u32 at = first; at < first + s->config.prefetch; at++) {
        if (*entry_at(s, at) != s->unknown)
            continue;
        u64 value = value_for(s, w, walk, at, 0);
        if (value == s->unknown)
            continue;
        entry_set_leaf(s, at, value);
        s->stats.prefetched++;
    }
}

// The walk has marked the guest's entries accessed and dirty, but for tables in read-only memory, which keep
// their bits: so the entry is taken as marked.
static void fill(struct shadow *s, const struct walk_context *w, u64 gva, const struct walk *walk, bool write)
{
    u32 table = path_make(s, gva, walk, write);
    u32 id = entry_id(table, SLOT(gva, 1));
    s->tables[table].burst = 0;
    u64 value = value_for(s, w, walk, id, PTE_A | (write ? PTE_D : 0));
    if (value != *entry_at(s, id))
        entry_set_leaf(s, id, value);
    if (s->config.prefetch > 1)
        prefetch(s, w, walk, id);
    s->stats.hidden_faults++;
}

// A leaf table whose entries are changed again and again, not filled: better left to itself until the next
// flush.
#define BURST 2

static bool leave_unsynchronised(struct shadow *s, mfn_t frame, u64 gpa)
{
    if (!s->config.strategy.sync || s->frames[frame.n].levels != BIT(1))
        return false;
    u32 table = table_find(s, frame.n, 1, false);
    struct shadow_table *t = &s->tables[table];
    if (t->entries[gpa / 8 & (ENTRIES - 1)] == 0 || ++t->burst < BURST)
        return false;
    table_leave_sync(s, table);
    return true;
}

static struct walk_access access_of(const struct walk_context *w, u32 error_code)
{
    enum access kind = error_code & PFEC_I ? ACCESS_FETCH : error_code & PFEC_W ? ACCESS_WRITE : ACCESS_READ;
    return (struct walk_access){kind, .implicit = w->cpl == 3 && !(error_code & PFEC_U)};
}

static enum shadow_outcome judge(struct shadow *s, const struct walk_context *w, u64 gva, u32 *error_code,
                                 u64 *gpa)
{
    struct walk_access access = access_of(w, *error_code);
    struct walk walk;
    if (walk_guest(w, gva, access, true, &walk)) {
        *error_code = walk.error_code;
        s->stats.true_faults++;
        if (!shadow_is_exact(s))
            path_refresh(s, w, gva); // a #PF drops what is cached for its address (SDM vol. 3, 4.10.4.1)
        return SHADOW_GUEST_FAULT;
    }
    if (walk.mode == PAGING_NONE)
        walk.level = WALK_LEVELS; // all tables are pieces of one page, whose entry is 0
    *gpa = walk.gpa;
    struct p2m_leaf leaf = p2m_lookup(s->p2m, gpa_gfn(walk.gpa));
    bool write = access.kind == ACCESS_WRITE, ram = leaf.type == P2M_RAM;
    bool maps = ram || leaf.type == P2M_DIRECT || (leaf.type == P2M_RAM_RO && !write);
    if (!maps || (write && !walk.writable)) {
        s->stats.emulated++;
        return SHADOW_EMULATE;
    }
    if (write && ram && frame_traced(s, leaf.mfn) && !leave_unsynchronised(s, leaf.mfn, walk.gpa))
        return SHADOW_TRACED_WRITE;
    fill(s, w, gva, &walk, write);
    return SHADOW_FIXED;
}

enum shadow_outcome shadow_fault(struct shadow *s, const struct walk_context *w, u64 gva, u32 *error_code,
                                 u64 *gpa)
{
    enum shadow_outcome outcome = judge(s, w, gva, error_code, gpa);
    settle(s);
    return outcome;
}
