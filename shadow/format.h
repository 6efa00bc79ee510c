// The format of shadow entries, and the roles of tables. Private to shadow/, like all headers here but
// engine.h, which is the contract for everybody else.
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
#define PTE_MAY_WRITE BIT(9)  // ours, in a leaf: writable but while its frame is traced
#define PTE_DIRECT    BIT(10) // ours, in a leaf: machine device memory, which is in no chain
#define PTE_PAT_2M    BIT(12)
#define PTE_KEY       (15ul << PTE_KEY_SHIFT) // protection key
#define PTE_KEY_SHIFT 59
#define PTE_NX        BIT(63)
#define PTE_ADDRESS   0x000ffffffffff000ul
#define PTE_RESERVED  BIT(MMU_MARK_BIT) // an unknown entry, where the machine has fewer than 52 physical bits

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

// The value that points to a table with the rights in `flags`.
static inline u64 entry_link(const struct shadow *s, u32 child, u64 flags)
{
    return (mfn_hpa(s->pool) + child * PAGE_SIZE) | flags | PTE_P | PTE_A;
}

// Whether the table's entries can be exact: the guest's writes are seen.
static inline bool table_is_exact(const struct shadow *s, const struct shadow_table *t)
{
    return s->config.strategy.trace && t->guest && !t->out_of_sync;
}

// The first entry of the lowest of these groups.
static inline unsigned group_first(u64 groups)
{
    return (unsigned)__builtin_ctzl(groups) * GROUP;
}

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

// The rights that an entry to a table takes over from the guest's entry.
static inline u64 role_link_flags(u8 role, u64 guest_entry)
{
    return (guest_entry & RIGHTS) | (role ? PTE_W : 0);
}

// The guest's entry of a page, with what the entries above deny.
static inline u64 role_page(u8 role, u64 guest_entry)
{
    return role & ROLE_READ_ONLY ? guest_entry & ~PTE_W : guest_entry;
}

// The bit of a table that stands for a frame in struct shadow_frame.traced, by its index.
static inline unsigned traced_index(unsigned level, unsigned role)
{
    return WALK_LEVELS * role + level - 1;
}

#define TRACED_LEVEL_1  0x11111111u // of all roles
#define TRACED_WP_CLEAR 0xffff0000u // of all levels
