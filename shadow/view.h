// Which tables the processors use as their roots.
#pragma once

#include "format.h"

// The view's root is `table` from now on, or none: SHADOW_NONE.
void view_set_root(struct shadow_view *view, u32 table);

// The same from one root of a guest with paging to another.
static inline void view_switch_root(struct shadow_view *view, u32 table)
{
    struct shadow_table *from = view->top, *to = table == SHADOW_NONE ? NULL : &view->s->tables[table];
    if (from)
        from->roots--;
    if (to)
        to->roots++;
    view->s->way_changes++;
    view->root = table;
    view->top = to;
}

// The value of CR3 that the guest is likely to load the root in use by: a kernel with PCIDs flushes seldom.
static inline u64 view_target(const struct shadow_view *view)
{
    return view->walk.regs.cr3 | view->no_flush;
}

// A table that is dropped is nobody's root any more.
void view_drop_root(struct shadow *s, u32 table);

// A target is another, or is none any more.
static inline void view_change_target(struct shadow_view *view)
{
    view->target_changes++;
    view->control_changes++;
}

// Tables have begun or ceased to be out of sync: what exits changes for every processor.
void view_change_controls(struct shadow *s);

// Where the processor's walk for gva ends in the tables.
struct spot {
    u64 *entry;     // the last that it reads: it maps a page, or does not map
    unsigned level; // of that entry
    u64 all, any;   // of the entries above: the bits that all, and that any, of them have
    u64 link;       // the entry above
};

// For roots of one level, so that the compiler makes straight code of it.
static inline __attribute__((always_inline)) struct spot spot_under(const struct shadow *s, u64 gva,
                                                                    u64 *table, unsigned top)
{
    struct spot spot = {.all = ~0ul};
    u64 kinds = PTE_P | PTE_PS | s->mark;
#pragma GCC unroll 3
    for (unsigned level = top; level > 1; level--) {
        spot.entry = table + SLOT(gva, level);
        spot.level = level;
        u64 entry = *spot.entry;
        if ((entry & kinds) != PTE_P)
            return spot;
        spot.link = entry;
        spot.all &= entry;
        spot.any |= entry;
        table = phys_ptr(entry & PTE_ADDRESS);
    }
    spot.entry = table + SLOT(gva, 1);
    spot.level = 1;
    return spot;
}

static inline struct spot view_spot(const struct shadow_view *view, u64 gva)
{
    const struct shadow_table *top = view->top;
    if (likely(top->level == WALK_LEVELS))
        return spot_under(view->s, gva, top->entries, WALK_LEVELS);
    return spot_under(view->s, gva, top->entries, WALK_LEVELS - 1);
}

// While the root is the same, nothing above level 1 has gone, and the page's entry is what it was, the page
// is mapped as it was.
static inline bool way_holds(const struct shadow_view *view, const struct shadow_way *way, u64 gva)
{
    return way->page == gva >> PAGE_SHIFT && way->changes == view->s->way_changes && *way->entry == way->was;
}

static inline void way_keep(const struct shadow_view *view, struct shadow_way *way, u64 gva, const u64 *entry,
                            u64 hpa)
{
    *way = (struct shadow_way){.page = gva >> PAGE_SHIFT,
                               .changes = view->s->way_changes,
                               .entry = entry,
                               .was = *entry,
                               .hpa = align_down(hpa, PAGE_SIZE)};
}
