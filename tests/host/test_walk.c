// The guest walk against the model of model_walk.c. A small guest has tables in RAM, in read-only RAM, in
// holes, in a device, in direct memory and at the ends of the address spaces, which point at each other and
// at themselves. Each walk is compared in all that it returns, and all of the guest's memory with what the
// model makes of accessed and dirty bits. Then what happens when the guest's entries change during a walk.

// link: tests/host/model_walk.c hv/memory/walk.c hv/memory/p2m.c

// libs: -Wl,--wrap=p2m_lookup_tree
#include "support.h"

#include "model_walk.h"

#include <arch/cpu.h>
#include <hv/walk.h>

#define MACHINE     (64 * MIB)
#define BACKING     0x1000u // mfn of the guest's memory
#define BACKING_END 0x1400u
#define LINEAR      512u // frames that the p2m maps as one page of 2M

static struct frames frames;
static struct p2m p2m;
static u8 *expected; // what the guest's memory must be

// The guest. mfns count from BACKING; P2M_DIRECT has none that could be touched.
static const struct region {
    u64 gfn;
    u64 count;
    u64 mfn;
    enum p2m_type type;
} guest[] = {
    {0x400, LINEAR, 0, P2M_RAM},    {0x10, 1, 0x207, P2M_RAM},        {0x11, 1, 0x203, P2M_RAM},
    {0x12, 1, 0x209, P2M_RAM_RO},   {0x14, 1, 0, P2M_DEVICE},         {0x15, 1, 0, P2M_DIRECT},
    {0xfffff, 1, 0x20b, P2M_RAM},   {0x100000, 1, 0x20e, P2M_RAM},    {0x123456, 1, 0x201, P2M_RAM_RO},
    {0x3000000, 1, 0x205, P2M_RAM}, {BIT(36) - 1, 1, 0x200, P2M_RAM},
};

// Frames for tables: those with memory twice or more, so that most walks go on.
static const u64 tables[] = {
    0x400,   0x401, 0x5ff,   0x10,     0x11,     0x12,      0x10,        0x11,
    0x400,   0x401, 0x5ff,   0x10,     0x11,     0xfffff,   0x12,
    0x13, // nothing there
    0x14,    0x15,  0xfffff, 0x100000, 0x123456, 0x3000000, BIT(36) - 1,
    BIT(36), // beyond what a p2m has
};

static u8 *backing(u64 frame)
{
    return mfn_ptr(mfn(BACKING + frame));
}

static void machine_make(void)
{
    memory_make(MACHINE, &frames);
    assert_int_equal(frames_alloc_at(&frames, mfn(BACKING), 10, FRAME_GUEST), 0);
    assert_int_equal(p2m_init(&p2m, &frames, P2M_LEVEL_1G, memory_write_back), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(guest); i++) {
        const struct region *r = &guest[i];
        u64 target = r->type == P2M_DIRECT ? MACHINE / PAGE_SIZE + 5 : BACKING + r->mfn;
        int result = r->type == P2M_DEVICE ? p2m_clear(&p2m, gfn(r->gfn), r->count, r->type)
                                           : p2m_map(&p2m, gfn(r->gfn), mfn(target), r->count, r->type);
        assert_int_equal(result, 0);
    }
    assert_int_equal(p2m.leaves[2], 1);
    expected = calloc(BACKING_END - BACKING, PAGE_SIZE);
}

static void machine_gone(void)
{
    free(expected);
    memory_gone();
}

// The guest's memory at a gpa, or NULL.
static u8 *guest_memory(u64 gpa, enum p2m_type *type)
{
    for (unsigned i = 0; i < ARRAY_SIZE(guest); i++) {
        const struct region *r = &guest[i];
        u64 frame = gpa / PAGE_SIZE - r->gfn;
        *type = r->type;
        if (frame < r->count && (r->type == P2M_RAM || r->type == P2M_RAM_RO))
            return backing(r->mfn + frame) + gpa % PAGE_SIZE;
    }
    return NULL;
}

static bool memory_as_expected(bool all)
{
    if (all)
        return !memcmp(backing(0), expected, (BACKING_END - BACKING) * PAGE_SIZE);
    for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
        enum p2m_type type;
        u8 *memory = guest_memory(tables[i] * PAGE_SIZE, &type);
        if (memory && memcmp(memory, expected + (memory - backing(0)), PAGE_SIZE))
            return false;
    }
    return true;
}

