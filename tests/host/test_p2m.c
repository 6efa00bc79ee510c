// The p2m against a flat array of (mfn, type) over six gibibytes in three places of the gfn space.
// After each change the tree is checked with lookups, and with a walk of its entries that shares no code with
// hv/memory/p2m.c: each entry has exactly the bits that the array asks for and is as large as it may be, so
// that the numbers of tables and leaves follow too.
// link: hv/memory/p2m.c
#include "support.h"

#include <hv/p2m.h>

#define REGION       BIT(18) // frames of 1G
#define REGIONS      6u
#define SPACE        BIT(P2M_GFN_BITS)
#define POOL         8192u // frames for tables
#define GUEST_FIRST  REGION
#define GUEST_END    (4 * REGION)
#define MONITORS_OWN (3 * REGION + 0x12345) // one frame amid the guest's
#define DIRECT_FIRST (16 * REGION)          // beyond all RAM
#define FLAGS        (EPT_ACCESSED | EPT_DIRTY)

// The 1G regions of the gfn space that the array describes: the bottom, around 512G, and the top.
static const u64 region_gib[REGIONS] = {0, 1, 511, 512, 513, (SPACE >> 18) - 1};

static struct frames frames;
static struct p2m p2m;
static u64 *model;              // by region: mfn << 8 | type
static enum p2m_type elsewhere; // what all the rest of the space is

// The machine's memory types change in the second gibibyte of guest memory: a few frames, and some megabytes.
static const struct {
    u64 end;
    u8 type;
} memtypes[] = {
    {2 * REGION + 0x8803, 6},  {2 * REGION + 0x8807, 0},  {2 * REGION + 0x9000, 4},
    {2 * REGION + 0x20000, 6}, {2 * REGION + 0x20a00, 1}, {UINT64_MAX, 6},
};

static unsigned memtype_index(u64 frame)
{
    unsigned i = 0;
    while (frame >= memtypes[i].end)
        i++;
    return i;
}

static u8 machine_memtype(const struct p2m *p, mfn_t first, u64 count)
{
    (void)p;
    unsigned i = memtype_index(first.n);
    return i == memtype_index(first.n + count - 1) ? memtypes[i].type : P2M_MEMTYPE_MIXED;
}

static u64 *model_at(u64 g)
{
    for (unsigned r = 0; r < REGIONS; r++) {
        if (g >> 18 == region_gib[r])
            return &model[r * REGION + g % REGION];
    }
    return NULL;
}

static u64 model_value(u64 g)
{
    const u64 *at = model_at(g);
    return at ? *at : (u64)elsewhere;
}

static bool translates(u64 value)
{
    return (value & 0xff) == P2M_RAM || (value & 0xff) == P2M_RAM_RO || (value & 0xff) == P2M_DIRECT;
}

// Whether frames [g, g + 512^(level-1)), within a region, must be one entry. `g` is aligned.
static bool model_single(u64 g, unsigned level)
{
    u64 count = BIT(9 * (level - 1));
    u64 value = model_value(g);
    u64 step = translates(value) ? 0x100 : 0;
    if (level == 1)
        return true;
    const u64 *at = model_at(g);
    if (!at)
        return true;
    if (step && (level > p2m.max_level || (value >> 8) % count))
        return false;
    if (at[count - 1] != value + (count - 1) * step)
        return false;
    if (step && (value & 0xff) != P2M_DIRECT &&
        machine_memtype(NULL, mfn(value >> 8), count) == P2M_MEMTYPE_MIXED)
        return false;
    for (u64 i = 0; i < count; i++) {
        if (at[i] != value + i * step)
            return false;
    }
    return true;
}

static bool model_single_512g(u64 g)
{
    for (unsigned r = 0; r < REGIONS; r++) {
        u64 first = region_gib[r] * REGION;
        if (first >> 27 == g >> 27 && (model_value(first) != elsewhere || !model_single(first, 3)))
            return false;
    }
    return true;
}

