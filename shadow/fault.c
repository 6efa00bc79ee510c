// #PF exits: hidden or true, and what is done about them. Most are judged by the shadow tables themselves,
// which say what the guest's say as long as these are traced; the others by a walk of the guest's tables. See
// fault.h.
#include "fault.h"
#include "entries.h"
#include "fill.h"
#include "frames.h"
#include "sync.h"
#include "tables.h"
#include "teardown.h"
#include "trace.h"
#include "view.h"

// The table that the processor's walk has come to at the spot.
static inline u32 spot_table(const struct shadow_view *view, const struct spot *spot)
{
    return spot->level == view->top->level ? view->root : entry_child(view->s, spot->link);
}

static bool by_user(const struct shadow_view *view, const struct mmu_fault *f)
{
    return view->walk.cpl == 3 && !f->access.implicit;
}

// Whether the processor met an entry that is present and not marked as unknown: it denied by rights.
static bool by_rights(u32 error_code)
{
    return (error_code & (PFEC_P | PFEC_RSVD)) == PFEC_P;
}

// Whether protection keys may have a say (4.6.2): then the walk decides. They have none without paging.
static bool keys_matter(const struct shadow_view *view, u64 all, u64 leaf)
{
    return view->walk.regs.cr4 & CR4_PKE && view->walk.regs.cr0 & CR0_PG && all & PTE_U &&
           view->walk.pkru >> (leaf >> PTE_KEY_SHIFT & 15) * 2 & 3;
}

// Whether a table above level 1 on the processor's way to gva is out of sync.
static __attribute__((noinline)) bool above_is_stale(const struct shadow_view *view, u64 gva)
{
    const struct shadow *s = view->s;
    u32 table = view->root;
    for (unsigned level = s->tables[table].level; level > 1; level--) {
        if (s->tables[table].out_of_sync)
            return true;
        u64 entry = s->tables[table].entries[SLOT(gva, level)];
        if (!entry_maps(s, entry) || entry_is_leaf(level, entry))
            return false;
        table = entry_child(s, entry);
    }
    return false;
}

// Whether a table on the processor's way to a leaf of level 1 is out of sync. Others do not matter: an
// instruction that writes to two tables would bring back the one at the fault of the other, for ever.
static inline bool spot_is_stale(const struct shadow_view *view, u64 gva, const struct spot *spot)
{
    const struct shadow *s = view->s;
    return s->out_of_sync && (s->tables[entry_child(s, spot->link)].out_of_sync ||
                              (s->lost_above && above_is_stale(view, gva)));
}

// Whether the rights of all levels together allow the access (SDM vol. 3, 4.6.1). What only CR0.WP = 0 allows
// is left to the walk, unless entries say it by now.
static bool rights_allow(const struct shadow_view *view, const struct mmu_fault *f, u64 all, u64 any)
{
    bool fetch = f->access.kind == ACCESS_FETCH, user_page = all & PTE_U;
    if ((f->access.kind == ACCESS_WRITE && !(all & PTE_W)) || (fetch && any & PTE_NX))
        return false;
    if (by_user(view, f))
        return user_page;
    if (!user_page)
        return true;
    if (fetch)
        return !(view->walk.regs.cr4 & CR4_SMEP);
    return !(view->walk.regs.cr4 & CR4_SMAP) || (view->walk.rflags & RFLAGS_AC && !f->access.implicit);
}

// Whether what rights_allow denies is denied: what only CR0.WP = 0 allows needs the walk.
static inline bool denies_for_sure(const struct shadow_view *view, const struct mmu_fault *f)
{
    return view->walk.regs.cr0 & CR0_WP || by_user(view, f);
}

// Whether it is a supervisor's write, by a supervisor's page, to a watched page.
static inline bool supervisor_writes(struct shadow_view *view, u64 gva)
{
    u64 kinds = view->s->mark | PTE_P | PTE_MAY_WRITE | PTE_W;
    struct spot spot = view_spot(view, gva);
    u64 leaf = *spot.entry;
    if (spot.level != 1 || (leaf & kinds) != (PTE_P | PTE_MAY_WRITE) || leaf & spot.all & PTE_U ||
        !(spot.all & PTE_W) || spot_is_stale(view, gva, &spot))
        return false;
    way_keep(view, &view->written, gva, spot.entry, leaf & PTE_ADDRESS);
    return true;
}