// 4.8, in `expected` and in the entries that are to be returned.
static void model_mark(struct model *m, struct walk *out)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct model_entry *e = &m->list[i];
        u8 flags = 1u << 5;
        if (i == m->count - 1 && m->access.kind == ACCESS_WRITE)
            flags |= 1u << 6;
        if (!e->memory || e->type != P2M_RAM)
            continue;
        expected[e->memory - backing(0)] |= flags;
        out->entry[e->level] |= flags;
    }
}

// How often it came to what is to be tried, by mode and level.
static struct {
    unsigned page[4][5], absent[4][5], reserved[4][5];
    unsigned denied[4], key, marked, unmarkable, ones, twice, not_marked;
} happened;

static void note(const struct model *m, int result, const struct walk *out, bool set_ad)
{
    if (!result)
        happened.page[m->mode][out->level]++;
    else if (out->error_code & PFEC_PK)
        happened.key++;
    else if (out->error_code & PFEC_RSVD)
        happened.reserved[m->mode][out->fault_level]++;
    else if (out->error_code & PFEC_P)
        happened.denied[m->mode]++;
    else
        happened.absent[m->mode][out->fault_level]++;
    for (unsigned i = 0; i < m->count && !result; i++) {
        const struct model_entry *e = &m->list[i];
        bool is_marked = bit(e->value, 5);
        happened.ones += !e->memory;
        happened.marked += set_ad && e->memory && e->type == P2M_RAM && !is_marked;
        happened.unmarkable += set_ad && e->type == P2M_RAM_RO && !is_marked;
        happened.not_marked += !set_ad && !is_marked;
        for (unsigned j = 0; j < i; j++)
            happened.twice += set_ad && !is_marked && m->list[j].gpa == e->gpa;
    }
}

static void complain(const struct model *m, const char *what, u64 ours, u64 theirs)
{
    const struct walk_context *c = m->context;
    for (unsigned i = 0; i < m->count; i++)
        print_message("level %u: entry %llx at %llx\n", m->list[i].level,
                      (unsigned long long)m->list[i].value, (unsigned long long)m->list[i].gpa);
    fail_msg(
        "mode %d gva %llx kind %d implicit %d cpl %u cr0 %llx cr4 %llx efer %llx rflags %llx pkru %x width %u 1G %d: %s is %llx, the model has %llx",
        m->mode, (unsigned long long)m->gva, m->access.kind, m->access.implicit, c->cpl,
        (unsigned long long)c->regs.cr0, (unsigned long long)c->regs.cr4, (unsigned long long)c->regs.efer,
        (unsigned long long)c->rflags, c->pkru, c->physical_bits, c->has_1g_pages, what,
        (unsigned long long)ours, (unsigned long long)theirs);
}

