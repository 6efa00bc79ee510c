// Entries as the guest's tables and the p2m say: leaves, and the path of links that leads to them. See
// fill.h; who asks for them is in fault.c.
#include "fill.h"
#include "entries.h"
#include "filling.h"
#include "frames.h"
#include "tables.h"
#include "teardown.h"

#define SPLINTER_GROWTH 2 // times what a splinter has are filled at the next fault there

static inline u64 leaf_to(const struct shadow *s, u64 guest_entry, u64 flags, gfn_t g)
{
    struct p2m_leaf leaf = p2m_lookup(s->p2m, g);
    if (p2m_is_ram(leaf.type))
        return ram_leaf(frame_at(s, leaf.mfn.n), guest_entry, flags, &leaf);
    if (leaf.type != P2M_DIRECT)
        return s->unknown;
    // Device memory: uncached whatever the guest says, writable if the guest's entry is.
    u64 value = mfn_hpa(leaf.mfn) | (flags & ~PTE_PAT) | PTE_PWT | PTE_PCD | ACCESSED | PTE_D | PTE_DIRECT;
    return guest_entry & PTE_D ? value | (guest_entry & PTE_W) : value;
}

// The same for 512 frames, that are one piece of RAM in which no table lies.
static u64 large_leaf_to(const struct shadow *s, u64 guest_entry, u64 flags, gfn_t first)
{
    struct p2m_leaf leaf = p2m_lookup(s->p2m, first);
    if (!s->config.large || !p2m_is_ram(leaf.type) || leaf.level < P2M_LEVEL_2M ||
        region_at(s, leaf.mfn.n)->traced)
        return s->unknown;
    return ram_leaf(frame_at(s, leaf.mfn.n), guest_entry, flags | PTE_PS, &leaf);
}

u64 fill_leaf(const struct shadow_view *view, unsigned level, u64 guest_entry)
{
    const struct shadow *s = view->s;
    if ((guest_entry & ACCESSED) != ACCESSED || guest_entry & view->reserved[level][true])
        return s->unknown;
    gfn_t g = gpa_gfn(guest_entry & PTE_ADDRESS);
    u64 flags = guest_entry & FLAGS;
    if (level == 1)
        return leaf_to(s, guest_entry, flags | (guest_entry & PTE_PAT), g);
    return large_leaf_to(s, guest_entry, flags | (guest_entry & PTE_PAT_2M), gfn(align_down(g.n, ENTRIES)));
}

u64 fill_written_page(const struct shadow_view *view, u8 role, u64 guest_entry)
{
    u64 page = role_page(role, guest_entry);
    if (!role || page & PTE_W)
        return page;
    bool user = page & PTE_U && !(role & ROLE_SUPERVISOR);
    return (page & ~PTE_U) | PTE_W | (user && view->walk.regs.cr4 & CR4_SMEP ? PTE_NX : 0);
}

// The guest's entry for a fault. The walk has marked it accessed and dirty, but for tables in read-only
// memory, which keep their bits: so an entry is taken as marked.
static u64 entry_to_fill(const struct shadow_view *view, u8 role, u64 guest_entry, bool write)
{
    u64 marked = guest_entry | PTE_A | (write ? PTE_D : 0);
    return write ? fill_written_page(view, role, marked) : role_page(role, marked);
}

// What a splinter is made for: its first gfn, and what the entry of the large page says beyond the rights,
// which are in the entry that links to the splinter.
#define KIND_SHIFT P2M_GFN_BITS
#define KIND_KEYS  4 // bits 7:4 of the kind; below: PWT, PCD, PAT, G

static u64 splinter_frame(u64 large, u64 first)
{
    u64 kind = (large & (PTE_PWT | PTE_PCD)) >> 3 | (large & PTE_PAT_2M) >> 10 | (large & PTE_G) >> 5 |
               (large & PTE_KEY) >> PTE_KEY_SHIFT << KIND_KEYS;
    return first | kind << KIND_SHIFT;
}

// The rights of a splinter's entries: all, but for what roles take.
static u64 splinter_rights(const struct shadow_view *view, u8 role, bool write)
{
    return entry_to_fill(view, role, DIRTY | PTE_U, write);
}

