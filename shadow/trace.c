// How shadow entries follow the guest's: writes to traced tables, tables that come back into sync, INVLPG.
#include <arch/cpu.h>
#include <arch/phys.h>

#include "tables.h"

#define LINK_RIGHTS (PTE_W | PTE_U | PTE_NX)

// Entries above level 1 only follow; they are filled by faults.
static bool link_refresh(struct shadow *s, u32 id, u64 guest_entry, u64 blank)
{
    u64 now = *entry_at(s, id);
    if (!entry_maps(s, now)) {
        *entry_at(s, id) = blank;
        return false;
    }
    u32 child = entry_child(s, now);
    const struct shadow_table *c = &s->tables[child];
    bool table = guest_entry & PTE_P && guest_entry & PTE_A && !(guest_entry & PTE_PS);
    bool same =
        table && !c->splinter && c->frame == p2m_lookup(s->p2m, gpa_gfn(guest_entry & PTE_ADDRESS)).mfn.n;
    if (same && (now & LINK_RIGHTS) == link_flags(guest_entry))
        return false;
    entry_clear(s, id, blank);
    return true;
}

static bool leaf_refresh(struct shadow *s, const struct walk_context *w, u32 id, u64 guest_entry, u64 blank)
{
    u64 now = *entry_at(s, id);
    u64 value = leaf_value(s, w, guest_entry);
    if (value == s->unknown)
        return entry_clear(s, id, blank);
    if (value == now)
        return false;
    bool changed = entry_clear(s, id, blank);
    entry_set_leaf(s, id, value);
    s->stats.traced_fills++;
    return changed;
}

bool entry_refresh(struct shadow *s, const struct walk_context *w, u32 id)
{
    const struct shadow_table *t = &s->tables[id >> 9];
    u64 guest_entry = t->guest[id & (ENTRIES - 1)];
    u64 blank = entry_blank(s, t, guest_entry);
    if (t->level > 1)
        return link_refresh(s, id, guest_entry, blank);
    return leaf_refresh(s, w, id, guest_entry, blank);
}

// A table that no entry points to any more stands for a page that the guest is about to use for something
// else.
static void drop_orphan(struct shadow *s, u32 table)
{
    if (s->tables[table].parents == SHADOW_NONE && table != s->root)
        table_drop(s, table);
}

static void slot_written(struct shadow *s, const struct walk_context *w, u32 table, unsigned slot)
{
    u32 id = entry_id(table, slot);
    u64 before = *entry_at(s, id);
    if (!entry_refresh(s, w, id))
        return;
    s->stats.traced_changes++;
    s->epoch++;
    if (s->tables[table].level > 1)
        drop_orphan(s, entry_child(s, before));
}

void shadow_written(struct shadow *s, const struct walk_context *w, u64 gpa, unsigned bytes)
{
    u64 frame = p2m_lookup(s->p2m, gpa_gfn(gpa)).mfn.n;
    unsigned first = gpa / 8 & (ENTRIES - 1), last = (gpa + bytes - 1) / 8 & (ENTRIES - 1);
    s->stats.traced_writes++;
    for (unsigned level = WALK_LEVELS; level > 0; level--) {
        for (unsigned slot = first; slot <= last && s->frames[frame].levels & BIT(level); slot++)
            slot_written(s, w, table_find(s, frame, level, false), slot);
    }
    settle(s);
}

// A table that is not in use is forgotten, so that it does not stay out of sync for nothing.
void shadow_release(struct shadow *s, gfn_t g)
{
    u64 frame = p2m_lookup(s->p2m, g).mfn.n;
    for (unsigned level = 1; level <= WALK_LEVELS; level++) {
        if (!(s->frames[frame].levels & BIT(level)))
            continue;
        u32 table = table_find(s, frame, level, false);
        if (s->tables[table].parents == SHADOW_NONE && table != s->root)
            table_drop(s, table);
        else
            table_leave_sync(s, table);
    }
    settle(s);
}

static void synchronise(struct shadow *s, const struct walk_context *w, u32 table)
{
    table_enter_sync(s, table); // first: from here on no write is missed
    bool changed = false;
    const struct shadow_table *t = &s->tables[table];
    for (unsigned slot = 0; slot < ENTRIES; slot++) {
        u32 id = entry_id(table, slot);
        u64 guest_entry = t->guest[slot];
        if (s->seen[id] != guest_entry)
            changed |= entry_refresh(s, w, id);
        else if (!(guest_entry & PTE_P))
            t->entries[slot] = 0; // exact again
    }
    s->epoch += changed;
    s->stats.synchronised++;
}