#define SAME(what)                                                 \
    do {                                                           \
        if (ours.what != theirs.what)                              \
            complain(&m, #what, (u64)ours.what, (u64)theirs.what); \
    } while (0)

static int check_walk(const struct walk_context *context, u64 gva, struct walk_access access, bool set_ad)
{
    struct walk ours, theirs;
    struct model m = {.context = context,
                      .mode = model_mode(&context->regs),
                      .gva = gva,
                      .access = access,
                      .memory = guest_memory};
    m.by_user = context->cpl == 3 && !access.implicit;
    int wanted = model_judge(&m, &theirs);
    if (!wanted && set_ad)
        model_mark(&m, &theirs);
    memset(&ours, 0xa5, sizeof(ours));
    int result = walk_guest(context, gva, access, set_ad, &ours);
    if (result != wanted)
        complain(&m, "result", (u64)result, (u64)wanted);
    SAME(mode);
    SAME(error_code);
    SAME(fault_level);
    SAME(level);
    SAME(gpa);
    SAME(user);
    SAME(writable);
    SAME(executable);
    SAME(global);
    for (unsigned level = 1; level <= 4; level++) {
        if (!theirs.entry_gpa[level] || level < theirs.fault_level)
            continue;
        SAME(entry[level]);
        SAME(entry_gpa[level]);
    }
    if (!memory_as_expected(false))
        complain(&m, "memory", 1, 0);
    note(&m, result, &theirs, set_ad);
    return result;
}

static void entry_write(enum paging_mode mode, u64 gpa, u64 value)
{
    enum p2m_type type;
    u8 *memory = guest_memory(gpa, &type);
    assert_non_null(memory);
    size_t size = mode == PAGING_32BIT ? 4 : 8;
    memcpy(memory, &value, size);
    memcpy(expected + (memory - backing(0)), &value, size);
}

// Paging registers for a mode with all else off.
static struct paging_regs mode_regs(enum paging_mode mode)
{
    return (struct paging_regs){
        .cr0 = CR0_PE | (mode == PAGING_NONE ? 0 : CR0_PG),
        .cr4 = mode >= PAGING_PAE ? CR4_PAE : 0,
        .efer = mode == PAGING_4LEVEL ? EFER_LME | EFER_LMA : 0,
    };
}

static bool chance(unsigned percent)
{
    return random_below(100) < percent;
}

static u64 random_bit(u64 value, unsigned percent)
{
    return chance(percent) ? value : 0;
}

// A frame that an entry can point to, nearly always.
static u64 random_table(const struct walk_context *context, enum paging_mode mode)
{
    unsigned width = mode == PAGING_32BIT ? 32 : context->physical_bits;
    u64 frame;
    do
        frame = tables[random_below(ARRAY_SIZE(tables))];
    while (frame * PAGE_SIZE >> width && !chance(1));
    return frame;
}

// Mostly legal at some level, with rights that mostly permit.
static u64 random_entry(const struct walk_context *context, enum paging_mode mode)
{
    u64 ignored = 7ull << 9 | 3ull << 3 | (mode == PAGING_4LEVEL ? 0x7ffull << 52 : 0);
    u64 page = random_u64() & (BIT(context->physical_bits) - 1);
    u64 entry = random_u64() & ignored;
    entry |= random_bit(BIT(0), 97) | random_bit(BIT(1), 85) | random_bit(BIT(2), 80);
    entry |= random_bit(BIT(5), 50) | random_bit(BIT(6), 50) | random_bit(BIT(8), 50);
    entry |= random_bit(BIT(63), context->regs.efer & EFER_NXE ? 8 : 1);
    if (chance(mode == PAGING_4LEVEL ? 80 : 70))
        entry |= random_table(context, mode) * PAGE_SIZE;
    else if (mode == PAGING_32BIT)
        entry |= (page & 0xffc00000) | (page >> 32 & 0xff) << 13 | random_bit(BIT(12), 50) | BIT(7);
    else
        entry |= align_down(page, chance(65) ? GIB : 2 * MIB) | random_bit(BIT(12), 50) | BIT(7);
    return entry ^ random_bit(BIT(random_below(mode == PAGING_32BIT ? 32 : 64)), 4);
}

#define INDICES 5u

struct round {
    enum paging_mode mode;
    struct walk_context context;
    unsigned index[INDICES]; // the entries that are used
};

static void round_fill(struct round *r)
{
    unsigned size = r->mode == PAGING_32BIT ? 4 : 8;
    for (unsigned i = 0; i < INDICES; i++)
        r->index[i] = chance(20) ? PAGE_SIZE / size - 1 : random_below(PAGE_SIZE / size);
    for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
        enum p2m_type type;
        if (!guest_memory(tables[i] * PAGE_SIZE, &type))
            continue;
        for (unsigned j = 0; j < INDICES; j++)
            entry_write(r->mode, tables[i] * PAGE_SIZE + r->index[j] * size,
                        random_entry(&r->context, r->mode));
    }
}

static void round_begin(struct round *r, enum paging_mode mode)
{
    static const u8 widths[] = {32, 36, 39, 40, 46, 48, 52};
    r->mode = mode;
    r->context = (struct walk_context){.p2m = &p2m, .regs = mode_regs(mode)};
    struct walk_context *c = &r->context;
    c->physical_bits = widths[random_below(ARRAY_SIZE(widths))];
    c->has_1g_pages = chance(70);
    c->regs.cr4 |= random_bit(CR4_PSE, 70);
    c->regs.efer |= random_bit(EFER_NXE, 75);
    round_fill(r);
    for (unsigned i = 0; i < 4; i++)
        c->pdptes[i] = random_table(c, mode) * PAGE_SIZE | random_bit(1, 90) | (random_u64() & 0xe18);
}