static u64 splinter_flags(u64 large, u64 rights)
{
    return (rights & (PTE_U | PTE_NX)) | (large & (PTE_PWT | PTE_PCD | PTE_G | PTE_KEY));
}

static u64 splinter_large_value(const struct shadow *s, u64 large, u64 rights, gfn_t first)
{
    return large_leaf_to(s, rights, splinter_flags(large, rights) | (large & PTE_PAT_2M), first);
}

// The table that the guest's entry at `level` leads to: the guest's next table, or a piece of its large
// page.
static u32 child_for(struct shadow *s, const struct walk *walk, struct table_key key, const u32 *keep)
{
    unsigned level = key.level + 1;
    if (level > walk->level) {
        struct p2m_leaf leaf = p2m_lookup(s->p2m, gpa_gfn(walk->entry[level] & PTE_ADDRESS));
        key.frame = leaf.mfn.n;
        return table_get(s, key, leaf.type == P2M_RAM, keep);
    }
    u64 frames = 1ul << 9 * (level - 1);
    key.frame = splinter_frame(walk->entry[walk->level], align_down(gpa_gfn(walk->gpa).n, frames));
    key.splinter = true;
    return table_get(s, key, false, keep);
}

static u64 child_flags(u8 role, const struct walk *walk, unsigned level, bool write)
{
    if (level < walk->level)
        return PTE_W | PTE_U; // inside a large page: its rights are further up
    u64 entry = walk->entry[level];
    u64 flags = role_link_flags(role, entry);
    return level == walk->level && !write && !(entry & PTE_D) ? flags & ~PTE_W : flags;
}

// Tables that are not exact may hold entries that were never true at a new place, or under new rights: there
// they would not be stale but invented. So a fault begins by bringing all that are out of sync back, and
// without tracing a table starts empty.
static void link_anew(struct shadow *s, u32 id, u32 child, u64 flags)
{
    if (!s->config.strategy.trace && !s->tables[child].splinter)
        table_empty(s, child);
    entry_set(s, id, entry_link(s, child, flags));
}

static bool links_to(const struct shadow *s, u64 entry, u32 child, u64 flags)
{
    return entry_maps(s, entry) && !(entry & PTE_PS) && entry_child(s, entry) == child &&
           (entry & RIGHTS) == flags;
}

// Whether the link for the guest's entry is there: where tables are traced it is as the guest's entry says.
static bool link_stands(const struct shadow *s, u32 id, const struct walk *walk, unsigned level)
{
    u64 entry = *entry_at(s, id);
    return s->config.strategy.trace && level > walk->level && entry_maps(s, entry) && !(entry & PTE_PS);
}

static bool is_write(const struct mmu_fault *f)
{
    return f->access.kind == ACCESS_WRITE;
}

// Makes the entry a link to the table that the walk has come to there, which is made if there is none.
static void link_make(struct shadow_view *view, const struct mmu_fault *f, const struct walk *walk, u32 id,
                      const u32 *path)
{
    struct shadow *s = view->s;
    const struct shadow_table *t = &s->tables[id >> 9];
    unsigned level = t->level;
    u64 flags = child_flags(t->role, walk, level, is_write(f));
    struct table_key key = {.level = (u8)(level - 1), .role = t->role};
    if (level >= walk->level)
        key.role = role_below(key.role, walk->entry[level]);
    if (unlikely(t->torn))
        teardown_refuted(s, id);
    u32 child = child_for(s, walk, key, path);
    if (!links_to(s, *entry_at(s, id), child, flags))
        link_anew(s, id, child, flags);
}

// Walks down from the root to the table of level `to` for gva, making and linking what is missing. The entry
// of gva there.
static u32 path_make(struct shadow_view *view, const struct mmu_fault *f, const struct walk *walk,
                     unsigned to)
{
    struct shadow *s = view->s;
    u32 path[WALK_LEVELS + 1] = {view->root, SHADOW_NONE};
    unsigned depth = 0;
    for (unsigned level = view->top->level; level > to; level--) {
        u32 id = entry_id(path[depth], SLOT(f->gva, level));
        if (!link_stands(s, id, walk, level))
            link_make(view, f, walk, id, path);
        path[++depth] = entry_child(s, *entry_at(s, id));
        path[depth + 1] = SHADOW_NONE;
    }
    return entry_id(path[depth], SLOT(f->gva, to));
}

