// Root loads: which table is the root, whether it lies in place, under which VPID it runs, and what must be
// flushed. See roots.h.
#include "roots.h"
#include "eager.h"
#include "entries.h"
#include "forget.h"
#include "place.h"
#include "sync.h"
#include "tables.h"
#include "teardown.h"
#include "unpaged.h"
#include "view.h"

static u32 root_for(struct shadow_view *view)
{
    struct shadow *s = view->s;
    if (walk_mode(&view->walk.regs) == PAGING_NONE)
        return unpaged_root(s);
    struct p2m_leaf leaf = p2m_lookup(s->p2m, gpa_gfn(view->walk.regs.cr3 & PTE_ADDRESS));
    bool ram = p2m_is_ram(leaf.type);
    struct table_key key = {ram ? leaf.mfn.n : NO_ROOT, WALK_LEVELS, role_of(&view->walk.regs), !ram};
    return table_get(s, key, leaf.type == P2M_RAM, NULL);
}

// The slots of a group whose entries map.
static inline unsigned slots_mapping(const struct shadow *s, const u64 *entries)
{
    unsigned maps = 0;
#pragma GCC unroll 8
    for (unsigned i = 0; i < GROUP; i++)
        maps |= (unsigned)entry_maps(s, entries[i]) << i;
    return maps;
}

// A guest's address spaces share their kernel: a new root takes over the links whose entries are the same.
static void links_inherit(struct shadow *s, u32 from, u32 to)
{
    const u64 *guest = s->tables[to].guest, *seen = &s->seen[entry_id(from, 0)];
    const struct shadow_table *f = &s->tables[from];
    for (u64 groups = f->maps; groups; groups &= groups - 1) {
        unsigned first = group_first(groups);
        for (unsigned left = slots_mapping(s, f->entries + first); left; left &= left - 1) {
            unsigned slot = first + (unsigned)__builtin_ctz(left);
            bool accessed = guest[slot] & PTE_A; // which one in read-only memory need not be
            if (seen[slot] == guest[slot] && accessed)
                entry_fill_link(s, entry_id(to, slot), f->entries[slot]);
        }
    }
}

static void root_inherit(struct shadow_view *view, u32 before)
{
    struct shadow *s = view->s;
    const struct shadow_table *t = &s->tables[view->root];
    if (t->occupied || before == SHADOW_NONE || before == view->root || !table_is_exact(s, t))
        return;
    if (table_is_exact(s, &s->tables[before]) && s->tables[before].role == t->role)
        links_inherit(s, before, view->root);
}

static void root_follow(struct shadow_view *view)
{
    struct shadow *s = view->s;
    u64 made = s->stats.tables_made;
    view_set_root(view, root_for(view));
    s->stats.root_hits += made == s->stats.tables_made;
}

// Whether the guest's root may be in place, and where it lies.
static bool may_be_placed(const struct shadow_view *view, mfn_t *frame)
{
    const struct shadow *s = view->s;
    const struct paging_regs *regs = &view->walk.regs;
    if (!s->config.targets || walk_mode(regs) != PAGING_4LEVEL || role_of(regs))
        return false;
    struct p2m_leaf leaf = p2m_lookup(s->p2m, gpa_gfn(regs->cr3 & PTE_ADDRESS));
    *frame = leaf.mfn;
    return leaf.type == P2M_RAM;
}

// The guest's root is in place since an earlier load of the same CR3, as most that are loaded again. False:
// it is to be looked for.
static bool root_stands(struct shadow_view *view, mfn_t frame)
{
    struct shadow *s = view->s;
    u64 cr3 = view_target(view);
    u32 table = hash_find(s, (struct table_key){.frame = frame.n, .level = WALK_LEVELS});
    struct shadow_place *place = table == SHADOW_NONE ? NULL : place_of(s, &s->tables[table]);
    if (!place || place->cr3 != cr3)
        return false;
    s->tables[table].again = true;
    s->stats.root_hits++;
    view_switch_root(view, table);
    place_root(view, place, cr3);
    return true;
}

