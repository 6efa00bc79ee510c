// The engine's inner parts: the pool of shadow tables, how entries refer to each other, and the entry format.
// Private to shadow/: engine.h is the contract for everybody else.
#pragma once

#include "engine.h"

// Entry bits (SDM vol. 3, tables 4-15 to 4-20).
#define PTE_P        BIT(0)
#define PTE_W        BIT(1)
#define PTE_U        BIT(2)
#define PTE_PWT      BIT(3)
#define PTE_PCD      BIT(4)
#define PTE_A        BIT(5)
#define PTE_D        BIT(6)
#define PTE_PS       BIT(7)
#define PTE_PAT      BIT(7) // in a 4K leaf
#define PTE_G        BIT(8)
#define PTE_PAT_2M   BIT(12)
#define PTE_NX       BIT(63)
#define PTE_ADDRESS  0x000ffffffffff000ul
#define PTE_RESERVED BIT(51) // an unknown entry, where the machine has fewer than 52 physical bits

#define ENTRIES          512u
#define SLOT(gva, level) ((unsigned)((gva) >> (3 + 9 * (level)) & (ENTRIES - 1)))

// An entry of a shadow table, as one number.
static inline u32 entry_id(u32 table, unsigned slot)
{
    return table << 9 | slot;
}

static inline u64 *entry_at(const struct shadow *s, u32 id)
{
    return &s->tables[id >> 9].entries[id & (ENTRIES - 1)];
}

// Whether the processor can walk through it.
static inline bool entry_maps(const struct shadow *s, u64 entry)
{
    return entry & PTE_P && entry != s->unknown;
}

// The table that an entry of a level above 1 points to.
static inline u32 entry_child(const struct shadow *s, u64 entry)
{
    return (u32)(hpa_mfn(entry & PTE_ADDRESS).n - s->pool.n);
}

// What an entry holds before it is looked at.
static inline u64 entry_blank(const struct shadow *s, const struct shadow_table *t, u64 guest_entry)
{
    bool exact = s->config.strategy.trace && !t->out_of_sync && !t->splinter;
    return exact && !(guest_entry & PTE_P) ? 0 : s->unknown;
}

// The table that stands for (frame, level), or SHADOW_NONE. `frame`: see struct shadow_table.
u32 table_find(const struct shadow *s, u64 frame, unsigned level, bool splinter);

// The same, made if there is none: then it is blank, and with tracing its guest table is write-protected.
// Recycles the least recently used table when the pool is empty, but none of `keep` (the path being built;
// SHADOW_NONE ends it).
u32 table_get(struct shadow *s, u64 frame, unsigned level, bool splinter, const u32 *keep);

// Marks as just used.
void table_touch(struct shadow *s, u32 table);

// Makes all entries of a table unknown.
void table_forget_entries(struct shadow *s, u32 table);

// Forgets a table: all entries that point to it and all that it has. The caller flushes.
void table_drop(struct shadow *s, u32 table);

// Makes `id` point to `child` with the rights in `flags`.
void entry_link(struct shadow *s, u32 id, u32 child, u64 flags);

// Makes `id` a leaf.
void entry_set_leaf(struct shadow *s, u32 id, u64 value);

// Takes what `id` points to away and leaves `blank` there. A traced table that nobody points to any more is
// dropped: the guest is about to use its page for something else. True if the entry mapped something.
bool entry_clear(struct shadow *s, u32 id, u64 blank);

// Removes write access to a frame from every leaf. True if there was any: the caller flushes.
bool frame_protect(struct shadow *s, mfn_t frame);

// Takes a traced table out of sync; or back, after which the caller makes its entries exact.
void table_leave_sync(struct shadow *s, u32 table);
void table_enter_sync(struct shadow *s, u32 table);

// What the processor may have cached of all this must be gone before the guest runs. At most one flush is
// done, at the end of the engine's call, by settle(), which also publishes the PDPT.
static inline void flush_everything(struct shadow *s)
{
    s->flush = true;
}
void settle(struct shadow *s);

// Whether writes to the frame must be seen: a table stands for it that is not out of sync.
static inline bool frame_traced(const struct shadow *s, mfn_t frame)
{
    return s->frames[frame.n].levels;
}

// fill.c: one entry as the guest's tables and the p2m say.

// What a leaf of level 1 for the guest's entry is to be, or the unknown entry: not accessed, reserved bits,
// no RAM.
u64 leaf_value(const struct shadow *s, const struct walk_context *w, u64 guest_entry);

// A frame of a guest's large page, whose entry is `large`: its rights are in the entry above.
u64 splinter_value(const struct shadow *s, u64 large, gfn_t g);

// The rights that a table entry takes over from the guest's entry.
u64 link_flags(u64 guest_entry);

// Makes the entry follow the guest's. True if a translation that the processor may hold has changed.
bool entry_refresh(struct shadow *s, const struct walk_context *w, u32 id);

// unpaged.c: a guest without paging.

// Takes the frame of the PDPT, below 4 GiB. ERR_NOMEM: none is free there.
int unpaged_init(struct shadow *s) must_check;

// The table that is its root, made if there is none.
u32 unpaged_root(struct shadow *s);

// Gives the processor the root's links, as PDPTEs, if it is the root in use: before the guest runs.
void unpaged_publish(struct shadow *s);

// What CR3 is to hold for the root in use, whatever its kind.
u64 root_address(const struct shadow *s);

// NULL, or what is wrong.
const char *unpaged_audit(const struct shadow *s);

// trace.c: makes the entries that translate gva follow the guest's, those that are stale.
void path_refresh(struct shadow *s, const struct walk_context *w, u64 gva);

// eager.c: builds all that the guest has used under the current root.
void eager_build(struct shadow *s, const struct walk_context *w);