// What may differ between two walks in the same tables.
static void random_context(struct round *r)
{
    struct walk_context *c = &r->context;
    c->regs.cr0 = (c->regs.cr0 & ~CR0_WP) | random_bit(CR0_WP, 50);
    c->regs.cr4 &= ~(CR4_SMEP | CR4_SMAP | CR4_PGE | CR4_PKE);
    c->regs.cr4 |= random_u64() & (CR4_SMEP | CR4_SMAP | CR4_PGE | CR4_PKE);
    u64 frame;
    do
        frame = random_table(c, r->mode);
    while (r->mode != PAGING_4LEVEL && frame >> 20);
    c->regs.cr3 = frame * PAGE_SIZE | (random_u64() & 0xfff);
    c->rflags = RFLAGS_FIXED | random_bit(RFLAGS_AC, 50);
    c->cpl = chance(50) ? 3 : random_below(3);
    c->pkru = (u32)(random_u64() & random_u64() & random_u64());
}

static u64 random_gva(const struct round *r)
{
    unsigned index_bits = r->mode == PAGING_32BIT ? 10 : 9;
    unsigned count = r->mode == PAGING_4LEVEL ? 4 : 2;
    bool same = chance(25); // a table that points at itself is then met with one and the same entry
    unsigned index = r->index[random_below(INDICES)];
    u64 gva = random_u64() << (12 + count * index_bits);
    for (unsigned i = 0; i < count; i++) {
        gva |= (u64)index << (12 + i * index_bits);
        if (!same)
            index = r->index[random_below(INDICES)];
    }
    return gva | (random_u64() & 0xfff);
}

static void random_rounds(enum paging_mode mode, unsigned rounds)
{
    struct round r;
    for (unsigned i = 0; i < rounds; i++) {
        round_begin(&r, mode);
        for (unsigned j = 0; j < 64; j++) {
            random_context(&r);
            struct walk_access access = {(enum access)random_below(3), chance(15)};
            check_walk(&r.context, random_gva(&r), access, chance(50));
        }
        if (i % 16 == 0)
            assert_true(memory_as_expected(true));
    }
    assert_true(memory_as_expected(true));
}

static void test_random(void **unused)
{
    (void)unused;
    memset(&happened, 0, sizeof(happened));
    machine_make();
    random_rounds(PAGING_32BIT, 600);
    random_rounds(PAGING_PAE, 600);
    random_rounds(PAGING_4LEVEL, 1500);
    machine_gone();
    for (enum paging_mode mode = PAGING_32BIT; mode <= PAGING_4LEVEL; mode++) {
        unsigned top = mode == PAGING_32BIT ? 2 : mode == PAGING_PAE ? 3 : 4;
        for (unsigned level = 1; level <= top; level++) {
            bool has_page = level < 3 || (level == 3 && mode == PAGING_4LEVEL);
            bool has_reserved = mode == PAGING_32BIT ? level == 2 : mode == PAGING_PAE ? level < 3 : true;
            print_message("# mode %d level %u: %u pages, %u absent, %u reserved\n", mode, level,
                          happened.page[mode][level], happened.absent[mode][level],
                          happened.reserved[mode][level]);
            assert_true(!has_page == !happened.page[mode][level] &&
                        (!has_page || happened.page[mode][level] > 300));
            assert_true(happened.absent[mode][level] > 100);
            assert_true(has_reserved ? happened.reserved[mode][level] > 100
                                     : !happened.reserved[mode][level]);
        }
        assert_true(happened.denied[mode] > 1000);
    }
    print_message(
        "# %u marked, %u not to be, %u in read-only memory, %u twice in a walk, %u ones, %u by key\n",
        happened.marked, happened.not_marked, happened.unmarkable, happened.twice, happened.ones,
        happened.key);
    assert_true(happened.key > 200 && happened.marked > 1000 && happened.unmarkable > 100 &&
                happened.ones > 20 && happened.twice > 50 && happened.not_marked > 1000);
}

