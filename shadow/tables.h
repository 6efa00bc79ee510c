// The engine's inner parts: the pool of shadow tables, how entries refer to each other, and the entry format.
// Private to shadow/: engine.h is the contract for everybody else.
#pragma once

#include <arch/cpu.h>
#include <arch/phys.h>

#include "engine.h"

// Entry bits (SDM vol. 3, tables 4-15 to 4-20).
#define PTE_P         BIT(0)
#define PTE_W         BIT(1)
#define PTE_U         BIT(2)
#define PTE_PWT       BIT(3)
#define PTE_PCD       BIT(4)
#define PTE_A         BIT(5)
#define PTE_D         BIT(6)
#define PTE_PS        BIT(7)
#define PTE_PAT       BIT(7) // in a 4K leaf
#define PTE_G         BIT(8)
#define PTE_MAY_WRITE BIT(9) // ours, in a leaf: writable but while its frame is traced
#define PTE_PAT_2M    BIT(12)
#define PTE_KEY       (15ul << PTE_KEY_SHIFT) // protection key
#define PTE_KEY_SHIFT 59
#define PTE_NX        BIT(63)
#define PTE_ADDRESS   0x000ffffffffff000ul
#define PTE_RESERVED  BIT(51) // an unknown entry, where the machine has fewer than 52 physical bits

#define RIGHTS (PTE_W | PTE_U | PTE_NX)

#define ENTRIES          512u
#define GROUP            8u // entries to a bit of `occupied`
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
    return (entry & (PTE_P | s->mark)) == PTE_P;
}

// Of an entry that maps: whether it maps a page.
static inline bool entry_is_leaf(unsigned level, u64 entry)
{
    return level == 1 || entry & PTE_PS;
}

// Of an entry that maps no page: the table that it points to.
static inline u32 entry_child(const struct shadow *s, u64 entry)
{
    return (u32)(hpa_mfn(entry & PTE_ADDRESS).n - s->pool.n);
}

// Whether the table's entries can be exact: the guest's writes are seen.
static inline bool table_is_exact(const struct shadow *s, const struct shadow_table *t)
{
    return s->config.strategy.trace && t->guest && !t->out_of_sync;
}

// Gives the processor the root's links, as PDPTEs: before the guest runs, while s->unpaged.
void unpaged_publish(struct shadow *s);

// Roles: tables for a guest with CR0.WP = 0, apart from all others. The processor's WP is always set, so
// there every link gives write access, and a table knows what the guest's entries above it deny.
#define ROLE_READ_ONLY  1u // one of them has W = 0
#define ROLE_SUPERVISOR 2u // one of them has U = 0
#define ROLE_WP_CLEAR   4u
#define ROLES           8u

// The role of the guest's root.
static inline u8 role_of(const struct paging_regs *regs)
{
    return regs->cr0 & CR0_PG && !(regs->cr0 & CR0_WP) ? ROLE_WP_CLEAR : 0;
}

// The role of the table that the guest's entry leads to, in a table of `role`.
static inline u8 role_below(u8 role, u64 guest_entry)
{
    unsigned denied =
        (guest_entry & PTE_W ? 0 : ROLE_READ_ONLY) | (guest_entry & PTE_U ? 0 : ROLE_SUPERVISOR);
    return role ? (u8)(role | denied) : 0;
}

// Its index in struct shadow_frame.traced, and back.
static inline unsigned traced_index(unsigned level, unsigned role)
{
    return WALK_LEVELS * role + level - 1;
}

#define TRACED_LEVEL_1  0x11111111u // of all roles
#define TRACED_WP_CLEAR 0xffff0000u // of all levels

// pool.c

// What a table is found by. `frame`: see struct shadow_table.
struct table_key {
    u64 frame;
    u8 level, role;
    bool splinter;
};

// The table, or SHADOW_NONE.
u32 table_find(const struct shadow *s, struct table_key key);

// The same, made if there is none: then all its entries are unknown, and with tracing its guest table is
// write-protected. `marks`: see struct shadow_table. Recycles the least recently used table when the pool is
// empty, but none of `keep` (the path being built, which SHADOW_NONE ends; or NULL).
u32 table_get(struct shadow *s, struct table_key key, bool marks, const u32 *keep);

// Whether nothing leads to it.
static inline bool table_orphaned(const struct shadow *s, u32 table)
{
    return s->tables[table].parents == SHADOW_NONE && table != s->root;
}

// Makes all entries of a table unknown.
void table_empty(struct shadow *s, u32 table);

// Forgets a table: all entries that point to it and all that it has.
void table_drop(struct shadow *s, u32 table);

// What the processor may have cached of all this must be gone before the guest runs. At most one flush is
// done, at the end of the engine's call, by settle(), which also publishes the PDPT.
static inline void flush_everything(struct shadow *s)
{
    s->flush = true;
}
void flush_now(struct shadow *s);
static inline void settle(struct shadow *s)
{
    if (s->unpaged)
        unpaged_publish(s);
    if (s->flush)
        flush_now(s);
}

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