// All the bits that an entry must have, but accessed and dirty.
static u64 expected_entry(u64 value, unsigned level)
{
    static const u64 access[P2M_TYPES] = {[P2M_RAM] = 7, [P2M_RAM_RO] = 5, [P2M_DIRECT] = 3};
    enum p2m_type type = value & 0xff;
    u64 entry = (u64)type << 52;
    if (!translates(value))
        return entry;
    u8 memtype = type == P2M_DIRECT ? 0 : memtypes[memtype_index(value >> 8)].type;
    return entry | (value >> 8) << 12 | (u64)memtype << 3 | access[type] | (level > 1 ? BIT(7) : 0);
}

struct tally {
    u64 tables;
    u64 leaves[5];
    u64 hash; // of all entries
};

static u64 known_tables[2 * POOL]; // by the last walk
static u64 known_count;

// With `deep` every frame of the array is compared, and that nothing is split that need not be.
static void walk(u64 table, unsigned level, u64 g, bool deep, struct tally *tally)
{
    assert_int_equal(frames.state[table] & 7, FRAME_MONITOR);
    tally->tables++;
    known_tables[known_count++] = table;
    u64 *entries = mfn_ptr(mfn(table));
    u64 count = BIT(9 * (level - 1));
    const u64 *values = level == 1 ? model_at(g) : NULL;
    assert_true(level > 1 || values);
    for (unsigned i = 0; i < 512; i++, g += count) {
        u64 entry = entries[i] & ~FLAGS;
        tally->hash = (tally->hash ^ entry) * 0x100000001b3ull;
        bool is_table = (entry & 7) && !(entry >> 52) && level > 1;
        if (deep && level > 1)
            assert_int_equal(is_table, level == 4 ? !model_single_512g(g) : !model_single(g, level));
        if (is_table) {
            assert_int_equal(entry, (entry & 0x000ffffffffff000ull) | 7);
            walk(entry >> 12, level - 1, g, deep, tally);
            continue;
        }
        if (entry != expected_entry(values ? values[i] : model_value(g), level))
            fail_msg("gfn %llx level %u: %llx", (unsigned long long)g, level, (unsigned long long)entry);
        if (entry & 7)
            tally->leaves[level]++;
        else
            assert_true(entries[i] == entry);
    }
}

static u64 check_tree(bool deep)
{
    struct tally tally = {0};
    known_count = 0;
    walk(p2m.root.n, 4, 0, deep, &tally);
    assert_int_equal(p2m.tables, tally.tables);
    for (unsigned level = 1; level <= 3; level++)
        assert_int_equal(p2m.leaves[level], tally.leaves[level]);
    assert_int_equal(tally.leaves[4], 0);
    return tally.hash;
}

static void check_lookup(u64 g)
{
    u64 value = model_value(g);
    struct p2m_leaf leaf = p2m_lookup(&p2m, gfn(g));
    assert_int_equal(leaf.type, value & 0xff);
    assert_int_equal(leaf.mfn.n, value >> 8);
    if (leaf.level < 4)
        assert_true(model_single(align_down(g, BIT(9 * (leaf.level - 1))), leaf.level));
    if (leaf.level == 1)
        assert_false(model_single(align_down(g, 512), 2));
}

// What the changing callback saw.
static struct {
    unsigned calls;
    u64 first;
    u64 count;
    u64 tables;
    struct p2m_leaf first_leaf, last_leaf; // at that time
} seen;

static void note_change(void *context, gfn_t first, u64 count)
{
    assert_ptr_equal(context, &seen);
    seen.calls++;
    seen.first = first.n;
    seen.count = count;
    seen.tables = p2m.tables;
    seen.first_leaf = p2m_lookup(&p2m, first);
    seen.last_leaf = p2m_lookup(&p2m, gfn(first.n + count - 1));
    for (u64 i = 0; i < known_count; i++) // processors may still walk them
        assert_int_equal(frames.state[known_tables[i]] & 7, FRAME_MONITOR);
}

