// Which frames are traced: write-protected, since shadow tables stand for guest tables there. See frames.h.
#include "frames.h"
#include "entries.h"
#include "hash.h"

// Takes write access to the frame from every leaf, and from what a TLB holds of leaves that are gone: the
// guest may have changed its entry and not yet executed the INVLPG for it.
static void frame_protect(struct shadow *s, u64 frame)
{
    const struct shadow_frame *f = frame_at(s, frame);
    struct shadow_region *r = region_at(s, frame);
    if (f->loosened == s->flushes || r->loosened == s->flushes)
        entry_flush(s);
    for (u32 id = f->leaves; id != SHADOW_NONE; id = s->links[id].next) {
        u64 *entry = entry_at(s, id);
        if (!(*entry & PTE_W))
            continue;
        *entry &= ~PTE_W;
        entry_flush_leaf(s, id);
    }
    if (!r->traced++ && r->leaves != SHADOW_NONE) {
        entry_clear_chain(s, &r->leaves);
        entry_flush(s);
    }
}

// Adding rights needs no flush: a fault by what a TLB still holds finds the entry repaired.
static void frame_unprotect(struct shadow *s, u64 frame)
{
    region_at(s, frame)->traced--;
    s->changes++;
    for (u32 id = frame_at(s, frame)->leaves; id != SHADOW_NONE; id = s->links[id].next) {
        u64 *entry = entry_at(s, id);
        if (*entry & PTE_MAY_WRITE)
            *entry |= PTE_W;
    }
}

u32 frame_find(const struct shadow *s, u64 frame, unsigned index)
{
    return hash_find(s, (struct table_key){.frame = frame,
                                           .level = (u8)(index % WALK_LEVELS + 1),
                                           .role = (u8)(index / WALK_LEVELS)});
}

void frame_trace(struct shadow *s, u32 table)
{
    const struct shadow_table *t = &s->tables[table];
    if (!table_is_exact(s, t))
        return;
    struct shadow_frame *f = frame_at(s, t->frame);
    if (!f->traced)
        frame_protect(s, t->frame);
    f->traced |= 1u << traced_index(t->level, t->role);
    f->table = table;
}

void frame_untrace(struct shadow *s, u32 table)
{
    const struct shadow_table *t = &s->tables[table];
    if (!t->guest)
        return;
    struct shadow_frame *f = frame_at(s, t->frame);
    u32 traced = f->traced & ~(1u << traced_index(t->level, t->role));
    if (f->traced && !traced) {
        frame_unprotect(s, t->frame);
        f->loosened = 0;
    }
    f->traced = traced;
    if (traced_once(f))
        f->table = frame_find(s, t->frame, (unsigned)__builtin_ctz(traced));
}

u32 frame_table(const struct shadow *s, u64 frame, unsigned index)
{
    const struct shadow_frame *f = frame_at(s, frame);
    return traced_once(f) ? f->table : frame_find(s, frame, index);
}
