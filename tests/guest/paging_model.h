// What the processor is to do with one access under 4-level paging, written from SDM vol. 3, chapter 4, slow
// and in the order of the text; and the access itself, in any ring and kind. matrix.c, torture.c and
// isolation.c compare the two.
#pragma once

#include "cpu.h"

// What decides besides the tables.
struct controls {
    bool wp, nxe, smep, smap, ac;
};
enum access_kind { ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH, ACCESS_KINDS };
struct access {
    u64 gva;
    enum access_kind kind;
    bool user;
};

// What the processor has, by CPUID.
struct paging_features {
    unsigned physical_bits;
    bool nx, smep, smap, large_1g;
};
struct paging_features paging_features(void);

// The entries that a walk uses, from level 4 down to the page or to the first that leads nowhere.
struct model_walk {
    unsigned count;
    u64 *entry[4]; // NULL where there is no RAM: it reads as ones
    u64 before[4]; // what it holds
    u64 after[4];  // what it holds after an access that succeeds: accessed and dirty
    bool fault;
    u64 error;
    unsigned level; // of the last entry
    u64 gpa;        // unless it is a fault
};
void model_walk(struct model_walk *m, const struct controls *c, u64 root, struct access a);
// Whether an entry leads to a table of the next level.
bool model_leads_on(unsigned level, u64 entry, bool nxe);
// Whether RAM is there: a table elsewhere reads as ones.
bool gpa_is_ram(u64 gpa);

// Sets CR0.WP, EFER.NXE, CR4.SMEP and CR4.SMAP where they differ.
void controls_set(const struct controls *c);

// What the processor did. `value`: what a read gave, or code that was fetched: see access_code.
struct outcome {
    bool fault;
    u64 error, cr2, value; // cr2: CODE_USER less where it was added
};
// Reads or writes the 8 bytes at a.gva, or calls the code there, which must be that of access_code: at a.gva
// for the supervisor, CODE_USER bytes further for the user.
struct outcome access_do(const struct controls *c, struct access a, u64 value);
#define CODE_USER 16
// Writes code that gives `value` to the start of a page: 22 bytes.
void access_code(u8 *page, u32 value);