// Leaves `count` frames free.
static struct {
    mfn_t block;
    unsigned order;
} hoard[256];
static unsigned hoarded;

static void hoard_all_but(u64 count)
{
    for (unsigned order = ORDERS; order-- > 0;) {
        while (frames.count[FRAME_FREE] >= count + BIT(order)) {
            mfn_t block;
            if (frames_alloc(&frames, order, FRAME_MONITOR, &block))
                break;
            hoard[hoarded].block = block;
            hoard[hoarded++].order = order;
            assert_true(hoarded < ARRAY_SIZE(hoard));
        }
    }
    assert_int_equal(frames.count[FRAME_FREE], count);
}

static void hoard_release(void)
{
    while (hoarded) {
        hoarded--;
        frames_free(&frames, hoard[hoarded].block, hoard[hoarded].order);
    }
}

// How often the random operations came to what they are to try.
static struct {
    unsigned denied;
    unsigned nomem;
    unsigned merged; // tables went
    unsigned large;  // steps with leaves of all sizes at once
} happened;

struct op {
    enum { MAP, CLEAR, PROTECT, FIT } kind; // FIT: to pages of at most level `target`
    u64 first;
    u64 count;
    u64 target;
    enum p2m_type type;
};

static bool model_denies(const struct op *op)
{
    u64 end = op->target + op->count;
    if (op->kind != MAP)
        return false;
    if (op->type == P2M_DIRECT)
        return op->target < frames.limit;
    return op->target < GUEST_FIRST || end > GUEST_END || (op->target <= MONITORS_OWN && end > MONITORS_OWN);
}

static void model_apply_one(const struct op *op, u64 g, u64 *value)
{
    if (op->kind == MAP)
        *value = (op->target + (g - op->first)) << 8 | op->type;
    else if (op->kind == CLEAR)
        *value = op->type;
    else if ((*value & 0xff) == P2M_RAM || (*value & 0xff) == P2M_RAM_RO)
        *value = (*value & ~0xffull) | op->type;
}

static void model_apply(const struct op *op)
{
    u64 end = op->first + op->count;
    if (op->kind == FIT)
        return;
    if (op->count == SPACE)
        elsewhere = op->type;
    for (unsigned r = 0; r < REGIONS; r++) {
        u64 start = region_gib[r] * REGION;
        u64 from = op->first > start ? op->first : start;
        u64 to = end < start + REGION ? end : start + REGION;
        for (u64 g = from; g < to; g++)
            model_apply_one(op, g, &model[r * REGION + g - start]);
    }
}

static int op_run(const struct op *op)
{
    seen.calls = 0;
    if (op->kind == MAP)
        return p2m_map(&p2m, gfn(op->first), mfn(op->target), op->count, op->type);
    if (op->kind == CLEAR)
        return p2m_clear(&p2m, gfn(op->first), op->count, op->type);
    if (op->kind == FIT)
        return p2m_fit(&p2m, (unsigned)op->target);
    return p2m_protect(&p2m, gfn(op->first), op->count, op->type);
}

static u64 recent[16];

// Ranges that begin, end and overlap where others did, on boundaries of pages of all sizes or near them.
static u64 random_gfn(void)
{
    u64 g = random_below(3) ? recent[random_below(ARRAY_SIZE(recent))]
                            : region_gib[random_below(REGIONS)] * REGION + random_below(REGION);
    switch (random_below(5)) {
    case 0:
        g = align_down(g, 512);
        break;
    case 1:
        g = align_down(g, REGION) + (random_below(4) ? random_below(3) * 512 : 0);
        break;
    case 2:
        g += random_below(7) - 3;
        break;
    }
    if (!model_at(g) || g >= SPACE)
        g = region_gib[random_below(REGIONS)] * REGION;
    recent[random_below(ARRAY_SIZE(recent))] = g;
    return g;
}

