// The guest's page walk in software: see hv/walk.h for the contract. Section, table and bit numbers are those
// of SDM vol. 3, chapter 4. A walk reads the entries from the top down, each checked by itself; then judges
// the access by the rights of all of them; then sets accessed and dirty bits. It keeps nothing between calls:
// no TLB, no cache but the p2m leaf that the tables of one walk often share. Neighbours:
// hv/access/guest_access.c and shadow/ call it, hv/memory/p2m.c says where memory is.
#include <hv/walk.h>

#include <arch/cpu.h>
#include <arch/phys.h>

#define PTE_P       BIT(0)
#define PTE_RW      BIT(1)
#define PTE_US      BIT(2)
#define PTE_A       BIT(5)
#define PTE_D       BIT(6)
#define PTE_PS      BIT(7)
#define PTE_G       BIT(8)
#define PTE_XD      BIT(63)
#define PTE_ADDRESS 0x000ffffffffff000ull

#define BITS(high, low) (BIT(high) - BIT(low) + BIT(high))
#define PSE36_BITS      40 // width of the address of a 4M page (4.3): its bits 39:32 are bits 20:13 of the entry
#define PSE36_SHIFT     19
#define PSE36_ADDRESS   BITS(20, 13)
#define TRIES           8 // walks for one access whose entries change meanwhile

#define PKRU_AD 1u
#define PKRU_WD 2u

// What a walk reads in a mode. PAGING_PAE: below the PDPTEs.
struct shape {
    u8 top;         // level of the first table
    u8 index_bits;  // of gva, for a level
    u8 entry_shift; // an entry has 2^entry_shift bytes
    u64 cr3_bits;
};

#define always_inline inline __attribute__((always_inline))

static const struct shape shapes[] = {
    [PAGING_32BIT] = {2, 10, 2, BITS(31, 12)},
    [PAGING_PAE] = {2, 9, 3, BITS(31, 5)},
    [PAGING_4LEVEL] = {4, 9, 3, PTE_ADDRESS},
};

// Bits that must be zero on every processor, by mode, level and whether the entry maps a page. An entry that
// does not although PS is set has PS reserved, but in PAGING_32BIT, where PS is ignored without CR4.PSE.
static const u64 reserved_always[PAGING_4LEVEL + 1][WALK_LEVELS + 1][2] =
    {
        [PAGING_PAE] =
            {
                [2] = {PTE_PS, BITS(20, 13)},                // tables 4-10, 4-9
                [3] = {BITS(8, 5) | BITS(2, 1) | PTE_XD, 0}, // table 4-8
            },
        [PAGING_4LEVEL] =
            {
                [2] = {PTE_PS, BITS(20, 13)}, // tables 4-19, 4-18
                [3] = {PTE_PS, BITS(29, 13)}, // tables 4-17, 4-16
                [4] = {PTE_PS, 0},            // table 4-15
            },
};

// The p2m leaf with memory that was looked up last: [first, first + bytes) of guest-physical memory.
struct near {
    u64 first;
    u64 bytes;
    uintptr_t base; // of gpa 0, if all memory were in that leaf
};

struct walker {
    const struct walk_context *context;
    struct walk_access access;
    struct walk *out;
    struct near near;
};

// What a walk knows on its way down.
struct descent {
    enum paging_mode mode;
    u64 gva;
    u64 by_cpu;   // bits that the processor makes reserved
    u64 table;    // gpa
    u64 all, any; // of the entries so far: the bits that all, and that any, of them have
};

enum step { STEP_DOWN, STEP_PAGE, STEP_FAULT };

enum paging_mode walk_mode(const struct paging_regs *regs)
{
    if (!(regs->cr0 & CR0_PG))
        return PAGING_NONE;
    if (!(regs->cr4 & CR4_PAE))
        return PAGING_32BIT;
    return regs->efer & EFER_LMA ? PAGING_4LEVEL : PAGING_PAE;
}

