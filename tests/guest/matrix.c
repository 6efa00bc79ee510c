// The access-bit matrix: entries of every combination of present, write, user, NX, PS and a reserved bit, at
// one level, at two levels, and the rights at all levels; under CR0.WP, EFER.NXE, CR4.SMEP, CR4.SMAP and
// RFLAGS.AC; read, written and executed in both rings. What happens and the accessed and dirty bits must be
// those of paging_model.c. Prints how many accesses there were and a checksum of what they did. Neighbour:
// torture.c, where entries are cached.
#include "paging_model.h"

#define MATRIX     (2ull << 39)
#define ALL        64 // combinations of enum shape
#define RIGHTS     8  // of W, U, NX
#define SITUATIONS 32 // of enum situation
#define ACCESSES   6  // kinds of access in two rings
#define VALUE      0x13572468u

enum shape { SHAPE_W = 1, SHAPE_U = 2, SHAPE_NX = 4, SHAPE_P = 8, SHAPE_PS = 16, SHAPE_RESERVED = 32 };
enum situation {
    SITUATION_WP = 1,
    SITUATION_NXE = 2,
    SITUATION_SMEP = 4,
    SITUATION_SMAP = 8,
    SITUATION_AC = 16
};

static u64 matrix_pdpt[512] __attribute__((aligned(4096)));
static u64 matrix_pd[512] __attribute__((aligned(4096)));
static u64 matrix_pt[512] __attribute__((aligned(4096)));
static u8 matrix_frame[4096] __attribute__((aligned(4096)));

static struct {
    struct paging_features has;
    struct controls controls;
    u64 gva;
    u64 *slot[5];    // the entry of each level
    u64 leads_to[5]; // its next table
    u64 accesses, sum;
    unsigned variant; // runs through what the combinations leave open
} m;

static void matrix_start(void)
{
    m.has = paging_features();
    m.gva = MATRIX + (u64)matrix_frame;
    m.accesses = m.sum = m.variant = 0;
    m.slot[4] = &boot_pml4[m.gva >> 39];
    m.slot[3] = &matrix_pdpt[m.gva >> 30 & 511];
    m.slot[2] = &matrix_pd[m.gva >> 21 & 511];
    m.slot[1] = &matrix_pt[m.gva >> 12 & 511];
    m.leads_to[4] = (u64)matrix_pdpt;
    m.leads_to[3] = (u64)matrix_pd;
    m.leads_to[2] = (u64)matrix_pt;
    m.leads_to[1] = (u64)matrix_frame;
    access_code(matrix_frame, VALUE);
}

// One of the bits that are reserved in such an entry: above MAXPHYADDR, or where a large page's address has
// none.
static u64 reserved_bit(unsigned level, bool large)
{
    unsigned low = large ? 9 * (level - 1) - 1 : 0; // bits 13..20, 13..29
    unsigned choice = m.variant % (low + 52 - m.has.physical_bits);
    return choice < low ? BIT(13 + choice) : BIT(m.has.physical_bits + choice - low);
}

// The entry of that shape; accessed and dirty are set in it now and then.
static u64 entry_of(unsigned level, unsigned shape)
{
    static const u64 flags[] = {PAGE_W, PAGE_U, PAGE_NX, PAGE_P, PAGE_PS};
    bool large = shape & SHAPE_PS && (level == 2 || (level == 3 && m.has.large_1g));
    u64 page = BIT(12 + 9 * (level - 1)) - 1;
    u64 entry = large ? (u64)matrix_frame & ~page : m.leads_to[level];
    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++)
        entry |= shape & 1u << i ? flags[i] : 0;
    if (shape & SHAPE_RESERVED && (large || m.has.physical_bits < 52))
        entry |= reserved_bit(level, large);
    entry |= m.variant >> level & 1 ? PAGE_A : 0;
    return entry | (m.variant >> (level + 2) & 1 ? PAGE_D : 0);
}

static void put(unsigned level, unsigned shape)
{
    u64 entry = entry_of(level, shape);
    if (*(volatile u64 *)m.slot[level] != entry)
        *(volatile u64 *)m.slot[level] = entry;
}

static void put_all(const unsigned shapes[5])
{
    for (unsigned level = 1; level <= 4; level++)
        put(level, shapes[level]);
    asm volatile("invlpg (%0)" ::"r"(m.gva) : "memory");
}

// A fault may or may not set the accessed flags of the entries that the walk came through (4.8).
static bool entries_agree(const struct model_walk *w)
{
    for (unsigned i = 0; i < w->count; i++) {
        u64 now = *(volatile u64 *)w->entry[i];
        if (w->fault ? (now ^ w->before[i]) & ~(u64)PAGE_A : now != w->after[i])
            return false;
    }
    return true;
}

static bool result_agrees(const struct model_walk *w, struct access a, struct outcome o, u64 value)
{
    volatile u64 *word = (u64 *)matrix_frame;
    if (w->fault)
        return o.fault && o.error == w->error && o.cr2 == a.gva && *word != value;
    if (o.fault || w->gpa != (u64)matrix_frame)
        return false;
    return a.kind == ACCESS_READ    ? o.value == *word
           : a.kind == ACCESS_WRITE ? *word == value
                                    : o.value == VALUE;
}

