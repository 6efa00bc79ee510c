// The guest's tables in test_shadow and test_strategies: random addresses and entries, few enough that they
// meet again and again. The tables share subtrees and point at themselves and at each other at any level; one
// PML4 entry of each root is a window through which the guest's kernel sees its memory. Neighbours:
// shadow_machine.h is the memory, which pair_machine.c has twice; shadow_steps.h and pair_guest.h change the
// tables.
#pragma once

#include <arch/types.h>

#define FIRST_ROOT 0x10u // gfn
#define ROOTS      4u

// Makes all tables anew. `shift`: how much smaller a part of them the guest uses, 0 to 3. `places`: how many
// recent addresses there are, up to 32.
void tables_make(unsigned shift, unsigned places);

// gfn of a table that is made for this level, and an index that its entries use.
u64 table_of(unsigned level);
unsigned random_index(unsigned level);

// An address, mostly one of the recent ones; the new ones become recent.
u64 random_gva(void);
u64 fresh_gva(void);
void gva_is_recent(u64 gva);

// A root to load; with PWT and PCD in so many percent.
u64 random_cr3(unsigned uncached);

// gfn of a page that leaves map.
u64 random_frame(void);

// An entry, and what an edit could make of the entry at gpa.
u64 random_entry(unsigned level);
u64 edited_entry(u64 gpa, unsigned level);

// How many bytes a store has and where it starts, from the entry's first byte at gpa. Within the page.
#define FORM_MAX 64u
void random_form(u64 gpa, unsigned *first, unsigned *bytes);

// Where the guest's kernel sees gpa, if its window is as it was made: gpa below WINDOW_END.
#define WINDOW_END (4 * MIB)
u64 window_gva(u64 gpa);

// The entries that the window is made of, for a root: address and value. 0: no more.
struct window_entry {
    u64 gpa, value;
};
struct window_entry window_entry(u64 root_gpa, unsigned i);

// All entries that the guest uses are what they must be.
void tables_check(void);