static u64 random_count(u64 first)
{
    u64 last = recent[random_below(ARRAY_SIZE(recent))];
    u64 count;
    switch (random_below(8)) {
    case 0:
        count = 512 * (1 + random_below(4)) + random_below(3) - 1;
        break;
    case 1:
        count = random_below(12) ? 512 : 4096;
        break;
    case 2:
        count = align_down(first, 512) + 512 - first;
        break;
    case 3:
        count = random_below(30) ? 2 : align_down(first, REGION) + REGION - first;
        break;
    case 4:
        count = last > first && last - first < 4096 ? last - first : 1;
        break;
    default:
        count = random_below(5);
    }
    while (count && !model_at(first + count - 1)) // the range ends where the array does
        count--;
    return count;
}

// Mostly one and the same place in the machine for each gfn, so that what was split can become whole again.
static u64 random_target(u64 first, enum p2m_type type)
{
    if (type == P2M_DIRECT)
        return DIRECT_FIRST + first % REGION + (random_below(3) ? 0 : random_below(2048));
    if (random_below(3))
        return GUEST_FIRST + (first >> 18) % 3 * REGION + first % REGION;
    switch (random_below(4)) {
    case 0:
        return random_below(6 * REGION);
    case 1:
        return MONITORS_OWN - random_below(600) + 5;
    default:
        return GUEST_FIRST + random_below(3 * REGION - 4096) + 512;
    }
}

static struct op random_op(void)
{
    struct op op = {.kind = random_below(5) < 2 ? MAP : 1 + random_below(2)};
    op.first = random_gfn();
    op.count = random_count(op.first);
    if (random_below(p2m.max_level == P2M_LEVEL_4K ? 150 : 16) == 0) {
        op.first = align_down(op.first, REGION);
        op.count = REGION;
    }
    if (op.kind == MAP) {
        op.type = random_below(6) == 0 ? P2M_DIRECT : random_below(4) == 0 ? P2M_RAM_RO : P2M_RAM;
        op.target = random_target(op.first, op.type);
    } else if (op.kind == CLEAR) {
        op.type = random_below(3) ? P2M_HOLE : P2M_DEVICE;
        if (random_below(40) == 0)
            op = (struct op){CLEAR, 0, SPACE, 0, op.type};
    } else {
        op.type = random_below(3) ? P2M_RAM : P2M_RAM_RO;
    }
    return op;
}

// What the processor does meanwhile.
static void hardware_walk(u64 g)
{
    u64 *entry = (u64 *)mfn_ptr(p2m.root) + (g >> 27);
    for (unsigned level = 4;; level--) {
        if (!(*entry & 7))
            return;
        bool leaf = level == 1 || (*entry & BIT(7));
        *entry |= leaf && (*entry & 2) ? FLAGS : EPT_ACCESSED;
        if (leaf)
            return;
        entry = (u64 *)phys_ptr(*entry & 0x000ffffffffff000ull) + (g >> 9 * (level - 2) & 511);
    }
}

// Runs the operation with `left` frames free; if these were too few, nothing may have changed, and it is run
// again with enough.
static void op_run_short(const struct op *op, u64 left, u64 hash)
{
    hoard_all_but(left);
    u64 tables = p2m.tables;
    unsigned max_level = p2m.max_level;
    int result = op_run(op);
    if (result == ERR_NOMEM) {
        happened.nomem++;
        assert_int_equal(seen.calls, 0);
        assert_int_equal(p2m.max_level, max_level);
        assert_int_equal(frames.count[FRAME_FREE], left);
        assert_int_equal(check_tree(false), hash);
        hoard_release();
        assert_int_equal(op_run(op), 0);
        assert_true(seen.tables - tables > left);
        return;
    }
    hoard_release();
    assert_int_equal(result, 0);
    if (op->count)
        assert_true(seen.tables - tables <= left);
}

