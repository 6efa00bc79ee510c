// See model_walk.h. Section and table numbers are those of SDM vol. 3, chapter 4; names of flags are avoided,
// so that a wrong definition in arch/cpu.h is seen.
#include "model_walk.h"

#include <arch/lib.h>

enum { W = 100, W32 }; // in place of a bit: MAXPHYADDR; 32-bit paging: where a 4M page's address ends
enum { ANY, PAGE, TABLE };
enum { ALWAYS, NO_NXE };

// The fields that the SDM's tables call "Reserved (must be 0)".
static const struct must_be_zero {
    const char *table;
    enum paging_mode mode;
    u8 level, what, low, high, when;
} must_be_zero[] = {
    {"4-4", PAGING_32BIT, 2, PAGE, W32, 21, ALWAYS},   {"4-8", PAGING_PAE, 3, ANY, 1, 2, ALWAYS},
    {"4-8", PAGING_PAE, 3, ANY, 5, 8, ALWAYS},         {"4-8", PAGING_PAE, 3, ANY, W, 63, ALWAYS},
    {"4-9", PAGING_PAE, 2, PAGE, 13, 20, ALWAYS},      {"4-9", PAGING_PAE, 2, PAGE, W, 62, ALWAYS},
    {"4-9", PAGING_PAE, 2, PAGE, 63, 63, NO_NXE},      {"4-10", PAGING_PAE, 2, TABLE, 7, 7, ALWAYS},
    {"4-10", PAGING_PAE, 2, TABLE, W, 62, ALWAYS},     {"4-10", PAGING_PAE, 2, TABLE, 63, 63, NO_NXE},
    {"4-11", PAGING_PAE, 1, ANY, W, 62, ALWAYS},       {"4-11", PAGING_PAE, 1, ANY, 63, 63, NO_NXE},
    {"4-15", PAGING_4LEVEL, 4, ANY, 7, 7, ALWAYS},     {"4-15", PAGING_4LEVEL, 4, ANY, W, 51, ALWAYS},
    {"4-15", PAGING_4LEVEL, 4, ANY, 63, 63, NO_NXE},   {"4-16", PAGING_4LEVEL, 3, PAGE, 13, 29, ALWAYS},
    {"4-16", PAGING_4LEVEL, 3, PAGE, W, 51, ALWAYS},   {"4-16", PAGING_4LEVEL, 3, PAGE, 63, 63, NO_NXE},
    {"4-17", PAGING_4LEVEL, 3, TABLE, 7, 7, ALWAYS},   {"4-17", PAGING_4LEVEL, 3, TABLE, W, 51, ALWAYS},
    {"4-17", PAGING_4LEVEL, 3, TABLE, 63, 63, NO_NXE}, {"4-18", PAGING_4LEVEL, 2, PAGE, 13, 20, ALWAYS},
    {"4-18", PAGING_4LEVEL, 2, PAGE, W, 51, ALWAYS},   {"4-18", PAGING_4LEVEL, 2, PAGE, 63, 63, NO_NXE},
    {"4-19", PAGING_4LEVEL, 2, TABLE, 7, 7, ALWAYS},   {"4-19", PAGING_4LEVEL, 2, TABLE, W, 51, ALWAYS},
    {"4-19", PAGING_4LEVEL, 2, TABLE, 63, 63, NO_NXE}, {"4-20", PAGING_4LEVEL, 1, ANY, W, 51, ALWAYS},
    {"4-20", PAGING_4LEVEL, 1, ANY, 63, 63, NO_NXE},
};

// The lowest bit of the entry that a field has.
static unsigned field_low(const struct must_be_zero *field, const struct walk_context *context)
{
    unsigned width = context->physical_bits;
    if (field->low == W32)
        return (width > 40 ? 40 : width) - 32 + 13;
    return field->low == W ? width : field->low;
}

bool model_reserved(const struct walk_context *context, enum paging_mode mode, unsigned level, bool page,
                    u64 entry)
{
    for (unsigned i = 0; i < ARRAY_SIZE(must_be_zero); i++) {
        const struct must_be_zero *field = &must_be_zero[i];
        if (field->mode != mode || field->level != level || field->what == (page ? TABLE : PAGE))
            continue;
        if (field->when == NO_NXE && bit(context->regs.efer, 11))
            continue;
        unsigned low = field_low(field, context);
        if (low <= field->high && bits(entry, field->high, low))
            return true;
    }
    return false;
}

