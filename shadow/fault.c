// #PF exits: hidden or true, and what is done about them. Most are judged by the shadow tables themselves,
// which say what the guest's say as long as these are traced; the others by a walk of the guest's tables. See
// engine.h.
#include <arch/cpu.h>

#include "tables.h"

static bool by_user(const struct walk_context *w, struct walk_access access)
{
    return w->cpl == 3 && !access.implicit;
}

// Whether the processor met an entry that is present and not marked as unknown: it denied by rights.
static bool by_rights(u32 error_code)
{
    return (error_code & (PFEC_P | PFEC_RSVD)) == PFEC_P;
}

// Whether protection keys may have a say (4.6.2): then the walk decides. They have none without paging.
static bool keys_matter(const struct walk_context *w, u64 all, u64 leaf)
{
    return w->regs.cr4 & CR4_PKE && w->regs.cr0 & CR0_PG && all & PTE_U &&
           w->pkru >> (leaf >> PTE_KEY_SHIFT & 15) * 2 & 3;
}

// Whether a table on the processor's way to gva is out of sync.
static bool path_is_stale(const struct shadow *s, u64 gva)
{
    u32 table = s->root;
    for (unsigned level = s->tables[table].level; s->out_of_sync && level > 0; level--) {
        if (s->tables[table].out_of_sync)
            return true;
        u64 entry = s->tables[table].entries[SLOT(gva, level)];
        if (!entry_maps(s, entry) || entry_is_leaf(level, entry))
            return false;
        table = entry_child(s, entry);
    }
    return false;
}

// Whether the rights of all levels together allow the access (SDM vol. 3, 4.6.1). What only CR0.WP = 0 allows
// is left to the walk, unless entries say it by now.
static bool rights_allow(const struct walk_context *w, struct walk_access access, u64 all, u64 any)
{
    bool fetch = access.kind == ACCESS_FETCH, user_page = all & PTE_U;
    if ((access.kind == ACCESS_WRITE && !(all & PTE_W)) || (fetch && any & PTE_NX))
        return false;
    if (by_user(w, access))
        return user_page;
    if (!user_page)
        return true;
    if (fetch)
        return !(w->regs.cr4 & CR4_SMEP);
    return !(w->regs.cr4 & CR4_SMAP) || (w->rflags & RFLAGS_AC && !access.implicit);
}

enum quick { QUICK_NO, QUICK_FIXED, QUICK_TRACED, QUICK_TRUE };