static u64 leaf_value(struct p2m_leaf leaf)
{
    return leaf.mfn.n << 8 | leaf.type;
}

// `before`: the values of the first and last frame before the change.
static void op_check(const struct op *op, const u64 before[2])
{
    assert_int_equal(seen.calls, op->count ? 1 : 0);
    if (!op->count)
        return;
    assert_int_equal(seen.first, op->first);
    assert_int_equal(seen.count, op->count);
    assert_int_equal(leaf_value(seen.first_leaf), before[0]);
    assert_int_equal(leaf_value(seen.last_leaf), before[1]);
    if (op->first)
        check_lookup(op->first - 1);
    check_lookup(op->first);
    check_lookup(op->first + random_below(op->count));
    check_lookup(op->first + op->count - 1);
    if (op->first + op->count < SPACE)
        check_lookup(op->first + op->count);
}

static void step_with(struct op op, unsigned step)
{
    for (unsigned i = 0; i < 4; i++)
        hardware_walk(random_gfn());
    bool whole = random_below(p2m.tables) < 20; // what the walks cost does not depend on the tree's size
    bool starve = whole && random_below(2);
    known_count = 0; // the list is good for one change only
    u64 hash = whole ? check_tree(false) : 0;
    if (model_denies(&op)) {
        assert_int_equal(op_run(&op), op.count ? ERR_DENIED : 0);
        assert_int_equal(seen.calls, 0);
        happened.denied += op.count > 0;
        op.count = 0;
    } else if (starve) {
        op_run_short(&op, random_below(3), hash);
    } else {
        assert_int_equal(op_run(&op), 0);
    }
    happened.merged += op.count && seen.tables > p2m.tables;
    happened.large += p2m.leaves[1] && p2m.leaves[2] && p2m.leaves[3];
    u64 before[] = {model_value(op.first), model_value(op.first + op.count - 1)};
    model_apply(&op);
    op_check(&op, before);
    check_lookup(random_gfn());
    if (whole)
        check_tree(step % 64 == 0);
}

static void random_step(unsigned step)
{
    step_with(random_op(), step);
}

// The guest's three gibibytes: one uniform, one of many memory types, one in which a frame is the monitor's;
// and the pool.
static void machine_make(unsigned max_level)
{
    memory_make(5 * GIB, &frames);
    frames_reserve(&frames, 0, GIB);
    frames_reserve(&frames, 4 * GIB, 5 * GIB - POOL * PAGE_SIZE);
    assert_int_equal(frames_alloc_at(&frames, mfn(GUEST_FIRST), ORDER_1G, FRAME_GUEST), 0);
    assert_int_equal(frames_alloc_at(&frames, mfn(2 * REGION), ORDER_1G, FRAME_GUEST), 0);
    assert_int_equal(frames_alloc_at(&frames, mfn(3 * REGION), ORDER_1G, FRAME_GUEST), 0);
    frames_free(&frames, mfn(MONITORS_OWN), ORDER_4K);
    assert_int_equal(frames_alloc_at(&frames, mfn(MONITORS_OWN), ORDER_4K, FRAME_MONITOR), 0);
    assert_int_equal(frames.count[FRAME_FREE], POOL);
    assert_int_equal(p2m_init(&p2m, &frames, max_level, machine_memtype), 0);
    p2m.changing = note_change;
    p2m.context = &seen;
    model = calloc(REGIONS * REGION, sizeof(u64));
    elsewhere = P2M_HOLE;
    known_count = 0;
}

// All that the tables took comes back, but for the root and the regions.
static void machine_gone(void)
{
    assert_int_equal(p2m_clear(&p2m, gfn(0), BIT(P2M_GFN_BITS), P2M_HOLE), 0);
    assert_int_equal(p2m.tables, 1);
    assert_int_equal(frames.count[FRAME_FREE], POOL - 2);
    free(model);
    memory_gone();
}