static void synchronise_all(struct shadow *s, const struct walk_context *w)
{
    for (u32 table = s->newest; s->out_of_sync && table != SHADOW_NONE; table = s->tables[table].older) {
        if (s->tables[table].out_of_sync)
            synchronise(s, w, table);
    }
}

void path_refresh(struct shadow *s, const struct walk_context *w, u64 gva)
{
    u32 table = s->root;
    for (unsigned level = s->tables[table].level; level > 0; level--) {
        u32 id = entry_id(table, SLOT(gva, level));
        if (s->tables[table].splinter || entry_refresh(s, w, id) || !entry_maps(s, *entry_at(s, id)))
            return;
        if (level > 1)
            table = entry_child(s, *entry_at(s, id));
    }
}

// INVLPG of any address drops all that the processor cached of entries above the leaves (SDM vol.
// 3, 4.10.4.1): so no link that is stale may lead to leaves that are looked at from now on.
static void links_refresh(struct shadow *s, const struct walk_context *w)
{
    for (u32 table = s->newest; table != SHADOW_NONE; table = s->tables[table].older) {
        const struct shadow_table *t = &s->tables[table];
        if (t->level == 1 || !t->guest || (s->config.strategy.trace && !t->out_of_sync))
            continue;
        for (unsigned slot = 0; slot < ENTRIES; slot++) {
            if (entry_maps(s, t->entries[slot]))
                entry_refresh(s, w, entry_id(table, slot));
        }
    }
}

void shadow_invlpg(struct shadow *s, const struct walk_context *w, u64 gva)
{
    path_refresh(s, w, gva);
    links_refresh(s, w);
    settle(s);
}

// A root where there is no RAM reads as ones: every walk of the guest's ends with a reserved bit, and nothing
// is filled.
#define NO_ROOT (~0ul >> 4)

static u32 root_for(struct shadow *s, const struct walk_context *w)
{
    static const u32 keep_none = SHADOW_NONE;
    if (walk_mode(&w->regs) == PAGING_NONE)
        return unpaged_root(s);
    struct p2m_leaf leaf = p2m_lookup(s->p2m, gpa_gfn(w->regs.cr3 & PTE_ADDRESS));
    bool ram = leaf.type == P2M_RAM || leaf.type == P2M_RAM_RO;
    return table_get(s, ram ? leaf.mfn.n : NO_ROOT, WALK_LEVELS, !ram, &keep_none);
}

static void forget(struct shadow *s)
{
    s->root = SHADOW_NONE;
    while (s->newest != SHADOW_NONE)
        table_drop(s, s->newest);
}

void shadow_drop_all(struct shadow *s)
{
    forget(s);
    s->stats.dropped_all++;
    flush_everything(s);
    settle(s);
}

void shadow_p2m_changing(struct shadow *s, gfn_t first, u64 count)
{
    (void)first, (void)count; // nobody knows yet which leaves map a frame read-only
    shadow_drop_all(s);
}

void shadow_paging_changed(struct shadow *s, const struct paging_regs *before,
                           const struct paging_regs *after)
{
    u64 cr4 = before->cr4 ^ after->cr4;
    if ((before->efer ^ after->efer) & EFER_NXE) {
        shadow_drop_all(s); // entries are wrong, not only stale
    } else if (walk_mode(before) != walk_mode(after) || cr4 & CR4_PGE || cr4 & before->cr4 & CR4_PCIDE ||
               cr4 & after->cr4 & CR4_SMEP) {
        flush_everything(s);
        settle(s);
    }
}

u64 shadow_load_root(struct shadow *s, const struct walk_context *w, u16 *vpid)
{
    s->stats.root_loads++;
    if (!s->config.strategy.cache)
        forget(s);
    synchronise_all(s, w);
    s->root = root_for(s, w);
    struct shadow_table *root = &s->tables[s->root];
    *vpid = s->config.root_vpids ? (u16)(s->root + 2) : 1;
    u64 clean = root->epoch > s->flushed ? root->epoch : s->flushed;
    if (root->vpid != *vpid || clean != s->epoch || !s->config.root_vpids) {
        s->stats.flush_vpid++;
        s->hw.flush_vpid(s->hw.context, *vpid);
    }
    root->vpid = *vpid;
    root->epoch = s->epoch;
    if (s->config.strategy.eager)
        eager_build(s, w);
    settle(s);
    return root_address(s);
}