// The same, and to a table of level 1.
static inline bool by_supervisor(struct shadow_view *view, struct mmu_fault *f, enum mmu_outcome *outcome)
{
    bool known = !view->s->out_of_sync && way_holds(view, &view->written, f->gva);
    if (!known && !supervisor_writes(view, f->gva))
        return false;
    f->hpa = view->written.hpa | (f->gva & (PAGE_SIZE - 1));
    return sync_leaf_table(view, f, outcome);
}

enum quick { QUICK_NO, QUICK_FIXED, QUICK_TRACED, QUICK_TRUE };

static const enum mmu_outcome outcomes[] = {
    [QUICK_FIXED] = MMU_FIXED, [QUICK_TRACED] = MMU_TRACED, [QUICK_TRUE] = MMU_GUEST_FAULT};

// A write to a page that would be writable but for tracing; or is by now, and the processor had cached that
// it was not.
static enum quick quick_traced(struct shadow_view *view, struct mmu_fault *f, const struct spot *spot)
{
    u64 leaf = *spot->entry, all = spot->all & (leaf | PTE_W), any = spot->any | leaf;
    bool would = entry_maps(view->s, leaf) && leaf & PTE_MAY_WRITE;
    if (!would || spot_is_stale(view, f->gva, spot) || keys_matter(view, all, leaf) ||
        !rights_allow(view, f, all, any))
        return QUICK_NO;
    if (leaf & PTE_W)
        return QUICK_FIXED;
    f->hpa = (leaf & PTE_ADDRESS) | (f->gva & (PAGE_SIZE - 1));
    return sync_frees_frame(view, f->hpa) ? QUICK_FIXED : QUICK_TRACED;
}

