// Roots: what happens when the guest loads one, and forgetting all or some of what the tables hold. See
// engine.h.
#include <arch/cpu.h>

#include "place.h"

// A root where there is no RAM reads as ones: every walk of the guest's ends with a reserved bit, and nothing
// is filled.
#define NO_ROOT (~0ul >> 4)

static u32 root_for(struct shadow *s, const struct walk_context *w)
{
    if (walk_mode(&w->regs) == PAGING_NONE)
        return unpaged_root(s);
    struct p2m_leaf leaf = p2m_lookup(s->p2m, gpa_gfn(w->regs.cr3 & PTE_ADDRESS));
    bool ram = p2m_is_ram(leaf.type);
    struct table_key key = {ram ? leaf.mfn.n : NO_ROOT, WALK_LEVELS, role_of(&w->regs), !ram};
    return table_get(s, key, leaf.type == P2M_RAM, NULL);
}

// A guest's address spaces share their kernel: a new root takes over the links whose entries are the same.
static void root_inherit(struct shadow *s, u32 from, u32 to)
{
    const struct shadow_table *f = &s->tables[from], *t = &s->tables[to];
    for (u64 groups = f->occupied; groups; groups &= groups - 1) {
        unsigned first = (unsigned)__builtin_ctzl(groups) * GROUP;
        for (unsigned slot = first; slot < first + GROUP; slot++) {
            bool same = entry_maps(s, f->entries[slot]) && s->seen[entry_id(from, slot)] == t->guest[slot];
            if (same)
                entry_set(s, entry_id(to, slot), f->entries[slot]);
        }
    }
}

static void root_follow(struct shadow *s, const struct walk_context *w)
{
    u32 before = s->root;
    u64 made = s->stats.tables_made;
    s->root = root_for(s, w);
    s->stats.root_hits += made == s->stats.tables_made;
    s->unpaged = walk_mode(&w->regs) == PAGING_NONE;
    const struct shadow_table *t = &s->tables[s->root];
    if (t->occupied || before == SHADOW_NONE || before == s->root || !table_is_exact(s, t))
        return;
    if (table_is_exact(s, &s->tables[before]) && s->tables[before].role == t->role)
        root_inherit(s, before, s->root);
}

static bool may_be_placed(const struct shadow *s, const struct walk_context *w)
{
    return s->config.targets && walk_mode(&w->regs) == PAGING_4LEVEL && !role_of(&w->regs) &&
           p2m_lookup(s->p2m, gpa_gfn(w->regs.cr3 & PTE_ADDRESS)).type == P2M_RAM;
}

// In place where that can be. Clearing the place may drop tables: so the root is looked up afterwards.
static void root_choose(struct shadow *s, const struct walk_context *w)
{
    struct shadow_place *place = may_be_placed(s, w) ? place_claim(s, w->regs.cr3) : NULL;
    root_follow(s, w);
    if (place)
        place_root(s, place, w->regs.cr3);
    else
        place_leave(s, s->root);
}

static void forget(struct shadow *s)
{
    s->root = SHADOW_NONE;
    s->unpaged = false;
    while (s->newest != SHADOW_NONE)
        table_drop(s, s->newest);
}

void shadow_drop_all(struct shadow *s)
{
    forget(s);
    flush_everything(s);
    settle(s);
}

#define FEW 512u // frames that are worth forgetting one by one

// Nothing maps a hole or a device, but a root may lie there.
static bool change_is_simple(const struct shadow *s, gfn_t first, u64 count)
{
    bool simple = count <= FEW && s->root != SHADOW_NONE && s->tables[s->root].frame != NO_ROOT;
    for (u64 i = 0; simple && i < count; i++)
        simple = p2m_lookup(s->p2m, gfn(first.n + i)).type != P2M_DIRECT;
    return simple;
}

void shadow_p2m_changing(struct shadow *s, gfn_t first, u64 count)
{
    if (!change_is_simple(s, first, count)) {
        shadow_drop_all(s);
        return;
    }
    for (u64 i = 0; i < count; i++) {
        struct p2m_leaf leaf = p2m_lookup(s->p2m, gfn(first.n + i));
        if (p2m_is_ram(leaf.type))
            frame_forget(s, leaf.mfn.n);
    }
    flush_everything(s);
    settle(s);
}

// Where user pages have turned into the supervisor's, other checks would be made of them.
static void forget_wp_clear(struct shadow *s)
{
    for (u32 table = s->newest, older; table != SHADOW_NONE; table = older) {
        older = s->tables[table].older;
        if (s->tables[table].role)
            table_drop(s, table);
    }
}

void shadow_paging_changed(struct shadow *s, const struct paging_regs *before,
                           const struct paging_regs *after)
{
    u64 cr4 = before->cr4 ^ after->cr4;
    if ((before->efer ^ after->efer) & EFER_NXE) {
        shadow_drop_all(s); // entries are wrong, not only stale
        return;
    }
    if (cr4 & (CR4_SMEP | CR4_SMAP | CR4_PKE))
        forget_wp_clear(s);
    if (cr4 & CR4_PGE || cr4 & before->cr4 & CR4_PCIDE || cr4 & after->cr4 & CR4_SMEP) {
        flush_everything(s);
        settle(s);
    }
}

bool shadow_hides_fetches(const struct paging_regs *regs)
{
    return regs->cr0 & CR0_PG && regs->cr4 & (CR4_SMAP | CR4_PKE) && !walk_tells_fetches(regs);
}

static bool root_is_flushed(const struct shadow *s, const struct shadow_table *root, u16 vpid)
{
    u64 clean = root->epoch > s->flushed ? root->epoch : s->flushed;
    return root->vpid == vpid && clean == s->epoch && s->config.root_vpids;
}

static u16 root_vpid(const struct shadow *s)
{
    if (!s->config.root_vpids)
        return 1;
    return shadow_root_in_place(s) ? place_vpid(s) : (u16)(s->root + 2);
}

u64 shadow_load_root(struct shadow *s, const struct walk_context *w, u16 *vpid)
{
    s->stats.root_loads++;
    if (s->reserved_for != (w->regs.efer & EFER_NXE)) {
        s->reserved_for = w->regs.efer & EFER_NXE;
        s->leaf_reserved = walk_reserved_bits(w, PAGING_4LEVEL, 1, true);
    }
    s->fresh_gva = ~0ul;
    if (!s->config.strategy.cache)
        forget(s);
    synchronise_all(s, w);
    root_choose(s, w);
    struct shadow_table *root = &s->tables[s->root];
    *vpid = root_vpid(s);
    if (!root_is_flushed(s, root, *vpid)) {
        s->stats.flush_vpid++;
        s->hw.flush_vpid(s->hw.context, *vpid);
    }
    root->vpid = *vpid;
    root->epoch = s->epoch;
    if (s->config.strategy.eager)
        eager_build(s, w);
    settle(s);
    return shadow_root_in_place(s) ? w->regs.cr3 : root_address(s);
}