// A table for each level in RAM, one entry in each; `index` is the same in all.
static const u64 chain[5] = {0, 0x10, 0x11, 0x401, 0x100000};
#define CHAIN_INDEX 37u
#define CHAIN_PAGE  0x77000ull

static u64 chain_gpa(enum paging_mode mode, unsigned level)
{
    return chain[level] * PAGE_SIZE + CHAIN_INDEX * (mode == PAGING_32BIT ? 4 : 8);
}

static u64 chain_gva(enum paging_mode mode)
{
    unsigned width = mode == PAGING_32BIT ? 10 : 9;
    u64 gva = 0x123;
    for (unsigned i = 0; i < (mode == PAGING_4LEVEL ? 4 : 2); i++)
        gva |= (u64)CHAIN_INDEX << (12 + i * width);
    return gva;
}

static unsigned chain_top(enum paging_mode mode)
{
    return mode == PAGING_4LEVEL ? 4 : 2;
}

// Entries that permit all, without accessed and dirty bits.
static struct walk_context chain_make(enum paging_mode mode)
{
    struct walk_context c = {.p2m = &p2m, .regs = mode_regs(mode), .cpl = 3, .physical_bits = 40};
    for (unsigned level = chain_top(mode); level >= 1; level--)
        entry_write(mode, chain_gpa(mode, level),
                    (level == 1 ? CHAIN_PAGE : chain[level - 1] * PAGE_SIZE) | 7);
    c.regs.cr3 = chain[chain_top(mode)] * PAGE_SIZE;
    for (unsigned i = 0; i < 4; i++)
        c.pdptes[i] = chain[2] * PAGE_SIZE | 1;
    return c;
}

// All combinations of what judges an access, for rights that one entry or another withholds.
static void check_combinations(struct walk_context *c, enum paging_mode mode)
{
    struct paging_regs base = c->regs;
    for (unsigned i = 0; i < 1u << 12; i++) {
        unsigned kind = i >> 8 & 3;
        if (kind > ACCESS_FETCH)
            continue;
        c->regs.cr0 = base.cr0 | (i & 1 ? CR0_WP : 0);
        c->regs.efer = base.efer | (i & 2 ? EFER_NXE : 0);
        c->regs.cr4 = base.cr4 | (i & 4 ? CR4_SMEP : 0) | (i & 8 ? CR4_SMAP : 0) | (i & 16 ? CR4_PGE : 0) |
                      (i & 32 ? CR4_PKE : 0);
        c->cpl = i >> 6 & 3;
        c->rflags = i & 1u << 10 ? RFLAGS_AC : 0;
        struct walk_access access = {(enum access)kind, i >> 11};
        check_walk(c, chain_gva(mode), access, false);
    }
    c->regs = base;
}

static void combinations(enum paging_mode mode)
{
    unsigned top = chain_top(mode);
    for (unsigned rights = 0; rights < 8; rights++) {
        for (unsigned key = 0; key < (mode == PAGING_4LEVEL ? 4 : 1); key++) {
            struct walk_context c = chain_make(mode);
            c.pkru = ~(0x55555555u * key); // the other keys have other rights than key 5
            c.pkru = (c.pkru & ~(3u << 10)) | key << 10;
            u64 page = CHAIN_PAGE | 0x107 | (mode == PAGING_4LEVEL ? 5ull << 59 : 0);
            entry_write(mode, chain_gpa(mode, 1), page);
            for (unsigned i = 0; i < 3; i++) { // R/W, U/S, XD
                unsigned level = 1 + random_below(top);
                u64 entry = 0;
                enum p2m_type type;
                memcpy(&entry, guest_memory(chain_gpa(mode, level), &type), mode == PAGING_32BIT ? 4 : 8);
                if (rights & 1u << i)
                    entry_write(mode, chain_gpa(mode, level), entry ^ (i == 2 ? BIT(63) : BIT(1 + i)));
            }
            check_combinations(&c, mode);
        }
    }
}

static void test_combinations(void **unused)
{
    (void)unused;
    machine_make();
    for (enum paging_mode mode = PAGING_32BIT; mode <= PAGING_4LEVEL; mode++)
        combinations(mode);
    machine_gone();
}

