// Makes entries as the guest's tables and the p2m say.
#pragma once

#include "format.h"

// What a leaf for the guest's entry is to be, or the unknown entry: not accessed, reserved bits, no RAM; at
// level 2 (the guest's entry maps a page) also where no large leaf can be.
u64 fill_leaf(const struct shadow_view *view, unsigned level, u64 guest_entry);

// The guest's entry of a page for a write that is allowed. If only CR0.WP = 0 allows it the page becomes the
// supervisor's and writable; a user's access faults, and takes that back. Not for user pages unless
// fill_can_turn.
u64 fill_written_page(const struct shadow_view *view, u8 role, u64 guest_entry);

// Whether a supervisor's page in place of a user's is the same to the supervisor: nothing else is checked of
// user pages, and NX does what SMEP would.
static inline bool fill_can_turn(const struct paging_regs *regs)
{
    return !(regs->cr4 & (CR4_SMAP | CR4_PKE)) && (!(regs->cr4 & CR4_SMEP) || regs->efer & EFER_NXE);
}

// Makes the entries that a hidden fault needs, and some neighbours. `walk` is that of the fault's access.
void fill_page(struct shadow_view *view, const struct mmu_fault *f, const struct walk *walk);

// Fills the neighbours of an entry of level 1 that are unknown, as far as the guest has used them.
void fill_neighbours(struct shadow_view *view, u32 id);