static inline struct spot spot_of(const struct shadow *s, u64 gva)
{
    const struct shadow_table *root = &s->tables[s->root];
    if (likely(root->level == WALK_LEVELS))
        return spot_under(s, gva, root->entries, WALK_LEVELS);
    return spot_under(s, gva, root->entries, WALK_LEVELS - 1);
}

// entries.c

// Makes the entry `value`, in the chain that it belongs to. The caller sees to flushes, but where splinters
// may lie below: the guest ends a large page with one INVLPG, while the processor may have cached the
// splinters one by one. True if it mapped something before.
bool entry_set(struct shadow *s, u32 id, u64 value);

// The same, if it is another value than before.
static inline void entry_make(struct shadow *s, u32 id, u64 value)
{
    if (value != *entry_at(s, id))
        entry_set(s, id, value);
}

// The value that points to a table with the rights in `flags`.
static inline u64 entry_link(const struct shadow *s, u32 child, u64 flags)
{
    return (mfn_hpa(s->pool) + child * PAGE_SIZE) | flags | PTE_P | PTE_A;
}

// From now on writes to the table's frame are seen, or need not be. Does nothing without tracing, and for
// splinters.
void frame_trace(struct shadow *s, u32 table);
void frame_untrace(struct shadow *s, u32 table);

// Whether writes to the frame must be seen: a table stands for it that is not out of sync.
static inline bool frame_traced(const struct shadow *s, u64 frame)
{
    return s->frames[frame].traced;
}

// Whether just one table traces the frame: s->frames[frame].table.
static inline bool frame_traced_once(const struct shadow *s, u64 frame)
{
    u32 traced = s->frames[frame].traced;
    return traced && !(traced & (traced - 1));
}

// The table that traces the frame and has this index, whose bit in `traced` is set.
u32 frame_table(const struct shadow *s, u64 frame, unsigned index);

// Forgets all that maps or stands for the frame.
void frame_forget(struct shadow *s, u64 frame);

// fill.c: entries as the guest's tables and the p2m say.

// What a leaf for the guest's entry is to be, or the unknown entry: not accessed, reserved bits, no RAM; at
// level 2 (the guest's entry maps a page) also where no large leaf can be.
u64 leaf_value(const struct shadow *s, const struct walk_context *w, unsigned level, u64 guest_entry);

// The rights that a table entry takes over from the guest's entry.
static inline u64 link_flags(u8 role, u64 guest_entry)
{
    return (guest_entry & RIGHTS) | (role ? PTE_W : 0);
}

// The guest's entry of a page, with what the entries above deny.
static inline u64 entry_in_role(u8 role, u64 guest_entry)
{
    return role & ROLE_READ_ONLY ? guest_entry & ~PTE_W : guest_entry;
}

// The same for a write that is allowed. If only CR0.WP = 0 allows it the page becomes the supervisor's and
// writable; a user's access faults, and takes that back. Not for user pages unless user_page_can_turn.
u64 entry_for_write(const struct walk_context *w, u8 role, u64 guest_entry);

// Whether a supervisor's page in place of a user's is the same to the supervisor: nothing else is checked of
// user pages, and NX does what SMEP would.
static inline bool user_page_can_turn(const struct paging_regs *regs)
{
    return !(regs->cr4 & (CR4_SMAP | CR4_PKE)) && (!(regs->cr4 & CR4_SMEP) || regs->efer & EFER_NXE);
}

// Makes the entries that a hidden fault needs, and some neighbours.
void fill(struct shadow *s, const struct walk_context *w, u64 gva, const struct walk *walk, bool write);

// Fills the neighbours of an entry of level 1 that are unknown, as far as the guest has used them.
void fill_neighbours(struct shadow *s, const struct walk_context *w, u32 id);

// trace.c

// Makes the entry follow the guest's. True if a translation that the processor may hold has changed.
bool entry_refresh(struct shadow *s, const struct walk_context *w, u32 id);

// Makes the entries that translate gva follow the guest's, those that are stale.
void path_refresh(struct shadow *s, const struct walk_context *w, u64 gva);

// sync.c

// Takes a traced table out of sync.
void table_leave_sync(struct shadow *s, u32 table);

// A table that is dropped is not out of sync any more.
void table_found(struct shadow *s, u32 table);

// Takes all back that are out of sync, and makes their entries exact.
void synchronise_all(struct shadow *s, const struct walk_context *w);

// A write to a traced frame is about to be seen: true if the frame was better made writable, and now is.
bool write_frees_frame(struct shadow *s, u64 hpa);

// unpaged.c: a guest without paging.

// Takes the frame of the PDPT, below 4 GiB. ERR_NOMEM: none is free there.
int unpaged_init(struct shadow *s) must_check;

// The table that is its root, made if there is none.
u32 unpaged_root(struct shadow *s);

// What CR3 is to hold for the root in use, whatever its kind.
u64 root_address(const struct shadow *s);

// NULL, or what is wrong.
const char *unpaged_audit(const struct shadow *s);

// eager.c: builds all that the guest has used under the current root.
void eager_build(struct shadow *s, const struct walk_context *w);