static void test_mode(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 32; i++) {
        struct paging_regs regs = {
            .cr0 = CR0_PE | (i & 1 ? CR0_PG : 0) | (i & 8 ? CR0_WP : 0),
            .cr4 = (i & 2 ? CR4_PAE : 0) | (i & 16 ? CR4_PSE : 0),
            .efer = (i & 4 ? EFER_LMA : 0) | EFER_LME,
        };
        assert_int_equal(walk_mode(&regs), model_mode(&regs));
    }
}

static void test_no_paging(void **unused)
{
    (void)unused;
    struct walk_context c = {.p2m = NULL, .regs = mode_regs(PAGING_NONE), .cpl = 3, .physical_bits = 36};
    c.regs.cr4 = ~0ull;
    for (unsigned kind = ACCESS_READ; kind <= ACCESS_FETCH; kind++) {
        struct walk out;
        assert_int_equal(walk_guest(&c, 0xabc12345678ull, (struct walk_access){kind, false}, true, &out), 0);
        assert_int_equal(out.mode, PAGING_NONE);
        assert_int_equal(out.gpa, 0x12345678);
        assert_int_equal(out.level, 1);
        assert_true(out.user && out.writable && out.executable && !out.global);
        assert_int_equal(out.error_code | out.fault_level, 0);
    }
}

// walk_reserved_bits, bit by bit. PDPTEs of PAE paging, which a walk does not check, too.
static void test_reserved_bits(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 21 * 16; i++) {
        struct walk_context c = {.physical_bits = 32 + i / 16, .has_1g_pages = i & 1};
        for (enum paging_mode mode = PAGING_32BIT; mode <= PAGING_4LEVEL; mode++) {
            c.regs = mode_regs(mode);
            c.regs.efer |= i & 2 ? EFER_NXE : 0;
            c.regs.cr4 |= i & 4 ? CR4_PSE : 0;
            struct model m = {.context = &c, .mode = mode};
            for (unsigned level = 1; level <= (mode == PAGING_32BIT ? 2
                                               : mode == PAGING_PAE ? 3
                                                                    : 4);
                 level++) {
                bool leaf = i & 8;
                bool page = model_page(&m, level, leaf ? BIT(7) : 0);
                u64 reserved = walk_reserved_bits(&c, mode, level, leaf);
                for (unsigned n = 0; n < (mode == PAGING_32BIT ? 32 : 64); n++)
                    assert_int_equal(bit(reserved, n), model_reserved(&c, mode, level, page, BIT(n)));
            }
        }
    }
}

// What changes while a walk is under way: walk_guest looks the p2m up for each entry it reads and each it
// marks, as the tables of the chain are in p2m leaves of their own.
struct p2m_leaf __real_p2m_lookup_tree(const struct p2m *p, gfn_t g);
struct p2m_leaf __wrap_p2m_lookup_tree(const struct p2m *p, gfn_t g);

static void (*meddle)(enum paging_mode mode);
static enum paging_mode meddled_mode;
static unsigned lookups, meddle_at; // 0: at each
static bool counting;

// So that the next lookup comes by here, too.
static void regions_forget(const struct p2m *p)
{
    memset(p->regions, 0xff, P2M_REGIONS * sizeof(*p->regions));
}

struct p2m_leaf __wrap_p2m_lookup_tree(const struct p2m *p, gfn_t g)
{
    lookups++;
    if (meddle && (!meddle_at || lookups == meddle_at))
        meddle(meddled_mode);
    struct p2m_leaf leaf = __real_p2m_lookup_tree(p, g);
    if (counting)
        regions_forget(p);
    return leaf;
}

static int meddled_walk(enum paging_mode mode, void (*how)(enum paging_mode mode), unsigned at,
                        struct walk *out)
{
    struct walk_context c = chain_make(mode);
    meddle = how;
    meddled_mode = mode;
    meddle_at = at;
    lookups = 0;
    counting = true;
    regions_forget(c.p2m);
    int result = walk_guest(&c, chain_gva(mode), (struct walk_access){ACCESS_WRITE, false}, true, out);
    meddle = NULL;
    counting = false;
    return result;
}