// Bits that must be zero because this guest's processor has no address line, or no XD, for them. In
// PAGING_4LEVEL bits 62:52 are ignored or a protection key.
static always_inline u64 cpu_reserved(const struct walk_context *context, enum paging_mode mode)
{
    unsigned width = context->physical_bits;
    if (mode == PAGING_32BIT)
        return BITS(21, 13) & ~(BIT(width < PSE36_BITS ? width : PSE36_BITS) - 1) >> PSE36_SHIFT;
    u64 wide = mode == PAGING_PAE ? BITS(62, 0) : BITS(51, 0);
    return (wide & ~(BIT(width) - 1)) | (context->regs.efer & EFER_NXE ? 0 : PTE_XD);
}

static always_inline u64 reserved_bits(enum paging_mode mode, unsigned level, bool page, u64 by_cpu)
{
    bool wide = mode != PAGING_32BIT || (level == 2 && page); // table 4-4
    return reserved_always[mode][level][page] | (wide ? by_cpu : 0);
}

static always_inline bool entry_is_page(const struct walk_context *context, enum paging_mode mode,
                                        unsigned level, bool ps)
{
    if (level == 2)
        return ps && (mode != PAGING_32BIT || context->regs.cr4 & CR4_PSE);
    if (level == 3)
        return ps && mode == PAGING_4LEVEL && context->has_1g_pages;
    return level == 1;
}

u64 walk_reserved_bits(const struct walk_context *context, enum paging_mode mode, unsigned level, bool leaf)
{
    bool page = entry_is_page(context, mode, level, leaf);
    return reserved_bits(mode, level, page, cpu_reserved(context, mode));
}

static bool user_access(const struct walker *w)
{
    return w->context->cpl == 3 && !w->access.implicit;
}

// Ends the walk by a #PF (4.7). `cause`: the flags beyond those that only describe the access.
static int page_fault(struct walker *w, unsigned level, u64 cause)
{
    if (w->access.kind == ACCESS_WRITE)
        cause |= PFEC_W;
    if (w->access.kind == ACCESS_FETCH && walk_tells_fetches(&w->context->regs))
        cause |= PFEC_I;
    if (user_access(w))
        cause |= PFEC_U;
    w->out->error_code = (u32)cause;
    w->out->fault_level = level;
    return ERR_INVALID;
}

// The same before the walk came to a page.
static enum step entry_fault(struct walker *w, unsigned level, u64 cause)
{
    struct walk *out = w->out;
    out->gpa = out->level = 0;
    out->user = out->writable = out->executable = out->global = false;
    (void)page_fault(w, level, cause);
    return STEP_FAULT;
}

// False: no memory there.
static bool find_near(const struct p2m *p2m, u64 gpa, struct near *near)
{
    struct p2m_leaf leaf = p2m_lookup(p2m, gpa_gfn(gpa));
    if (!p2m_is_ram(leaf.type))
        return false;
    near->bytes = PAGE_SIZE << 9 * (leaf.level - 1);
    near->first = align_down(gpa, near->bytes);
    near->base = (uintptr_t)mfn_ptr(leaf.mfn) - align_down(gpa, PAGE_SIZE);
    return true;
}

static always_inline u64 entry_load(struct walker *w, enum paging_mode mode, u64 gpa)
{
    if (gpa - w->near.first >= w->near.bytes && !find_near(w->context->p2m, gpa, &w->near))
        return mode == PAGING_32BIT ? UINT32_MAX : UINT64_MAX;
    if (mode == PAGING_32BIT)
        return __atomic_load_n((const u32 *)(w->near.base + gpa), __ATOMIC_RELAXED);
    return __atomic_load_n((const u64 *)(w->near.base + gpa), __ATOMIC_RELAXED);
}

// PAGING_PAE: the first entry is in a register. It has no rights and no accessed bit.
static always_inline enum step step_pdpte(struct walker *w, struct descent *d)
{
    unsigned index = d->gva >> 30 & 3;
    u64 pdpte = w->context->pdptes[index];
    w->out->entry_gpa[3] = d->table + index * sizeof(pdpte);
    w->out->entry[3] = pdpte;
    d->table = pdpte & PTE_ADDRESS;
    return pdpte & PTE_P ? STEP_DOWN : entry_fault(w, 3, 0);
}

