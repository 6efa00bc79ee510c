// Leaves of RAM, and entries of one table of level 1 that are filled together: what is the same for all of
// them is found once, and the table is told once what they come to.
#pragma once

#include "entries.h"

#define ACCESSED (PTE_P | PTE_A)
#define DIRTY    (PTE_W | PTE_D)
#define FLAGS    (PTE_U | PTE_NX | PTE_G | PTE_PWT | PTE_PCD | PTE_KEY) // that a leaf takes over

// Write access needs a dirty guest entry (so that the first write is seen and sets it), RAM, and no trace.
static inline u64 ram_leaf(const struct shadow_frame *frame, u64 guest_entry, u64 flags,
                           const struct p2m_leaf *leaf)
{
    u64 value = mfn_hpa(leaf->mfn) | flags | ACCESSED | PTE_D;
    if ((guest_entry & DIRTY) != DIRTY || leaf->type != P2M_RAM)
        return value;
    return value | PTE_MAY_WRITE | (frame->traced ? 0 : PTE_W);
}

struct filling {
    struct shadow *s;
    const struct p2m *p2m;
    u32 first; // the table's first entry
    u64 *entries, *seen;
    u64 takes;       // bits of the guest's entry that the role leaves
    u64 asks;        // ACCESSED, which it must have, and bits that it must not have
    unsigned leaves; // entries that have begun to map, and
    unsigned gone;   // that have ceased to
};

static inline __attribute__((always_inline)) struct filling filling_begin(const struct shadow_view *view,
                                                                          u32 table)
{
    struct shadow *s = view->s;
    const struct shadow_table *t = &s->tables[table];
    u32 first = entry_id(table, 0);
    return (struct filling){.s = s,
                            .p2m = s->p2m,
                            .first = first,
                            .entries = t->entries,
                            .seen = &s->seen[first],
                            .takes = role_page(t->role, ~0ul),
                            .asks = view->reserved[1][true] | ACCESSED};
}

// Makes an entry that maps nothing what fill_leaf gives for the guest's, if that is a leaf of RAM. False: it
// is none, and the entry is as it was.
static inline __attribute__((always_inline)) bool filling_add(struct filling *f, unsigned slot,
                                                              u64 guest_entry)
{
    u64 page = guest_entry & f->takes;
    if ((page & f->asks) != ACCESSED)
        return false;
    struct p2m_leaf leaf = p2m_lookup(f->p2m, gpa_gfn(page & PTE_ADDRESS));
    if (!p2m_is_ram(leaf.type))
        return false;
    struct shadow_frame *frame = frame_at(f->s, leaf.mfn.n);
    f->entries[slot] = ram_leaf(frame, page, page & (FLAGS | PTE_PAT), &leaf);
    f->seen[slot] = guest_entry;
    chain_add(f->s, &frame->leaves, f->first + slot);
    f->leaves++;
    return true;
}

// Takes out an entry that maps: it is unknown then.
static inline __attribute__((always_inline)) void filling_remove(struct filling *f, unsigned slot)
{
    leaf_remove(f->s, f->first + slot, 1, f->entries[slot]);
    f->entries[slot] = f->s->unknown;
    f->gone++;
}

// Makes an entry that maps nothing exact none. The caller says that its group is occupied.
static inline void filling_none(const struct filling *f, unsigned slot, u64 guest_entry)
{
    f->entries[slot] = 0;
    f->seen[slot] = guest_entry;
}

// `groups`: that have all entries which were added.
static inline void filling_end(const struct filling *f, u64 groups)
{
    struct shadow_table *t = &f->s->tables[f->first >> 9];
    if (f->leaves) {
        t->occupied |= groups;
        t->maps |= groups;
    }
    t->mapped += f->leaves - f->gone;
    f->s->changes += f->leaves + f->gone;
}