static u64 chain_entry(enum paging_mode mode, unsigned level)
{
    u64 entry = 0;
    enum p2m_type type;
    memcpy(&entry, guest_memory(chain_gpa(mode, level), &type), mode == PAGING_32BIT ? 4 : 8);
    return entry;
}

static void meddle_moves_page(enum paging_mode mode)
{
    entry_write(mode, chain_gpa(mode, 1), 0x99000 | 7);
}

static void meddle_unmaps(enum paging_mode mode)
{
    entry_write(mode, chain_gpa(mode, 1), CHAIN_PAGE | 6);
}

static void meddle_protects_top(enum paging_mode mode)
{
    entry_write(mode, chain_gpa(mode, chain_top(mode)), chain_entry(mode, chain_top(mode)) & ~BIT(1));
}

static void meddle_accesses(enum paging_mode mode)
{
    entry_write(mode, chain_gpa(mode, 1), chain_entry(mode, 1) | BIT(5));
}

static void meddle_next_entry(enum paging_mode mode)
{
    u64 size = mode == PAGING_32BIT ? 4 : 8;
    entry_write(mode, chain_gpa(mode, 1) + size, 0x55aa0000);
    entry_write(mode, chain_gpa(mode, 1) - size, 0xaa550000);
}

static void meddle_always(enum paging_mode mode)
{
    entry_write(mode, chain_gpa(mode, 1), (chain_entry(mode, 1) & ~0x60ull) + PAGE_SIZE);
}

static void changes(enum paging_mode mode)
{
    struct walk out;
    unsigned top = chain_top(mode);
    memcpy(expected, backing(0), (BACKING_END - BACKING) * PAGE_SIZE);
    assert_int_equal(meddled_walk(mode, NULL, 0, &out), 0);
    assert_int_equal(lookups, 2 * top);
    unsigned last = 2 * top; // before the page's entry is marked

    assert_int_equal(meddled_walk(mode, meddle_moves_page, last, &out), 0);
    assert_int_equal(out.gpa, 0x99123);
    assert_int_equal(out.entry[1], 0x99067);
    assert_int_equal(chain_entry(mode, 1), 0x99067);

    assert_int_equal(meddled_walk(mode, meddle_unmaps, last, &out), ERR_INVALID);
    assert_int_equal(out.error_code, PFEC_W | PFEC_U);
    assert_int_equal(out.fault_level, 1);
    assert_int_equal(chain_entry(mode, 1), CHAIN_PAGE | 6);

    assert_int_equal(meddled_walk(mode, meddle_protects_top, top + 1, &out), ERR_INVALID);
    assert_int_equal(out.error_code, PFEC_P | PFEC_W | PFEC_U);
    assert_int_equal(chain_entry(mode, 1), CHAIN_PAGE | 7);

    assert_int_equal(meddled_walk(mode, meddle_accesses, last, &out), 0);
    assert_int_equal(lookups, last); // not walked again
    assert_int_equal(out.entry[1], CHAIN_PAGE | 0x67);
    assert_int_equal(chain_entry(mode, 1), CHAIN_PAGE | 0x67);

    assert_int_equal(meddled_walk(mode, meddle_next_entry, last, &out), 0);
    assert_int_equal(lookups, last);
    for (unsigned level = 1; level <= top; level++)
        entry_write(mode, chain_gpa(mode, level), chain_entry(mode, level)); // marked, as was checked
    assert_true(memory_as_expected(true));

    assert_int_equal(meddled_walk(mode, meddle_always, 0, &out), ERR_INVALID);
    assert_int_equal(out.error_code, PFEC_P | PFEC_W | PFEC_U);
    assert_int_equal(out.fault_level, 1);
    assert_int_equal(chain_entry(mode, 1) & 0x60, 0);
    assert_in_range(lookups, 3 * last, 20 * last);
}

static void test_changes(void **unused)
{
    (void)unused;
    machine_make();
    changes(PAGING_32BIT);
    changes(PAGING_PAE);
    changes(PAGING_4LEVEL);
    machine_gone();
}

int main(void)
{
    random_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mode),          cmocka_unit_test(test_no_paging),
        cmocka_unit_test(test_reserved_bits), cmocka_unit_test(test_combinations),
        cmocka_unit_test(test_random),        cmocka_unit_test(test_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