static void random_begin(unsigned max_level)
{
    memset(&happened, 0, sizeof(happened));
    machine_make(max_level);
    for (unsigned i = 0; i < ARRAY_SIZE(recent); i++)
        recent[i] = region_gib[i % REGIONS] * REGION;
}

static void random_run(unsigned max_level, unsigned steps)
{
    random_begin(max_level);
    for (unsigned step = 0; step < steps; step++)
        random_step(step);
    check_tree(true);
    machine_gone();
    assert_true(happened.denied > steps / 200 && happened.nomem > steps / 100 &&
                happened.merged > steps / 40);
    assert_true((happened.large > steps / 50) == (max_level == P2M_LEVEL_1G));
}

static void test_random_1g(void **unused)
{
    (void)unused;
    random_run(P2M_LEVEL_1G, 2000);
}

static void test_random_2m(void **unused)
{
    (void)unused;
    random_run(P2M_LEVEL_2M, 1200);
}

static void test_random_4k(void **unused)
{
    (void)unused;
    random_run(P2M_LEVEL_4K, 700);
}

static void assert_leaves(u64 tables, u64 of_4k, u64 of_2m, u64 of_1g)
{
    assert_int_equal(p2m.tables, tables);
    assert_int_equal(p2m.leaves[1], of_4k);
    assert_int_equal(p2m.leaves[2], of_2m);
    assert_int_equal(p2m.leaves[3], of_1g);
}

static void test_split_and_merge(void **unused)
{
    (void)unused;
    machine_make(P2M_LEVEL_1G);
    assert_int_equal(p2m_map(&p2m, gfn(0), mfn(GUEST_FIRST), REGION, P2M_RAM), 0);
    assert_leaves(2, 0, 0, 1);
    assert_int_equal(p2m_protect(&p2m, gfn(0x403), 1, P2M_RAM_RO), 0);
    assert_leaves(4, 512, 511, 0);
    assert_int_equal(p2m_clear(&p2m, gfn(0x405), 1, P2M_DEVICE), 0);
    assert_leaves(4, 511, 511, 0);
    assert_int_equal(p2m_map(&p2m, gfn(0x405), mfn(GUEST_FIRST + 0x405), 1, P2M_RAM), 0);
    assert_int_equal(p2m_protect(&p2m, gfn(0), REGION, P2M_RAM_RO), 0);
    assert_leaves(2, 0, 0, 1);
    assert_int_equal(p2m_clear(&p2m, gfn(0), REGION, P2M_HOLE), 0);
    assert_leaves(1, 0, 0, 0);

    // One leaf of 2M holds the first change of type, one of 4K each of its frames.
    assert_int_equal(p2m_map(&p2m, gfn(0), mfn(2 * REGION), REGION, P2M_RAM), 0);
    assert_leaves(4, 512, 511, 0);
    assert_int_equal(p2m_map(&p2m, gfn(0), mfn(DIRECT_FIRST), REGION, P2M_DIRECT), 0);
    assert_leaves(2, 0, 0, 1);
    assert_int_equal(p2m_clear(&p2m, gfn(0), SPACE, P2M_DEVICE), 0);
    assert_leaves(1, 0, 0, 0);
    assert_int_equal(p2m_lookup(&p2m, gfn(77)).level, 4);
    assert_int_equal(p2m_lookup(&p2m, gfn(77)).type, P2M_DEVICE);
    machine_gone();
}

static u64 *entry_at(u64 g, unsigned stop)
{
    u64 *entry = (u64 *)mfn_ptr(p2m.root) + (g >> 27);
    for (unsigned level = 4; level > stop; level--)
        entry = (u64 *)phys_ptr(*entry & 0x000ffffffffff000ull) + (g >> 9 * (level - 2) & 511);
    return entry;
}

