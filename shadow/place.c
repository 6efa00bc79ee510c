// Roots in place: a shadow root that lies at the machine address that equals the guest's root. Then the value
// that the guest loads into CR3 is the root that the processor must walk, and the load need not exit: VT-x
// does not exit for up to four values, the CR3 targets (SDM vol. 3, 25.6.7). The frame at that address is
// claimed: it is free, or holds a page of the guest's, which moves. What else lies there (the monitor, its
// tables, no RAM) stays, and that root's loads exit. Claimed frames are kept for later roots at the same
// address, since kernels use the same pages for them again.
// It does not build roots (fill.c), nor write the VMCS (shadow.c and hv/exits/paging.c do).
//
// What must hold for a switch that nobody sees:
// - Only while the root in use is itself in place are there targets: all run under one VPID, which the
//   processor's MOV to CR3 flushes but for global pages, as bare hardware would. So under that VPID there is
//   nothing but what belongs to the root in use, and pages that the guest itself calls global. While the
//   guest has PCIDs the processor tags by them, and flushes what it would flush bare.
// - Only while no table is out of sync: a MOV to CR3 synchronises.
// - At the next exit, before all else, shadow_root_switched makes the root in use the one that CR3 says.
// - A root that is dropped is no target any more before the guest runs again.
#include <arch/lib.h>
#include <arch/panic.h>
#include <arch/phys.h>
#include <hv/p2m_change.h>

#include "place.h"
#include "entries.h"
#include "view.h"

#define NO_PLACE 0xff

static u64 *own_page(const struct shadow *s, u32 table)
{
    return mfn_ptr(mfn(s->pool.n + table));
}

void place_init(struct shadow *s)
{
    for (unsigned i = 0; i < SHADOW_PLACES; i++)
        s->places[i].table = SHADOW_NONE;
}

void place_view_init(struct shadow_view *view)
{
    memset(view->target, NO_PLACE, sizeof(view->target));
    view->placed = SHADOW_NONE;
}

// A root's entries go to another page, which is all unknown, as the one that they leave is then.
static void entries_move(const struct shadow *s, struct shadow_table *t, u64 *to)
{
    for (u64 groups = t->occupied; groups; groups &= groups - 1) {
        unsigned first = group_first(groups);
#pragma GCC unroll 8
        for (unsigned slot = first; slot < first + GROUP; slot++) {
            to[slot] = t->entries[slot];
            t->entries[slot] = s->unknown;
        }
    }
    t->entries = to;
}

static void target_end(struct shadow_view *view, unsigned i)
{
    view->target[i] = NO_PLACE;
    view_change_target(view);
}

static void target_remove(struct shadow_view *view, unsigned place)
{
    for (unsigned i = 0; i < SHADOW_TARGETS; i++) {
        if (view->target[i] == place)
            target_end(view, i);
    }
}

void place_leave(struct shadow *s, u32 table)
{
    struct shadow_table *t = &s->tables[table];
    struct shadow_place *p = place_of(s, t);
    if (!p)
        return;
    for (struct shadow_view *view = s->views; view; view = view->next)
        target_remove(view, (unsigned)(p - s->places));
    entries_move(s, t, own_page(s, table));
    t->place = 0;
    p->table = SHADOW_NONE;
}

static bool frame_is_free(const struct shadow *s, u64 frame)
{
    return frames_owned(s->p2m->frames, mfn(frame), 1, FRAME_FREE);
}

// Moves what lies at the frame, if it is a page of the guest's. The p2m tells everybody.
static bool frame_clear(struct shadow *s, u64 frame)
{
    gfn_t g;
    if (frame_is_free(s, frame))
        return true;
    if (!frames_owned(s->p2m->frames, mfn(frame), 1, FRAME_GUEST) || p2m_find(s->p2m, mfn(frame), &g) ||
        p2m_move(s->p2m, g))
        return false;
    s->stats.places_moved++;
    return frame_is_free(s, frame);
}

// One that is not in use, or the one whose root was loaded the longest ago.
static struct shadow_place *place_oldest(struct shadow *s)
{
    struct shadow_place *oldest = NULL;
    for (unsigned i = 0; i < SHADOW_PLACES; i++) {
        struct shadow_place *p = &s->places[i];
        bool in_use = p->table != SHADOW_NONE && s->tables[p->table].roots;
        if (!in_use && (!oldest || p->used < oldest->used))
            oldest = p;
    }
    return oldest;
}

static void place_free(struct shadow *s, struct shadow_place *p)
{
    if (p->table != SHADOW_NONE)
        place_leave(s, p->table);
    if (p->frame)
        frames_free(s->p2m->frames, mfn(p->frame), ORDER_4K);
    *p = (struct shadow_place){.table = SHADOW_NONE};
}

void place_free_all(struct shadow *s)
{
    for (unsigned i = 0; i < SHADOW_PLACES; i++)
        place_free(s, &s->places[i]);
}