// A write to a page that would be writable but for tracing.
static enum quick quick_traced(struct shadow *s, const struct walk_context *w, u64 gva,
                               const struct spot *spot, struct walk_access access, u64 *hpa)
{
    u64 leaf = *spot->entry, all = spot->all & (leaf | PTE_W), any = spot->any | leaf;
    bool would = entry_maps(s, leaf) && (leaf & (PTE_MAY_WRITE | PTE_W)) == PTE_MAY_WRITE;
    if (!would || path_is_stale(s, gva) || keys_matter(w, all, leaf) || !rights_allow(w, access, all, any))
        return QUICK_NO;
    *hpa = (leaf & PTE_ADDRESS) | (gva & (PAGE_SIZE - 1));
    return write_frees_frame(s, *hpa) ? QUICK_FIXED : QUICK_TRACED;
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

// A page of 4K whose tables are all in sync.
static enum quick quick_fill(struct shadow *s, const struct walk_context *w, u64 gva, const struct spot *spot,
                             struct walk_access access)
{
    u32 table = entry_child(s, spot->link);
    const struct shadow_table *t = &s->tables[table];
    unsigned slot = SLOT(gva, 1);
    if (!t->guest)
        return QUICK_NO;
    u64 entry = t->guest[slot], page = entry_in_role(t->role, entry), any = spot->any | entry;
    u64 all = spot->all & page;
    bool write = access.kind == ACCESS_WRITE;
    if (!(entry & PTE_P) || entry & s->leaf_reserved || keys_matter(w, all, entry))
        return QUICK_NO;
    if (!rights_allow(w, access, all, any))
        return by_user(w, access) ? QUICK_TRUE : QUICK_NO;
    u64 bits = write ? PTE_A | PTE_D : PTE_A;
    u64 value = leaf_value(s, w, 1, page | bits);
    if (value == s->unknown || (write && !(value & PTE_W)) || !entry_mark(t, slot, entry, bits))
        return QUICK_NO;
    u32 id = entry_id(table, slot);
    entry_make(s, id, value);
    fill_neighbours(s, w, id);
    s->stats.hidden_faults++;
    return QUICK_FIXED;
}

// Judges by the shadow tables. Everything but a further write of a burst brings those that are out of sync
// back first: the burst is over.
static enum quick quick(struct shadow *s, const struct walk_context *w, u64 gva, struct walk_access access,
                        u64 *hpa)
{
    struct spot spot = spot_of(s, gva);
    enum quick done = QUICK_NO;
    if (spot.level == 1 && access.kind == ACCESS_WRITE)
        done = quick_traced(s, w, gva, &spot, access, hpa);
    if (done != QUICK_NO)
        return done;
    if (s->out_of_sync) {
        synchronise_all(s, w);
        spot = spot_of(s, gva);
    }
    return spot.level == 1 ? quick_fill(s, w, gva, &spot, access) : QUICK_NO;
}

#define NONE_BLOCK 64u // entries of level 1 that become exact together

// The guest's entry for gva at `level` is not present: where its table is traced that is known from now on,
// and such faults need no exits any more.
static void know_none(struct shadow *s, u64 gva, unsigned level)
{
    struct spot spot = spot_of(s, gva);
    u32 table = spot.level == s->tables[s->root].level ? s->root : entry_child(s, spot.link);
    struct shadow_table *t = &s->tables[table];
    if (spot.level != level || !table_is_exact(s, t))
        return;
    unsigned count = level == 1 ? NONE_BLOCK : 1, first = SLOT(gva, level) / count * count;
    for (unsigned slot = first; slot < first + count; slot++) {
        if (t->entries[slot] != s->unknown || t->guest[slot] & PTE_P)
            continue;
        t->entries[slot] = 0;
        s->seen[entry_id(table, slot)] = t->guest[slot];
    }
    t->occupied |= (level == 1 ? BIT(NONE_BLOCK / GROUP) - 1 : 1ul) << first / GROUP;
}

static void true_fault(struct shadow *s, const struct walk_context *w, u64 gva, const struct walk *walk)
{
    s->stats.true_faults++;
    if (!s->config.strategy.trace)
        path_refresh(s, w, gva); // a #PF drops what is cached for its address (SDM vol. 3, 4.10.4.1)
    if (!(walk->error_code & PFEC_P))
        know_none(s, gva, walk->fault_level);
}

// A write that only CR0.WP = 0 allows, whereas the processor has CR0.WP set, to a user page that cannot be
// the supervisor's meanwhile.
static bool needs_wp_clear(const struct walk_context *w, const struct walk *walk)
{
    if (!walk->user || w->regs.cr0 & CR0_WP)
        return false;
    return walk->writable ? keys_matter(w, PTE_U, walk->entry[walk->level]) : !user_page_can_turn(&w->regs);
}

static enum shadow_outcome judge(struct shadow *s, const struct walk_context *w, u64 gva,
                                 struct walk_access access, u32 *error_code, u64 *hpa)
{
    struct walk walk;
    if (walk_guest(w, gva, access, true, &walk)) {
        *error_code = walk.error_code;
        true_fault(s, w, gva, &walk);
        return SHADOW_GUEST_FAULT;
    }
    if (walk.mode == PAGING_NONE)
        walk.level = WALK_LEVELS; // all tables are pieces of one page, whose entry is 0
    struct p2m_leaf leaf = p2m_lookup(s->p2m, gpa_gfn(walk.gpa));
    bool write = access.kind == ACCESS_WRITE, ram = leaf.type == P2M_RAM;
    bool maps = ram || leaf.type == P2M_DIRECT || (leaf.type == P2M_RAM_RO && !write);
    if (!maps || (write && needs_wp_clear(w, &walk))) {
        s->stats.emulated++;
        return SHADOW_EMULATE;
    }
    *hpa = mfn_hpa(leaf.mfn) | (walk.gpa & (PAGE_SIZE - 1));
    fill(s, w, gva, &walk, write);
    bool traced = write && ram && frame_traced(s, leaf.mfn.n) && !write_frees_frame(s, *hpa);
    return traced ? SHADOW_TRACED_WRITE : SHADOW_FIXED;
}

// By a user, denied by rights. What else is in the code that the processor gave describes the access; but
// whether it is a fetch the guest's processor says only with NXE or SMEP (SDM vol. 3, 4.7), ours perhaps
// without.
static u32 true_error_code(const struct walk_context *w, u32 error_code)
{
    u32 fetch = walk_tells_fetches(&w->regs) ? PFEC_I : 0;
    return PFEC_P | (error_code & (PFEC_W | PFEC_U | fetch));
}

static enum shadow_outcome judge_by_tables(struct shadow *s, const struct walk_context *w, u64 gva,
                                           struct walk_access access, u32 *error_code, u64 *hpa)
{
    static const enum shadow_outcome outcomes[] = {[QUICK_FIXED] = SHADOW_FIXED,
                                                   [QUICK_TRACED] = SHADOW_TRACED_WRITE,
                                                   [QUICK_TRUE] = SHADOW_GUEST_FAULT};
    enum quick done = s->config.strategy.trace ? quick(s, w, gva, access, hpa) : QUICK_NO;
    if (done == QUICK_NO)
        return judge(s, w, gva, access, error_code, hpa);
    if (done == QUICK_TRUE) {
        *error_code = true_error_code(w, *error_code);
        s->stats.true_faults++;
    }
    return outcomes[done];
}

// An implicit supervisor access at CPL 0 to 2, which RFLAGS.AC does not excuse, has the error code of an
// explicit one. It is one if the tables allow the explicit one and the processor denies it by rights all the
// same, while its TLB holds nothing else for gva.
static bool is_implicit(const struct shadow *s, const struct walk_context *w, u64 gva, u32 error_code,
                        struct walk_access explicit)
{
    if (!by_rights(error_code) || error_code & (PFEC_U | PFEC_PK))
        return false;
    struct spot spot = spot_of(s, gva);
    u64 leaf = *spot.entry;
    return entry_maps(s, leaf) && rights_allow(w, explicit, spot.all & leaf, spot.any | leaf);
}

// As the error code says, which tells fetches from reads wherever that matters: shadow_hides_fetches.
static struct walk_access access_of(const struct shadow *s, const struct walk_context *w, u64 gva,
                                    u32 error_code)
{
    enum access kind = error_code & PFEC_W ? ACCESS_WRITE : error_code & PFEC_I ? ACCESS_FETCH : ACCESS_READ;
    struct walk_access access = {kind, w->cpl == 3 && !(error_code & PFEC_U)};
    if (s->fresh_gva == gva && is_implicit(s, w, gva, error_code, access))
        access.implicit = true;
    return access;
}

enum shadow_outcome shadow_fault(struct shadow *s, const struct walk_context *w, u64 gva, u32 *error_code,
                                 u64 *hpa)
{
    struct walk_access access = access_of(s, w, gva, *error_code);
    enum shadow_outcome outcome = judge_by_tables(s, w, gva, access, error_code, hpa);
    settle(s);
    s->fresh_gva = gva; // a #PF drops what the TLB holds for its address (SDM vol. 3, 4.10.4.1)
    return outcome;
}
