// The guest's page walk in software: gva -> gpa through the guest's own tables, with every check and effect
// that the processor's walk has (SDM vol. 3, chapter 4). Pure. Used to emulate instructions and, by shadow
// paging, to tell hidden faults from true ones.
#pragma once

#include <arch/cpu.h>
#include <hv/p2m.h>
#include <hv/vcpu.h>

enum paging_mode {
    PAGING_NONE,  // gva = gpa, 32 bits
    PAGING_32BIT, // two levels of 4-byte entries, 4M pages with CR4.PSE (PSE-36 up to 40 bits)
    PAGING_PAE,   // four PDPTEs in registers, then two levels of 8-byte entries
    PAGING_4LEVEL,
};

// What a walk depends on. Made once for an exit.
struct walk_context {
    const struct p2m *p2m;
    struct paging_regs regs;
    u64 pdptes[4]; // PAGING_PAE: as loaded by the processor
    u64 rflags;    // AC counts, with SMAP
    unsigned cpl;
    u32 pkru;               // counts with CR4.PKE in PAGING_4LEVEL
    unsigned physical_bits; // MAXPHYADDR of the guest
    bool has_1g_pages;      // the guest's CPUID
};

#define WALK_LEVELS 4

struct walk {
    enum paging_mode mode;
    u64 gpa;              // of the byte at gva
    unsigned level;       // of the leaf: 1 (4K), 2 (2M, or 4M in PAGING_32BIT), 3 (1G); PAGING_NONE: 1
    u32 error_code;       // of the #PF, when there is one
    unsigned fault_level; // of the entry that ended the walk by a #PF, 0 if none
    u64 entry[WALK_LEVELS +
              1]; // by level [1..4]: each entry as read (after A and D were set), for levels visited
    u64 entry_gpa[WALK_LEVELS + 1];
    bool user, writable, executable; // rights of all levels together; CR0.WP, SMEP and SMAP not applied
    bool global;
};

enum paging_mode walk_mode(const struct paging_regs *regs);

// 48 bits: the guest is not offered 5-level paging.
static inline bool walk_canonical(u64 gva)
{
    return (u64)((s64)(gva << 16) >> 16) == gva;
}

// With paging: whether the error code of a #PF tells fetches from reads (SDM vol. 3, 4.7).
static inline bool walk_tells_fetches(const struct paging_regs *regs)
{
    return regs->cr4 & CR4_SMEP || (regs->cr4 & CR4_PAE && regs->efer & EFER_NXE);
}

// Walks for one access. Paging structures are read from P2M_RAM and P2M_RAM_RO; elsewhere they read as ones.
// set_ad: sets the accessed bits of all entries used and, for a write, the dirty bit of the leaf, atomically
// and only once the access is known to succeed, as the processor does; an entry that changed meanwhile
// restarts the walk (bounded). An entry in P2M_RAM_RO keeps its bits. 0, or ERR_INVALID: a #PF with
// out->error_code. A gva that is not canonical is the caller's business (#GP or #SS): the upper bits are
// ignored here.
int walk_guest(const struct walk_context *context, u64 gva, struct walk_access access, bool set_ad,
               struct walk *out) must_check;

// Bits of an entry at a level that must be zero (SDM vol. 3, tables 4-4 to 4-20) when it is present:
// level 1..4, and whether it maps a page. NX counts as reserved without EFER.NXE.
u64 walk_reserved_bits(const struct walk_context *context, enum paging_mode mode, unsigned level, bool leaf);