static struct shadow_place *place_find(struct shadow *s, u64 frame)
{
    u8 *hint = &s->place_hints[frame % SHADOW_HINTS];
    for (unsigned i = 0; i < SHADOW_PLACES && s->places[*hint].frame != frame; i++)
        *hint = (u8)i;
    return s->places[*hint].frame == frame ? &s->places[*hint] : NULL;
}

// A guest's first roots may be anywhere: only what goes on is worth a word.
static void place_refuse(struct shadow *s, u64 frame)
{
    if (++s->stats.places_refused != SHADOW_REFUSALS)
        return;
    s->refused = frame;
    view_change_controls(s);
}

struct shadow_place *place_claim(struct shadow *s, u64 cr3)
{
    u64 frame = (cr3 & PTE_ADDRESS) >> PAGE_SHIFT;
    struct shadow_place *p = frame ? place_find(s, frame) : NULL;
    if (!frame || p)
        return p;
    if (!frame_clear(s, frame)) {
        place_refuse(s, frame);
        return NULL;
    }
    p = place_oldest(s);
    place_free(s, p);
    assert_that(frames_alloc_at(s->p2m->frames, mfn(frame), ORDER_4K, FRAME_MONITOR) == 0);
    p->frame = frame;
    entries_begin(s, mfn_ptr(mfn(frame)));
    s->stats.places_claimed++;
    return p;
}

// The target to give up for another.
static unsigned target_oldest(const struct shadow_view *view)
{
    const struct shadow_place *places = view->s->places;
    unsigned oldest = 0;
    for (unsigned i = 0; i < view->s->config.targets; i++) {
        if (view->target[i] == NO_PLACE)
            return i;
        if (places[view->target[i]].used < places[view->target[oldest]].used)
            oldest = i;
    }
    return oldest;
}

static void target_add(struct shadow_view *view, unsigned place)
{
    for (unsigned i = 0; i < view->s->config.targets; i++) {
        if (view->target[i] == place)
            return;
    }
    view->target[target_oldest(view)] = (u8)place;
    view_change_target(view);
}

void place_alone(struct shadow_view *view)
{
    const struct shadow_place *places = view->s->places;
    for (unsigned i = 0; i < view->s->config.targets; i++) {
        unsigned other = view->target[i];
        if (other != NO_PLACE && places[other].table != view->root &&
            !((places[other].cr3 ^ view->walk.regs.cr3) & CR3_PCID))
            target_end(view, i);
    }
}

void place_yield(struct shadow_view *view)
{
    if (view->placed != SHADOW_NONE)
        view->s->tables[view->placed].vpid = 0;
}

static void place_use(struct shadow_view *view, struct shadow_place *p)
{
    p->used = ++view->s->place_clock;
    if (view->placed != p->table)
        place_yield(view);
    view->placed = p->table;
}

static void place_enter(struct shadow_view *view, struct shadow_place *p)
{
    struct shadow *s = view->s;
    struct shadow_table *t = &s->tables[view->root];
    if (p->table != SHADOW_NONE)
        place_leave(s, p->table);
    place_leave(s, view->root);
    entries_move(s, t, mfn_ptr(mfn(p->frame)));
    t->place = (u8)(p - s->places + 1);
    p->table = view->root;
    s->stats.roots_placed++;
}

void place_root(struct shadow_view *view, struct shadow_place *p, u64 cr3)
{
    if (p->table != view->root)
        place_enter(view, p);
    if (p->cr3 != cr3)
        view_change_target(view);
    p->cr3 = cr3;
    place_use(view, p);
    target_add(view, (unsigned)(p - view->s->places));
}

unsigned shadow_targets(const struct shadow_view *view, u64 cr3[SHADOW_TARGETS])
{
    unsigned count = 0, most = shadow_targets_hold(view) ? view->s->config.targets : 0;
    for (unsigned i = 0; i < most; i++) {
        if (view->target[i] != NO_PLACE)
            cr3[count++] = view->s->places[view->target[i]].cr3;
    }
    return count;
}

void shadow_root_switched(struct shadow_view *view, u64 cr3)
{
    struct shadow *s = view->s;
    for (unsigned i = 0; i < s->config.targets; i++) {
        struct shadow_place *p = view->target[i] == NO_PLACE ? NULL : &s->places[view->target[i]];
        if (!p || (p->cr3 ^ cr3) & ~CR3_NO_FLUSH)
            continue;
        u16 vpid = view->top->vpid; // all in place share it
        place_use(view, p);
        view_switch_root(view, p->table);
        view->fresh_gva = ~0ul; // another PCID's
        s->tables[p->table].vpid = vpid;
        s->tables[p->table].epoch = s->epoch; // the processor's MOV to CR3 has flushed
        s->stats.roots_unseen++;
        return;
    }
    panic("the guest's CR3 is 0x%lx, which is no target", cr3);
}