enum paging_mode model_mode(const struct paging_regs *regs)
{
    if (!bit(regs->cr0, 31))
        return PAGING_NONE;
    if (bit(regs->cr4, 5))
        return bit(regs->efer, 10) ? PAGING_4LEVEL : PAGING_PAE;
    return PAGING_32BIT;
}

bool model_page(const struct model *m, unsigned level, u64 entry)
{
    switch (level) {
    case 1:
        return true;
    case 2:
        return bit(entry, 7) && (m->mode != PAGING_32BIT || bit(m->context->regs.cr4, 4));
    case 3:
        return m->mode == PAGING_4LEVEL && bit(entry, 7) && m->context->has_1g_pages;
    default:
        return false;
    }
}

struct model_entry *model_read(struct model *m, unsigned level, u64 gpa)
{
    struct model_entry *e = &m->list[m->count++];
    *e = (struct model_entry){.level = level, .gpa = gpa};
    e->memory = m->memory(gpa, &e->type);
    e->value = UINT64_MAX;
    if (e->memory)
        memcpy(&e->value, e->memory, m->mode == PAGING_32BIT ? 4 : 8);
    if (m->mode == PAGING_32BIT)
        e->value = bits(e->value, 31, 0);
    e->page = model_page(m, level, e->value);
    return e;
}

u64 model_next(const struct model *m, unsigned *level)
{
    if (m->mode == PAGING_4LEVEL && !m->count) {
        *level = 4;
        return (bits(m->context->regs.cr3, 51, 12) << 12) + 8 * bits(m->gva, 47, 39);
    }
    const struct model_entry *e = &m->list[m->count - 1];
    *level = bit(e->value, 0) && !e->page ? e->level - 1 : 0;
    return (bits(e->value, 51, 12) << 12) + 8 * bits(m->gva, 9 * e->level + 2, 9 * e->level - 6);
}

void model_pdpte(struct model *m)
{
    unsigned index = bits(m->gva, 31, 30);
    u64 gpa = (bits(m->context->regs.cr3, 31, 5) << 5) + 8 * index;
    m->list[m->count++] = (struct model_entry){3, gpa, m->context->pdptes[index], NULL, 0, false};
}

void model_list(struct model *m)
{
    u64 cr3 = m->context->regs.cr3;
    m->count = 0;
    if (m->mode == PAGING_NONE)
        return;
    if (m->mode == PAGING_32BIT) {
        struct model_entry *pde = model_read(m, 2, (bits(cr3, 31, 12) << 12) + 4 * bits(m->gva, 31, 22));
        if (bit(pde->value, 0) && !pde->page)
            model_read(m, 1, (bits(pde->value, 31, 12) << 12) + 4 * bits(m->gva, 21, 12));
        return;
    }
    if (m->mode == PAGING_PAE)
        model_pdpte(m);
    unsigned level;
    u64 gpa = model_next(m, &level);
    for (; level; gpa = model_next(m, &level))
        model_read(m, level, gpa);
}

// In how many of the entries with rights this bit is set.
static unsigned model_bits_set(const struct model *m, unsigned n)
{
    unsigned count = 0;
    for (unsigned i = 0; i < m->count; i++)
        count += bit(m->list[i].value, n) && !(m->mode == PAGING_PAE && m->list[i].level == 3);
    return count;
}

static unsigned model_bits_clear(const struct model *m, unsigned n)
{
    return m->count - (m->mode == PAGING_PAE) - model_bits_set(m, n);
}

// 4.6.2: whether the protection key permits the access.
static bool model_key_permits(const struct model *m, bool user_address)
{
    const struct walk_context *c = m->context;
    if (m->mode != PAGING_4LEVEL || !bit(c->regs.cr4, 22) || !user_address || m->access.kind == ACCESS_FETCH)
        return true;
    unsigned i = bits(m->list[m->count - 1].value, 62, 59);
    bool ad = bit(c->pkru, 2 * i), wd = bit(c->pkru, 2 * i + 1);
    if (ad)
        return false;
    if (!wd || m->access.kind == ACCESS_READ)
        return true;
    return !m->by_user && !bit(c->regs.cr0, 16);
}

