// Forgetting what the tables hold: all, or what a change of the p2m or of control registers makes wrong. See
// forget.h.
#include "forget.h"
#include "entries.h"
#include "frames.h"
#include "tables.h"
#include "view.h"

#define FEW 512u // frames that are worth forgetting one by one

void forget_all(struct shadow *s)
{
    while (s->newest != SHADOW_NONE)
        table_drop(s, s->newest);
}

// All that maps or stands for the frame.
static void forget_frame(struct shadow *s, u64 frame)
{
    for (unsigned index = 0; index < WALK_LEVELS * ROLES; index++) {
        u32 table = frame_find(s, frame, index);
        if (table != SHADOW_NONE)
            table_drop(s, table);
    }
    entry_clear_chain(s, &frame_at(s, frame)->leaves);
    entry_clear_chain(s, &region_at(s, frame)->leaves);
}

// Nothing maps a hole or a device, but a root may lie there.
static bool root_in_ram(const struct shadow *s)
{
    bool ram = true;
    for (const struct shadow_view *view = s->views; view; view = view->next)
        ram &= view->root != SHADOW_NONE && s->tables[view->root].frame != NO_ROOT;
    return ram;
}

static bool change_is_simple(const struct shadow *s, gfn_t first, u64 count)
{
    bool simple = count <= FEW && root_in_ram(s);
    for (u64 i = 0; simple && i < count; i++)
        simple = p2m_lookup(s->p2m, gfn(first.n + i)).type != P2M_DIRECT;
    return simple;
}

void forget_range(struct shadow *s, gfn_t first, u64 count)
{
    bool simple = change_is_simple(s, first, count);
    if (!simple)
        forget_all(s);
    for (u64 i = 0; simple && i < count; i++) {
        struct p2m_leaf leaf = p2m_lookup(s->p2m, gfn(first.n + i));
        if (p2m_is_ram(leaf.type))
            forget_frame(s, leaf.mfn.n);
    }
    entry_flush(s);
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

void forget_paging(struct shadow *s, const struct paging_regs *before, const struct paging_regs *after)
{
    u64 cr4 = before->cr4 ^ after->cr4;
    bool nxe = (before->efer ^ after->efer) & EFER_NXE;
    if (nxe)
        forget_all(s); // entries are wrong, not only stale
    else if (cr4 & (CR4_SMEP | CR4_SMAP | CR4_PKE))
        forget_wp_clear(s);
    if (nxe || cr4 & CR4_PGE || cr4 & before->cr4 & CR4_PCIDE || cr4 & after->cr4 & CR4_SMEP)
        entry_flush(s);
}