// What hardware noted of a page stays true of it when the page is split, merged or protected.
static void test_accessed_and_dirty(void **unused)
{
    (void)unused;
    machine_make(P2M_LEVEL_2M);
    assert_int_equal(p2m_map(&p2m, gfn(0), mfn(GUEST_FIRST), 512, P2M_RAM), 0);
    *entry_at(0, 2) |= EPT_ACCESSED;
    assert_int_equal(p2m_protect(&p2m, gfn(5), 1, P2M_RAM_RO), 0);
    assert_int_equal(*entry_at(5, 1) & FLAGS, EPT_ACCESSED);
    assert_int_equal(*entry_at(511, 1) & FLAGS, EPT_ACCESSED);
    *entry_at(100, 1) |= FLAGS;
    assert_int_equal(p2m_protect(&p2m, gfn(5), 1, P2M_RAM), 0);
    assert_leaves(3, 0, 1, 0);
    assert_int_equal(*entry_at(0, 2) & FLAGS, FLAGS);
    machine_gone();
}

// The largest size of pages changes, with enough memory or too little.
static void test_fit(void **unused)
{
    (void)unused;
    random_begin(P2M_LEVEL_1G);
    for (unsigned round = 0; round < 24; round++) {
        for (unsigned step = 0; step < 20; step++)
            random_step(1);
        const struct op fit = {FIT, 0, SPACE, 1 + random_below(3), P2M_HOLE};
        known_count = 0;
        op_run_short(&fit, random_below(3), check_tree(false));
        assert_int_equal(p2m.max_level, fit.target);
        check_tree(true);
    }
    assert_true(happened.nomem);
    machine_gone();
}

static void test_errors(void **unused)
{
    (void)unused;
    struct p2m other;
    machine_make(P2M_LEVEL_1G);
    assert_int_equal(p2m_init(&other, &frames, 0, machine_memtype), ERR_INVALID);
    assert_int_equal(p2m_init(&other, &frames, 4, machine_memtype), ERR_INVALID);
    hoard_all_but(0);
    assert_int_equal(p2m_init(&other, &frames, 3, machine_memtype), ERR_NOMEM);
    hoard_release();
    static const struct op invalid[] = {
        {MAP, SPACE, 1, GUEST_FIRST, P2M_RAM},      {MAP, SPACE - 1, 2, GUEST_FIRST, P2M_RAM},
        {MAP, 1, UINT64_MAX, GUEST_FIRST, P2M_RAM}, {MAP, UINT64_MAX, 2, GUEST_FIRST, P2M_RAM},
        {MAP, 0, 2, BIT(40) - 1, P2M_DIRECT},       {MAP, 0, 1, GUEST_FIRST, P2M_HOLE},
        {MAP, 0, 1, GUEST_FIRST, P2M_DEVICE},       {MAP, 0, 1, GUEST_FIRST, P2M_TYPES},
        {CLEAR, SPACE - 1, 2, 0, P2M_HOLE},         {CLEAR, 0, 1, 0, P2M_RAM},
        {PROTECT, SPACE - 1, 2, 0, P2M_RAM},        {PROTECT, 0, 1, 0, P2M_DIRECT},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(invalid); i++) {
        assert_int_equal(op_run(&invalid[i]), ERR_INVALID);
        assert_int_equal(seen.calls, 0);
    }
    assert_leaves(1, 0, 0, 0);
    assert_int_equal(p2m_map(&p2m, gfn(SPACE - 1), mfn(BIT(40) - 1), 1, P2M_DIRECT), 0);
    assert_int_equal(p2m_lookup(&p2m, gfn(SPACE - 1)).mfn.n, BIT(40) - 1);
    assert_int_equal(p2m_lookup(&p2m, gfn(SPACE)).type, P2M_HOLE);
    assert_int_equal(p2m_lookup(&p2m, gfn(UINT64_MAX)).type, P2M_HOLE);
    machine_gone();
}

int main(void)
{
    random_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_and_merge),
        cmocka_unit_test(test_accessed_and_dirty),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_random_1g),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_random_2m),
        cmocka_unit_test(test_random_4k),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