// In place where that can be. Clearing the place may drop tables: so the root is looked up afterwards.
static void root_choose(struct shadow_view *view)
{
    mfn_t frame;
    bool placed = may_be_placed(view, &frame);
    if (placed && !view->unpaged && root_stands(view, frame))
        return;
    struct shadow_place *place = placed ? place_claim(view->s, view->walk.regs.cr3) : NULL;
    u32 before = view->root;
    root_follow(view);
    if (place)
        place_root(view, place, view_target(view));
    else
        place_leave(view->s, view->root);
    root_inherit(view, before);
}

// Whether the PCID was loaded with another root last, as far as that is known. Under the other one the
// processor may have cached splinters of a large page, which the guest ends by one INVLPG wherever in it.
static bool pcid_moves(struct shadow_view *view)
{
    u64 cr3 = view->walk.regs.cr3, row = cr3 % (SHADOW_KEPT / 2) + (cr3 & BIT(11) ? SHADOW_KEPT / 2 : 0);
    if (view->kept[row] == cr3)
        return false;
    view->kept[row] = cr3;
    place_alone(view);
    return true;
}

// Where all roots share a VPID each load flushes, but with PCIDs a MOV to CR3 with bit 63. One without
// flushes a PCID, but no INVVPID knows just one. With CR0.WP = 0 a root has other tables: a change of it
// flushes.
static bool root_is_flushed(struct shadow_view *view, const struct shadow_table *root, u16 vpid)
{
    const struct shadow *s = view->s;
    if (view->no_flush && pcid_moves(view))
        return false;
    if (view->vpid)
        return view->keeps;
    u64 clean = root->epoch > s->flushed ? root->epoch : s->flushed;
    return root->vpid == vpid && clean == s->epoch;
}

static u16 root_vpid(const struct shadow_view *view)
{
    if (view->vpid)
        return view->vpid;
    return shadow_root_in_place(view) ? place_vpid(view->s) : (u16)(view->root + 2);
}

static void root_flush(struct shadow_view *view, u16 vpid)
{
    struct shadow *s = view->s;
    struct shadow_table *root = &s->tables[view->root];
    if (!root_is_flushed(view, root, vpid)) {
        s->stats.flush_vpid++;
        view->hw.flush_vpid(view->hw.context, vpid);
    }
    root->vpid = vpid;
    root->epoch = s->epoch;
}

// What the guest's entries must not have, by its paging mode: of 4-level paging EFER alone decides. And what
// tags its TLB entries.
static void paging_follow(struct shadow_view *view)
{
    const struct shadow *s = view->s;
    u64 nxe = view->walk.regs.efer & EFER_NXE;
    if (view->reserved_for == nxe)
        return;
    view->reserved_for = nxe;
    view->no_flush = view->walk.regs.cr4 & CR4_PCIDE ? CR3_NO_FLUSH : 0;
    view->vpid = view->no_flush ? place_vpid_pcids(s) : !s->config.root_vpids;
    for (unsigned level = 1; level <= WALK_LEVELS; level++) {
        for (unsigned page = 0; page < 2; page++)
            view->reserved[level][page] = walk_reserved_bits(&view->walk, PAGING_4LEVEL, level, page);
    }
}

// The first root since the tables were left.
static void return_to(struct shadow_view *view)
{
    struct shadow *s = view->s;
    s->left = false;
    forget_paging(s, &s->left_with, &view->walk.regs);
    sync_returned(view);
}

u16 root_load(struct shadow_view *view)
{
    const struct shadow_strategy *strategy = &view->s->config.strategy;
    u32 before = view->root;
    view->s->stats.root_loads++;
    view->fresh_gva = ~0ul;
    paging_follow(view);
    if (!strategy->cache)
        forget_all(view->s);
    if (unlikely(view->s->left))
        return_to(view);
    sync_all(view);
    root_choose(view);
    if (before != SHADOW_NONE)
        (void)teardown_ends(view->s, before);
    u16 vpid = root_vpid(view);
    root_flush(view, vpid);
    if (strategy->eager)
        eager_build(view);
    return vpid;
}

u64 root_address(const struct shadow_view *view)
{
    if (shadow_root_in_place(view))
        return view->walk.regs.cr3;
    u64 pcid = view->no_flush ? view->walk.regs.cr3 & CR3_PCID : 0;
    return ptr_hpa(view->unpaged ? view->pdpt : view->s->tables[view->root].entries) | pcid;
}