// False: no large leaf can be made.
static bool fill_large(struct shadow_view *view, const struct mmu_fault *f, const struct walk *walk)
{
    struct shadow *s = view->s;
    if (walk->level < 2 || !s->config.large)
        return false;
    u32 id = path_make(view, f, walk, 2);
    u8 role = s->tables[id >> 9].role;
    u64 value = walk->level == 2 ? fill_leaf(view, 2, entry_to_fill(view, role, walk->entry[2], is_write(f)))
                                 : splinter_large_value(s, walk->entry[walk->level],
                                                        splinter_rights(view, role, is_write(f)),
                                                        gfn(align_down(gpa_gfn(walk->gpa).n, ENTRIES)));
    if (value == s->unknown)
        return false;
    entry_make(s, id, value);
    s->stats.large_leaves++;
    return true;
}

// How many entries of a splinter a fault fills: what is used again and again has soon all of them, and a page
// that goes after a few accesses has not cost 512.
static unsigned splinter_count(const struct shadow *s, const struct shadow_table *t)
{
    unsigned count = SPLINTER_GROWTH * t->mapped;
    if (s->config.prefetch < 2)
        return 1;
    if (count < s->config.prefetch)
        count = s->config.prefetch;
    return count < ENTRIES ? count : ENTRIES;
}

// The entry of the fault, and those around it that are unknown.
static void fill_splinter(struct shadow_view *view, const struct mmu_fault *f, const struct walk *walk,
                          u32 id)
{
    struct shadow *s = view->s;
    struct shadow_table *t = &s->tables[id >> 9];
    u64 large = walk->entry[walk->level], rights = splinter_rights(view, t->role, is_write(f));
    u64 flags = splinter_flags(large, rights) | (large & PTE_PAT_2M ? PTE_PAT : 0);
    gfn_t frame = gfn(align_down(gpa_gfn(walk->gpa).n, ENTRIES));
    unsigned count = splinter_count(s, t), first = id % ENTRIES / count * count;
    entry_make(s, id, leaf_to(s, rights, flags, gfn(frame.n + id % ENTRIES)));
    for (unsigned slot = first; slot < first + count && slot < ENTRIES; slot++) {
        u64 value =
            t->entries[slot] == s->unknown ? leaf_to(s, rights, flags, gfn(frame.n + slot)) : s->unknown;
        if (value != s->unknown)
            entry_fill(s, entry_id(id >> 9, slot), value, 0);
    }
}

__attribute__((flatten)) void fill_neighbours(struct shadow_view *view, u32 id)
{
    struct shadow *s = view->s;
    struct shadow_table *t = &s->tables[id >> 9];
    const u64 *guest = t->guest, unknown = s->unknown;
    unsigned count = s->config.prefetch;
    if (count < 2)
        return;
    struct filling f = filling_begin(view, id >> 9);
    bool exact = table_is_exact(s, t);
    unsigned first = id % ENTRIES / count * count, end = first + count < ENTRIES ? first + count : ENTRIES;
    u64 groups = BIT((end - 1) / GROUP) * 2 - BIT(first / GROUP);
    for (unsigned slot = first; slot < end; slot++) {
        u64 guest_entry = guest[slot];
        if (f.entries[slot] != unknown)
            continue;
        if (guest_entry & PTE_P)
            (void)filling_add(&f, slot, guest_entry);
        else if (exact)
            filling_none(&f, slot, guest_entry);
    }
    t->occupied |= groups;
    filling_end(&f, groups);
    s->stats.prefetched += f.leaves;
}

void fill_page(struct shadow_view *view, const struct mmu_fault *f, const struct walk *walk)
{
    struct shadow *s = view->s;
    s->stats.hidden_faults++;
    if (fill_large(view, f, walk))
        return;
    u32 id = path_make(view, f, walk, 1);
    const struct shadow_table *t = &s->tables[id >> 9];
    if (t->splinter) {
        fill_splinter(view, f, walk, id);
        return;
    }
    entry_make(s, id, fill_leaf(view, 1, entry_to_fill(view, t->role, t->guest[id % ENTRIES], is_write(f))));
    fill_neighbours(view, id);
}