// 4.6.1, its lists in their order.
static bool model_supervisor_permits(const struct model *m, bool user_address, bool writable, bool xd)
{
    const struct paging_regs *regs = &m->context->regs;
    bool wp = bit(regs->cr0, 16), smep = bit(regs->cr4, 20), smap = bit(regs->cr4, 21);
    bool smap_permits = !smap || (bit(m->context->rflags, 18) && !m->access.implicit);
    switch (m->access.kind) {
    case ACCESS_READ:
        return !user_address || smap_permits;
    case ACCESS_WRITE:
        if (!user_address)
            return !wp || writable;
        return (!wp || writable) && smap_permits;
    default:
        if (!user_address)
            return !xd;
        return !smep && !xd;
    }
}

static bool model_user_permits(const struct model *m, bool user_address, bool writable, bool xd)
{
    switch (m->access.kind) {
    case ACCESS_READ:
        return user_address;
    case ACCESS_WRITE:
        return user_address && writable;
    default:
        return user_address && !xd;
    }
}

// 4.7: the flags that describe the access.
static u32 model_access_flags(const struct model *m)
{
    const struct paging_regs *regs = &m->context->regs;
    bool smep = bit(regs->cr4, 20), pae = bit(regs->cr4, 5), nxe = bit(regs->efer, 11);
    u32 flags = 0;
    flags |= m->access.kind == ACCESS_WRITE ? 1u << 1 : 0;
    flags |= m->by_user ? 1u << 2 : 0;
    flags |= m->access.kind == ACCESS_FETCH && (smep || (pae && nxe)) ? 1u << 4 : 0;
    return flags;
}

static u64 model_gpa(const struct model *m)
{
    const struct model_entry *e = &m->list[m->count - 1];
    if (m->mode == PAGING_32BIT && e->level == 2)
        return bits(e->value, 20, 13) << 32 | bits(e->value, 31, 22) << 22 | bits(m->gva, 21, 0);
    unsigned offset = e->level == 3 ? 30 : e->level == 2 ? 21 : 12;
    return bits(e->value, 51, offset) << offset | bits(m->gva, offset - 1, 0);
}

static int model_fault(const struct model *m, unsigned level, u32 flags, struct walk *out)
{
    out->error_code = flags | model_access_flags(m);
    out->fault_level = level;
    return ERR_INVALID;
}

// The access itself, once all entries are known to be good.
static int model_permission(struct model *m, struct walk *out)
{
    const struct model_entry *leaf = &m->list[m->count - 1];
    out->gpa = model_gpa(m);
    out->level = leaf->level;
    out->global = bit(leaf->value, 8) && bit(m->context->regs.cr4, 7);
    bool user_address = out->user = !model_bits_clear(m, 2);
    bool writable = out->writable = !model_bits_clear(m, 1);
    bool xd = m->mode != PAGING_32BIT && model_bits_set(m, 63);
    out->executable = !xd;
    bool permitted = m->by_user ? model_user_permits(m, user_address, writable, xd)
                                : model_supervisor_permits(m, user_address, writable, xd);
    bool key_permits = model_key_permits(m, user_address);
    if (permitted && key_permits)
        return 0;
    return model_fault(m, leaf->level, 1u << 0 | (key_permits ? 0 : 1u << 5), out);
}

int model_judge_list(struct model *m, struct walk *out)
{
    *out = (struct walk){.mode = m->mode};
    if (m->mode == PAGING_NONE) {
        out->gpa = bits(m->gva, 31, 0);
        out->level = 1;
        out->user = out->writable = out->executable = true;
        return 0;
    }
    for (unsigned i = 0; i < m->count; i++) {
        const struct model_entry *e = &m->list[i];
        out->entry[e->level] = e->value;
        out->entry_gpa[e->level] = e->gpa;
        if (!bit(e->value, 0))
            return model_fault(m, e->level, 0, out);
        if (m->mode == PAGING_PAE && e->level == 3)
            continue; // checked when it was loaded
        if (model_reserved(m->context, m->mode, e->level, e->page, e->value))
            return model_fault(m, e->level, 1u << 3 | 1u << 0, out);
    }
    return model_permission(m, out);
}

int model_judge(struct model *m, struct walk *out)
{
    model_list(m);
    return model_judge_list(m, out);
}