static always_inline u64 leaf_gpa(enum paging_mode mode, unsigned level, u64 entry, u64 gva)
{
    u64 offset_bits = (PAGE_SIZE << shapes[mode].index_bits * (level - 1)) - 1;
    u64 high = mode == PAGING_32BIT && level == 2 ? (entry & PSE36_ADDRESS) << PSE36_SHIFT : 0;
    return high | (entry & PTE_ADDRESS & ~offset_bits) | (gva & offset_bits);
}

static always_inline enum step page_found(struct walker *w, const struct descent *d, unsigned level,
                                          u64 entry)
{
    struct walk *out = w->out;
    out->gpa = leaf_gpa(d->mode, level, entry, d->gva);
    out->level = level;
    out->user = d->all & PTE_US;
    out->writable = d->all & PTE_RW;
    out->executable = !(d->any & PTE_XD);
    out->global = entry & PTE_G && w->context->regs.cr4 & CR4_PGE;
    return STEP_PAGE;
}

// Reads and checks one entry.
static always_inline enum step step_down(struct walker *w, struct descent *d, unsigned level)
{
    const struct shape *shape = &shapes[d->mode];
    u64 index = d->gva >> (PAGE_SHIFT + shape->index_bits * (level - 1)) & (BIT(shape->index_bits) - 1);
    u64 gpa = d->table + (index << shape->entry_shift);
    u64 entry = entry_load(w, d->mode, gpa);
    w->out->entry_gpa[level] = gpa;
    w->out->entry[level] = entry;
    if (!(entry & PTE_P))
        return entry_fault(w, level, 0);
    bool page = entry_is_page(w->context, d->mode, level, entry & PTE_PS);
    if (entry & reserved_bits(d->mode, level, page, d->by_cpu))
        return entry_fault(w, level, PFEC_P | PFEC_RSVD);
    d->all &= entry;
    d->any |= entry;
    d->table = entry & PTE_ADDRESS;
    return page ? page_found(w, d, level, entry) : STEP_DOWN;
}

// Reads the entries from the top to the page's, and leaves in `out` all that does not depend on the access.
// Inlined once for each mode and level: the walk is on the path of each hidden fault of shadow paging.
static always_inline int read_entries(struct walker *w, enum paging_mode mode, u64 gva)
{
    u64 table = w->context->regs.cr3 & shapes[mode].cr3_bits;
    struct descent d = {mode, gva, cpu_reserved(w->context, mode), table, UINT64_MAX, 0};
    enum step step = mode == PAGING_PAE ? step_pdpte(w, &d) : STEP_DOWN;
    if (mode == PAGING_4LEVEL)
        step = step_down(w, &d, 4);
    if (mode == PAGING_4LEVEL && step == STEP_DOWN)
        step = step_down(w, &d, 3);
    if (step == STEP_DOWN)
        step = step_down(w, &d, 2);
    if (step == STEP_DOWN)
        step = step_down(w, &d, 1);
    return step == STEP_FAULT ? ERR_INVALID : 0;
}

// 4.6.1.
static bool rights_allow(const struct walker *w)
{
    const struct walk_context *context = w->context;
    const struct walk *out = w->out;
    bool user = user_access(w);
    if (user && !out->user)
        return false;
    if (w->access.kind == ACCESS_FETCH)
        return out->executable && (user || !out->user || !(context->regs.cr4 & CR4_SMEP));
    bool excused = context->rflags & RFLAGS_AC && !w->access.implicit;
    if (!user && out->user && context->regs.cr4 & CR4_SMAP && !excused)
        return false;
    return w->access.kind == ACCESS_READ || out->writable || (!user && !(context->regs.cr0 & CR0_WP));
}

// 4.6.2. Only pages of user mode have protection keys, and only data accesses are subject to them.
static bool key_denies(const struct walker *w)
{
    const struct walk_context *context = w->context;
    if (!(context->regs.cr4 & CR4_PKE) || w->out->mode != PAGING_4LEVEL)
        return false;
    if (!w->out->user || w->access.kind == ACCESS_FETCH)
        return false;
    unsigned key = w->out->entry[w->out->level] >> 59 & 15;
    u32 rights = context->pkru >> 2 * key;
    if (rights & PKRU_AD)
        return true;
    return rights & PKRU_WD && w->access.kind == ACCESS_WRITE &&
           (user_access(w) || context->regs.cr0 & CR0_WP);
}