// Sets the bits in the guest's entry as the processor would, atomically. False: it has changed meanwhile.
static bool entry_mark(const struct shadow_table *t, unsigned slot, u64 seen, u64 bits)
{
    if ((seen & bits) == bits)
        return true;
    u64 *entry = (u64 *)(uintptr_t)&t->guest[slot];
    return t->marks &&
           __atomic_compare_exchange_n(entry, &seen, seen | bits, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

#define NONE_BLOCK 64u // entries of level 1 that become exact together

// Those of `count` entries that are unknown, and not present in the guest's table, become exact none.
static void none_from(const struct shadow *s, u32 id, unsigned count)
{
    const u64 *guest = &s->tables[id >> 9].guest[id & (ENTRIES - 1)];
    u64 *entries = entry_at(s, id), *seen = &s->seen[id], unknown = s->unknown;
    for (unsigned i = 0; i < count; i++) {
        if (entries[i] != unknown || guest[i] & PTE_P)
            continue;
        entries[i] = 0;
        seen[i] = guest[i];
    }
}

// The guest's entry is not present: where its table is traced that is known from now on, and such faults need
// no exits any more. A page is about to come, or several with it: their entries need not be seen.
static void know_none(struct shadow *s, u32 id)
{
    struct shadow_table *t = &s->tables[id >> 9];
    if (!table_is_exact(s, t))
        return;
    unsigned count = t->level == 1 ? NONE_BLOCK : 1, first = id % ENTRIES / count * count;
    none_from(s, entry_id(id >> 9, first), count);
    t->occupied |= (t->level == 1 ? BIT(NONE_BLOCK / GROUP) - 1 : 1ul) << first / GROUP;
    if (t->level == 1)
        (void)sync_part(s, id);
}

// The bits of the guest's error code that describe the access are those that the processor gave, but whether
// it is a fetch the guest's says only with NXE or SMEP (SDM vol. 3, 4.7), ours perhaps without.
static inline enum quick quick_true(struct shadow_view *view, struct mmu_fault *f, u32 present)
{
    u32 fetch = walk_tells_fetches(&view->walk.regs) ? PFEC_I : 0;
    f->error_code = present | (f->error_code & (PFEC_W | PFEC_U | fetch));
    view->s->stats.true_faults++;
    return QUICK_TRUE;
}

static enum quick quick_absent(struct shadow_view *view, struct mmu_fault *f, u32 id)
{
    know_none(view->s, id);
    return quick_true(view, f, 0);
}

// Denied by rights. A write is mostly a user's to a page that the guest has read-only: it is about to take
// its entry away, flush the address, and make the entry of a copy, and none of that needs to be seen.
static enum quick quick_denied(struct shadow_view *view, struct mmu_fault *f, u32 id)
{
    if (f->access.kind == ACCESS_WRITE)
        sync_part(view->s, id);
    return quick_true(view, f, PFEC_P);
}

// A page of 4K whose tables are all in sync.
static enum quick quick_fill(struct shadow_view *view, struct mmu_fault *f, const struct spot *spot)
{
    struct shadow *s = view->s;
    u32 table = entry_child(s, spot->link);
    const struct shadow_table *t = &s->tables[table];
    unsigned slot = SLOT(f->gva, 1);
    if (!t->guest)
        return QUICK_NO;
    u64 entry = t->guest[slot], page = role_page(t->role, entry), any = spot->any | entry;
    u64 all = spot->all & page;
    bool write = f->access.kind == ACCESS_WRITE;
    u32 id = entry_id(table, slot);
    if (!(entry & PTE_P))
        return quick_absent(view, f, id);
    if (entry & view->reserved[1][true] || keys_matter(view, all, entry))
        return QUICK_NO;
    if (!rights_allow(view, f, all, any))
        return denies_for_sure(view, f) ? quick_denied(view, f, id) : QUICK_NO;
    u64 bits = write ? PTE_A | PTE_D : PTE_A, now = t->entries[slot];
    bool stands = entry_maps(s, now) && s->seen[id] == entry && !t->role;
    u64 value = stands ? now : fill_leaf(view, 1, page | bits);
    if (value == s->unknown || (write && !(value & PTE_W)) || !entry_mark(t, slot, entry, bits))
        return QUICK_NO;
    s->stats.hidden_faults++;
    if (value != now) { // else its table has come back with it
        entry_set(s, id, value);
        fill_neighbours(view, id);
    }
    return QUICK_FIXED;
}

// Which of the guest's tables lie below the entry that ended the processor's walk, by level, and whether they
// take accessed and dirty bits; the guest's entry of the page.
struct way {
    struct table_key key[WALK_LEVELS];
    bool marks[WALK_LEVELS];
    u64 rights[WALK_LEVELS]; // of the links to them
    u64 page;
};

// Whether they lead to a page, or to a table that stands, by entries that need nothing but to be followed.
static inline bool way_find(const struct shadow_view *view, u64 gva, unsigned level, u32 table,
                            struct way *way)
{
    const struct shadow *s = view->s;
    const u64 *guest = s->tables[table].guest;
    u8 role = s->tables[table].role;
    for (; guest && level > 1; level--) {
        u64 entry = guest[SLOT(gva, level)];
        bool links = (entry & (PTE_P | PTE_A)) == (PTE_P | PTE_A);
        if (!links || entry & view->reserved[level][false]) // a large page's PS is one of these
            return false;
        struct p2m_leaf leaf = p2m_lookup(s->p2m, gpa_gfn(entry & PTE_ADDRESS));
        way->rights[level - 1] = role_link_flags(role, entry);
        role = role_below(role, entry);
        way->key[level - 1] = (struct table_key){.frame = leaf.mfn.n, .level = (u8)(level - 1), .role = role};
        way->marks[level - 1] = leaf.type == P2M_RAM;
        guest = p2m_is_ram(leaf.type) ? mfn_ptr(leaf.mfn) : NULL;
    }
    if (!guest)
        return false;
    way->page = guest[SLOT(gva, 1)];
    return way->page & PTE_P || hash_find(s, way->key[1]) != SHADOW_NONE;
}

// Whether the page denies the access, while its table is none, or apart. It stays so then: the guest is about
// to make the entry of a copy.
static inline bool way_denies(const struct shadow_view *view, const struct mmu_fault *f,
                              const struct spot *spot, const struct way *way)
{
    const struct shadow *s = view->s;
    u64 all = spot->all & role_page(way->key[1].role, way->page), any = spot->any | way->page;
    for (unsigned level = spot->level - 1; level > 0; level--) {
        all &= way->rights[level] | ~RIGHTS;
        any |= way->rights[level];
    }
    if (!(way->page & PTE_P) || way->page & view->reserved[1][true] || keys_matter(view, all, way->page) ||
        rights_allow(view, f, all, any) || !denies_for_sure(view, f))
        return false;
    u32 table = hash_find(s, way->key[1]);
    return table == SHADOW_NONE || s->tables[table].apart;
}

// The table, made if there is none; if it is apart it comes back. The entry `id` becomes a link to it: its
// value.
static u64 way_link(struct shadow_view *view, u32 id, const struct way *way, unsigned level)
{
    struct shadow *s = view->s;
    if (unlikely(s->tables[id >> 9].torn))
        teardown_refuted(s, id);
    u32 child = hash_find(s, way->key[level]);
    bool linked = child != SHADOW_NONE && !s->tables[child].apart;
    if (child == SHADOW_NONE)
        child = table_make(s, way->key[level], way->marks[level], NULL);
    else if (!linked)
        sync_table(view, child);
    u64 link = entry_link(s, child, way->rights[level]);
    s->tables[child].again = true;
    if (linked)
        entry_make(s, id, link);
    else
        entry_fill_link(s, id, link);
    return link;
}

// Links the tables that are missing on the processor's way to a leaf of level 1, which the spot is then.
static void spot_link(struct shadow_view *view, u64 gva, const struct way *way, struct spot *spot)
{
    const struct shadow *s = view->s;
    u32 table = spot_table(view, spot);
    for (; spot->level > 1; spot->level--) {
        u32 id = entry_id(table, SLOT(gva, spot->level));
        spot->link = way_link(view, id, way, spot->level - 1);
        spot->all &= spot->link;
        spot->any |= spot->link;
        table = entry_child(s, spot->link);
    }
    spot->entry = entry_at(s, entry_id(table, SLOT(gva, 1)));
}

// Where tables are missing on the processor's way to a leaf of level 1. QUICK_NO: that is for the walk. Where
// the guest has no page none is made, so that it may write its entries unseen.
static __attribute__((noinline)) enum quick quick_link(struct shadow_view *view, struct mmu_fault *f,
                                                       struct spot *spot)
{
    const struct shadow *s = view->s;
    struct way way;
    bool spare = s->used + WALK_LEVELS <= s->config.pool; // else those above must be kept: fill.c
    if (*spot->entry != s->unknown || !spare ||
        !way_find(view, f->gva, spot->level, spot_table(view, spot), &way))
        return QUICK_NO;
    if (way_denies(view, f, spot, &way))
        return quick_true(view, f, PFEC_P);
    spot_link(view, f->gva, &way, spot);
    return quick_fill(view, f, spot);
}

// While no table that the processor walks is out of sync.
static inline enum quick quick_in_sync(struct shadow_view *view, struct mmu_fault *f)
{
    struct spot spot = view_spot(view, f->gva);
    return spot.level == 1 ? quick_fill(view, f, &spot) : quick_link(view, f, &spot);
}

// Judges by the shadow tables. Everything but a further write of a burst brings those that are out of sync
// back first: the burst is over.
static enum quick quick(struct shadow_view *view, struct mmu_fault *f)
{
    struct spot spot = view_spot(view, f->gva);
    enum quick done = QUICK_NO;
    if (spot.level == 1 && f->access.kind == ACCESS_WRITE)
        done = quick_traced(view, f, &spot);
    if (done != QUICK_NO)
        return done;
    sync_all(view);
    return quick_in_sync(view, f);
}

// As the error code says, which tells fetches from reads wherever that matters: shadow_hides_fetches.
static inline enum access kind_of(u32 error_code)
{
    return error_code & PFEC_W ? ACCESS_WRITE : error_code & PFEC_I ? ACCESS_FETCH : ACCESS_READ;
}

// By a user. With keys PKRU has a say, which only shadow_fault is told.
static __attribute__((noinline, flatten)) enum quick quick_user(struct shadow_view *view, struct mmu_fault *f)
{
    if (view->s->out_of_sync || view->walk.regs.cr4 & CR4_PKE)
        return QUICK_NO;
    view->walk.cpl = 3;
    f->access = (struct walk_access){.kind = kind_of(f->error_code)};
    return quick_in_sync(view, f);
}

bool fault_watched(struct shadow_view *view, struct mmu_fault *f, enum mmu_outcome *outcome)
{
    if (!view->s->config.strategy.trace)
        return false;
    if ((f->error_code & (PFEC_P | PFEC_W | PFEC_U | PFEC_RSVD | PFEC_PK)) == (PFEC_P | PFEC_W))
        return by_supervisor(view, f, outcome);
    if (!(f->error_code & PFEC_U))
        return false;
    enum quick done = quick_user(view, f);
    *outcome = outcomes[done];
    return done != QUICK_NO;
}

// By whom it may be: as in quick_denied.
static void copy_follows(struct shadow_view *view, u64 gva)
{
    struct spot spot = view_spot(view, gva);
    if (spot.level == 1)
        sync_part(view->s, entry_id(entry_child(view->s, spot.link), SLOT(gva, 1)));
}

static void absent_follows(struct shadow_view *view, u64 gva, unsigned level)
{
    struct spot spot = view_spot(view, gva);
    if (spot.level == level)
        know_none(view->s, entry_id(spot_table(view, &spot), SLOT(gva, level)));
}

static void true_fault(struct shadow_view *view, struct mmu_fault *f, const struct walk *walk)
{
    f->error_code = walk->error_code;
    view->s->stats.true_faults++;
    if (!view->s->config.strategy.trace)
        trace_path(view, f->gva); // a #PF drops what is cached for its address (SDM vol. 3, 4.10.4.1)
    if (!(walk->error_code & PFEC_P))
        absent_follows(view, f->gva, walk->fault_level);
    else if (f->access.kind == ACCESS_WRITE)
        copy_follows(view, f->gva);
}

// A write that only CR0.WP = 0 allows, whereas the processor has CR0.WP set, to a user page that cannot be
// the supervisor's meanwhile.
static bool needs_wp_clear(const struct shadow_view *view, const struct walk *walk)
{
    if (!walk->user || view->walk.regs.cr0 & CR0_WP)
        return false;
    return walk->writable ? keys_matter(view, PTE_U, walk->entry[walk->level])
                          : !fill_can_turn(&view->walk.regs);
}

static enum mmu_outcome judge_by_walk(struct shadow_view *view, struct mmu_fault *f)
{
    struct shadow *s = view->s;
    struct walk walk;
    if (walk_guest(&view->walk, f->gva, f->access, true, &walk)) {
        true_fault(view, f, &walk);
        return MMU_GUEST_FAULT;
    }
    if (walk.mode == PAGING_NONE)
        walk.level = WALK_LEVELS; // all tables are pieces of one page, whose entry is 0
    struct p2m_leaf leaf = p2m_lookup(s->p2m, gpa_gfn(walk.gpa));
    bool write = f->access.kind == ACCESS_WRITE, ram = leaf.type == P2M_RAM;
    bool maps = ram || leaf.type == P2M_DIRECT || (leaf.type == P2M_RAM_RO && !write);
    if (!maps || (write && needs_wp_clear(view, &walk))) {
        s->stats.emulated++;
        return MMU_DEVICE;
    }
    f->hpa = mfn_hpa(leaf.mfn) | (walk.gpa & (PAGE_SIZE - 1));
    fill_page(view, f, &walk);
    bool traced = write && ram && frame_traced(s, leaf.mfn.n) && !sync_frees_frame(view, f->hpa);
    return traced ? MMU_TRACED : MMU_FIXED;
}

// An implicit supervisor access at CPL 0 to 2, which RFLAGS.AC does not excuse, has the error code of an
// explicit one. It is one if the tables allow the explicit one and the processor denies it by rights all the
// same, while its TLB holds nothing else for gva.
static bool is_implicit(const struct shadow_view *view, const struct mmu_fault *f)
{
    if (!by_rights(f->error_code) || f->error_code & (PFEC_U | PFEC_PK))
        return false;
    struct spot spot = view_spot(view, f->gva);
    u64 leaf = *spot.entry;
    return entry_maps(view->s, leaf) && rights_allow(view, f, spot.all & leaf, spot.any | leaf);
}

static void access_find(const struct shadow_view *view, struct mmu_fault *f)
{
    u32 error_code = f->error_code;
    f->access.kind = kind_of(error_code);
    f->access.implicit = view->walk.cpl == 3 && !(error_code & PFEC_U);
    bool fresh = view->fresh_gva == f->gva && view->fresh_at == view->s->changes;
    if (fresh && is_implicit(view, f))
        f->access.implicit = true;
}

enum mmu_outcome fault_judge(struct shadow_view *view, struct mmu_fault *f)
{
    access_find(view, f);
    f->watched = SHADOW_NONE;
    enum quick done = view->s->config.strategy.trace ? quick(view, f) : QUICK_NO;
    enum mmu_outcome outcome = done == QUICK_NO ? judge_by_walk(view, f) : outcomes[done];
    view->fresh_gva = f->gva; // a #PF drops what the TLB holds for its address (SDM vol. 3, 4.10.4.1)
    view->fresh_at = view->s->changes;
    return outcome;
}