static void report(const struct model_walk *w, struct access a, struct outcome o)
{
    const struct controls *c = &m.controls;
    fail("WP %u NXE %u SMEP %u SMAP %u AC %u, %s kind %u: expected %s error %lx, got %s error %lx cr2 %lx",
         c->wp, c->nxe, c->smep, c->smap, c->ac, a.user ? "user" : "supervisor", a.kind,
         w->fault ? "#PF" : "success", w->fault ? w->error : 0, o.fault ? "#PF" : "success",
         o.fault ? o.error : 0, o.fault ? o.cr2 : 0);
    for (unsigned i = 0; i < w->count; i++)
        fail("level %u: entry %lx, expected after %lx, got %lx", 4 - i, w->before[i],
             w->fault ? w->before[i] : w->after[i], *w->entry[i]);
}

static void try_access(unsigned which)
{
    struct access a = {m.gva, which % ACCESS_KINDS, which >= ACCESS_KINDS};
    u64 value = 0xA5A5000000000000 + m.accesses;
    struct model_walk w;
    model_walk(&w, &m.controls, (u64)boot_pml4, a);
    if (a.kind == ACCESS_FETCH)
        access_code(matrix_frame, VALUE);
    struct outcome o = access_do(&m.controls, a, value);
    if (!result_agrees(&w, a, o, value) || !entries_agree(&w))
        report(&w, a, o);
    m.accesses++;
    m.sum = (m.sum ^ (o.fault ? o.error : 0x100)) * 0x100000001B3;
}

// False where the processor lacks one of them.
static bool situation_set(unsigned situation)
{
    struct controls c = {situation & SITUATION_WP, situation & SITUATION_NXE, situation & SITUATION_SMEP,
                         situation & SITUATION_SMAP, situation & SITUATION_AC};
    if ((c.nxe && !m.has.nx) || (c.smep && !m.has.smep) || (c.smap && !m.has.smap))
        return false;
    controls_set(&c);
    m.controls = c;
    return true;
}

#define OPEN (SHAPE_P | SHAPE_W | SHAPE_U)

static void one_level(unsigned level)
{
    unsigned shapes[5] = {0, OPEN, OPEN, OPEN, OPEN};
    for (shapes[level] = 0; shapes[level] < ALL; shapes[level]++) {
        for (unsigned which = 0; which < ACCESSES; which++, m.variant++) {
            put_all(shapes);
            try_access(which);
        }
    }
}

static void finish(void)
{
    *m.slot[4] = 0;
    print("# matrix: %lu accesses, sum %lx\n", m.accesses, m.sum);
}

// Every combination at one level, in every situation, all accesses; the other levels permit everything.
static void test_one_level(void)
{
    matrix_start();
    for (unsigned situation = 0; situation < SITUATIONS; situation++) {
        for (unsigned level = 1; level <= 4 && situation_set(situation); level++)
            one_level(level);
    }
    finish();
}

// Whether a combination is one of those for this situation: each has one of the 32.
static bool is_turn(unsigned combination, unsigned situation)
{
    return combination * 0x9E3779B1u >> 27 == situation;
}

// One access of the six.
static void one_pair(unsigned high, unsigned low, unsigned combination)
{
    unsigned shapes[5] = {0, OPEN, OPEN, OPEN, OPEN};
    shapes[high] = combination / ALL;
    shapes[low] = combination % ALL;
    put_all(shapes);
    try_access(m.variant % ACCESSES);
    m.variant++;
}

static void pairs(unsigned high, unsigned low, unsigned situation)
{
    for (unsigned combination = 0; combination < ALL * ALL; combination++) {
        if (is_turn(combination, situation))
            one_pair(high, low, combination);
    }
}

// Every pair of combinations at every two levels: which of two reasons for a fault comes first.
static void test_two_levels(void)
{
    matrix_start();
    for (unsigned situation = 0; situation < SITUATIONS; situation++) {
        if (!situation_set(situation))
            continue;
        for (unsigned high = 4; high > 1; high--) {
            for (unsigned low = high - 1; low > 0; low--)
                pairs(high, low, situation);
        }
    }
    finish();
}

static void one_right(unsigned leaf, unsigned combination)
{
    unsigned shapes[5] = {0, OPEN, OPEN, OPEN, OPEN};
    for (unsigned level = leaf; level <= 4; level++, combination /= RIGHTS)
        shapes[level] = SHAPE_P | combination % RIGHTS;
    shapes[leaf] |= leaf > 1 ? SHAPE_PS : 0;
    for (unsigned which = 0; which < ACCESSES; which++, m.variant++) {
        put_all(shapes);
        try_access(which);
    }
}

static void rights(unsigned leaf, unsigned situation)
{
    unsigned combinations = 1u << 3 * (5 - leaf);
    for (unsigned combination = 0; combination < combinations; combination++) {
        if (leaf == 3 || is_turn(combination, situation))
            one_right(leaf, combination);
    }
}

// Every combination of rights at all levels, for pages of each size, all accesses.
static void test_rights(void)
{
    matrix_start();
    for (unsigned situation = 0; situation < SITUATIONS; situation++) {
        for (unsigned leaf = 1; leaf <= (m.has.large_1g ? 3 : 2) && situation_set(situation); leaf++)
            rights(leaf, situation);
    }
    finish();
}

static const struct test tests[] = {
    {"one_level", test_one_level},
    {"two_levels", test_two_levels},
    {"rights", test_rights},
};
GROUP(group_matrix, "matrix", tests, false);
