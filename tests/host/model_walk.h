// A page walk written from the tables of SDM vol. 3, chapter 4, slow and in the order of the text: it first
// lists the entries, then judges each, then the access. What walk_guest and the shadow engine are compared
// with. It sets no bits. Neighbours: test_walk.c, model_history.c, model_stale.c, test_shadow.c.
#pragma once

#include <hv/walk.h>

static inline u64 bits(u64 value, unsigned high, unsigned low)
{
    return value << (63 - high) >> (63 - high) >> low;
}

static inline bool bit(u64 value, unsigned n)
{
    return bits(value, n, n);
}

struct model_entry {
    unsigned level;
    u64 gpa;
    u64 value;
    u8 *memory; // NULL: none, or in a register
    enum p2m_type type;
    bool page;
};

struct model {
    const struct walk_context *context;
    enum paging_mode mode;
    u64 gva;
    struct walk_access access;
    bool by_user;
    u8 *(*memory)(u64 gpa, enum p2m_type *type); // the guest's memory at a gpa, NULL: none there
    struct model_entry list[4];
    unsigned count;
};

enum paging_mode model_mode(const struct paging_regs *regs);

// Whether an entry of a level maps a page.
bool model_page(const struct model *m, unsigned level, u64 entry);

// Whether a bit is set in an entry that must be zero.
bool model_reserved(const struct walk_context *context, enum paging_mode mode, unsigned level, bool page,
                    u64 entry);

// Lists the first entry of PAGING_PAE, which is in a register.
void model_pdpte(struct model *m);

// Where the entry after those listed is, and its level: 0 when the walk is over. Before the first:
// PAGING_4LEVEL only.
u64 model_next(const struct model *m, unsigned *level);

// Lists one more entry: what is there now.
struct model_entry *model_read(struct model *m, unsigned level, u64 gpa);

// Lists all entries for m->gva down to the first that leads nowhere. PAGING_NONE has none.
void model_list(struct model *m);

// What walk_guest is to return, but for accessed and dirty bits: of the entries listed, or of those that are
// there now.
int model_judge_list(struct model *m, struct walk *out);
int model_judge(struct model *m, struct walk *out);