static int judge(struct walker *w)
{
    u64 key = key_denies(w) ? PFEC_PK : 0;
    if (rights_allow(w) && !key) {
        w->out->error_code = w->out->fault_level = 0;
        return 0;
    }
    return page_fault(w, w->out->level, PFEC_P | key);
}

static bool slot_exchange(enum paging_mode mode, uintptr_t slot, u64 *seen, u64 wanted)
{
    if (mode != PAGING_32BIT)
        return __atomic_compare_exchange_n((u64 *)slot, seen, wanted, false, __ATOMIC_SEQ_CST,
                                           __ATOMIC_RELAXED);
    u32 seen32 = (u32)*seen;
    bool done = __atomic_compare_exchange_n((u32 *)slot, &seen32, (u32)wanted, false, __ATOMIC_SEQ_CST,
                                            __ATOMIC_RELAXED);
    *seen = seen32;
    return done;
}

// False: the entry is not any more what the walk has read. One that differs only in the bits that processors
// set is still the same: an entry may well serve two levels of one walk.
static bool entry_mark(struct walker *w, unsigned level, u64 bits)
{
    u64 *entry = &w->out->entry[level], gpa = w->out->entry_gpa[level];
    if ((*entry & bits) == bits)
        return true;
    struct p2m_leaf leaf = p2m_lookup(w->context->p2m, gpa_gfn(gpa));
    if (leaf.type != P2M_RAM)
        return true;
    uintptr_t slot = (uintptr_t)mfn_ptr(leaf.mfn) + gpa % PAGE_SIZE;
    u64 seen = *entry;
    while ((seen & bits) != bits) {
        if (slot_exchange(w->out->mode, slot, &seen, seen | bits))
            seen |= bits;
        else if ((seen ^ *entry) & ~(PTE_A | PTE_D))
            return false;
    }
    *entry = seen;
    return true;
}

// 4.8. False: an entry has changed.
static bool mark_entries(struct walker *w)
{
    unsigned leaf = w->out->level;
    for (unsigned level = shapes[w->out->mode].top; level > leaf; level--) {
        if (!entry_mark(w, level, PTE_A))
            return false;
    }
    return entry_mark(w, leaf, w->access.kind == ACCESS_WRITE ? PTE_A | PTE_D : PTE_A);
}

static int walk_none(u64 gva, struct walk *out)
{
    *out = (struct walk){.gpa = (u32)gva, .level = 1, .user = true, .writable = true, .executable = true};
    return 0;
}

// One pass: no accessed or dirty bits.
static int walk_judge(struct walker *w, u64 gva)
{
    int error;
    if (w->out->mode == PAGING_4LEVEL)
        error = read_entries(w, PAGING_4LEVEL, gva);
    else if (w->out->mode == PAGING_PAE)
        error = read_entries(w, PAGING_PAE, gva);
    else
        error = read_entries(w, PAGING_32BIT, gva);
    return error ? error : judge(w);
}

// After a pass. Walks again while entries change.
static int walk_mark(struct walker *w, u64 gva)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (mark_entries(w))
            return 0;
        if (walk_judge(w, gva))
            return ERR_INVALID;
    }
    // Somebody writes to the tables all the time. A #PF for a page that turns out to be present is what a
    // stale TLB entry gives on hardware: guests run the instruction again.
    return page_fault(w, w->out->level, PFEC_P);
}

int walk_guest(const struct walk_context *context, u64 gva, struct walk_access access, bool set_ad,
               struct walk *out)
{
    struct walker w = {context, access, out, {0, 0, 0}};
    out->mode = walk_mode(&context->regs);
    if (out->mode == PAGING_NONE)
        return walk_none(gva, out);
    int error = walk_judge(&w, gva);
    return error || !set_ad ? error : walk_mark(&w, gva);
}
