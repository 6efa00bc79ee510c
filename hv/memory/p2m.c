// The map gfn -> (mfn, type): see hv/p2m.h for the contract.
// The tree is always as small as it can be: whatever can be one entry is one. A change runs in five steps:
// the tables that it needs are counted, and allocated; `changing` is called; the entries are written from the
// leaves up, in place; the tables that fell out of the tree are freed. Only the second can fail.
// It does not flush TLBs, nor look at what memory contains. Neighbours: ept/ gives the tree to hardware,
// shadow/ and the guest memory access read it.
#include <hv/p2m.h>

#include <arch/lib.h>
#include <arch/panic.h>
#include <arch/phys.h>

#define ENTRIES    512u
#define TOP_LEVEL  P2M_LEVELS
#define TYPE_MASK  (0xfull << P2M_TYPE_SHIFT)
#define MFN_BITS   40 // of a 52-bit address
#define MEMTYPE_UC 0u // SDM vol. 3, table 12-2
#define FLAGS_AD   (EPT_ACCESSED | EPT_DIRTY)

enum action { ACTION_MAP, ACTION_CLEAR, ACTION_PROTECT, ACTION_FIT };

// One call of p2m_map, p2m_clear, p2m_protect or p2m_fit.
struct change {
    struct p2m *p;
    enum action action;
    enum p2m_type type;
    u64 first; // gfn
    u64 end;
    u64 target; // mfn of `first`, for ACTION_MAP
    u64 spare;  // list of tables to be used
    u64 old;    // list of tables that fell out of the tree
};

static const u64 access_of_type[P2M_TYPES] = {
    [P2M_RAM] = EPT_RWX,
    [P2M_RAM_RO] = EPT_R | EPT_X,
    [P2M_DIRECT] = EPT_R | EPT_W,
};

static u64 level_frames(unsigned level)
{
    return BIT(9 * (level - 1));
}

static u64 type_bits(enum p2m_type type)
{
    return (u64)type << P2M_TYPE_SHIFT;
}

static enum p2m_type entry_type(u64 entry)
{
    return (entry & TYPE_MASK) >> P2M_TYPE_SHIFT;
}

// A table has no type, a leaf that translates always has one.
static bool is_table(u64 entry)
{
    return (entry & (EPT_R | TYPE_MASK)) == EPT_R;
}

static bool is_translation(u64 entry)
{
    return (entry & EPT_R) && (entry & TYPE_MASK);
}

static u64 *table_of(u64 entry)
{
    return phys_ptr(entry & EPT_ADDRESS);
}

// Hardware may walk the tree at any time: one store, and what it points to is complete before it.
static void entry_store(u64 *slot, u64 entry)
{
    __atomic_store_n(slot, entry, __ATOMIC_RELEASE);
}

// Lists of tables that are in no tree, linked through their first entries. Processors may still cache
// pointers to such a table: to them a link is an entry that is not present.
static void list_push(u64 *list, u64 table)
{
    entry_store(mfn_ptr(mfn(table)), *list << PAGE_SHIFT);
    *list = table;
}

static u64 list_pop(u64 *list)
{
    u64 table = *list;
    assert_that(table);
    *list = *(u64 *)mfn_ptr(mfn(table)) >> PAGE_SHIFT;
    return table;
}

static void list_free(struct p2m *p, u64 *list)
{
    while (*list) {
        frames_free(p->frames, mfn(list_pop(list)), ORDER_4K);
        p->tables--;
    }
}

static int list_alloc(struct p2m *p, u64 *list, u64 count)
{
    for (; count; count--) {
        mfn_t table;
        if (frames_alloc(p->frames, ORDER_4K, FRAME_MONITOR, &table)) {
            list_free(p, list);
            return ERR_NOMEM;
        }
        p->tables++;
        list_push(list, table.n);
    }
    return 0;
}

// The entry that a leaf of `level` stands for at `index` of the table one level down.
static u64 child_of_leaf(u64 leaf, unsigned level, unsigned index)
{
    if (!is_translation(leaf))
        return leaf;
    u64 child = leaf + (index * level_frames(level - 1) << PAGE_SHIFT);
    return level - 1 == P2M_LEVEL_4K ? child & ~EPT_LARGE : child;
}

static void count_leaf(struct p2m *p, u64 entry, unsigned level, int change)
{
    if (is_translation(entry))
        p->leaves[level] += (u64)(s64)change;
}

// Takes what an entry of `level` points to out of the tree.
static void discard(struct p2m *p, u64 entry, unsigned level, u64 *list)
{
    if (!is_table(entry)) {
        count_leaf(p, entry, level, -1);
        return;
    }
    u64 *table = table_of(entry);
    for (unsigned i = 0; i < ENTRIES; i++)
        discard(p, table[i], level - 1, list);
    list_push(list, hpa_mfn(entry & EPT_ADDRESS).n);
}

static void replace(struct change *c, u64 *slot, u64 entry, unsigned level)
{
    u64 before = *slot;
    if (entry == before)
        return;
    entry_store(slot, entry);
    count_leaf(c->p, entry, level, 1);
    discard(c->p, before, level, &c->old);
}

static bool map_entry(const struct change *c, unsigned level, u64 first, u64 *entry)
{
    u64 target = c->target + (first - c->first);
    if (level > c->p->max_level || (target & (level_frames(level) - 1)))
        return false;
    u8 memtype = MEMTYPE_UC;
    if (c->type != P2M_DIRECT)
        memtype = c->p->memtype(c->p, mfn(target), level_frames(level));
    if (memtype == P2M_MEMTYPE_MIXED && level > P2M_LEVEL_4K)
        return false;
    assert_that(memtype < 8);
    *entry = mfn_hpa(mfn(target)) | type_bits(c->type) | EPT_MEMTYPE(memtype) | access_of_type[c->type] |
             (level > P2M_LEVEL_4K ? EPT_LARGE : 0);
    return true;
}

static u64 protect_entry(const struct change *c, u64 entry)
{
    if (!p2m_is_ram(entry_type(entry)))
        return entry;
    return (entry & ~(TYPE_MASK | EPT_RWX)) | type_bits(c->type) | access_of_type[c->type];
}

// Whether the change leaves a single entry where `entry`, of `level` and for the frames from `first` on, is
// now. If so, which.
static bool single_entry(const struct change *c, u64 entry, unsigned level, u64 first, u64 *result)
{
    bool covered = first >= c->first && first + level_frames(level) <= c->end;
    *result = entry;
    switch (c->action) {
    case ACTION_MAP:
        return covered && map_entry(c, level, first, result);
    case ACTION_CLEAR:
        *result = covered ? type_bits(c->type) : entry;
        return covered || entry == type_bits(c->type);
    case ACTION_FIT:
        return !is_table(entry) && (!is_translation(entry) || level <= c->p->max_level);
    case ACTION_PROTECT:
    default:
        if (is_table(entry))
            return false;
        *result = protect_entry(c, entry);
        if (covered || *result == entry)
            return true;
        *result = entry;
        return false;
    }
}

// The part of a table of entries of `level`, for the frames from `first` on, that the change is about.
struct span {
    unsigned from;
    unsigned to;
};

static struct span span_of(const struct change *c, unsigned level, u64 first)
{
    u64 frames = level_frames(level);
    if (c->action == ACTION_FIT && level == P2M_LEVEL_4K)
        return (struct span){0, 0}; // they stay
    u64 from = c->first > first ? (c->first - first) / frames : 0;
    u64 to = c->end < first + ENTRIES * frames ? (c->end - first + frames - 1) / frames : ENTRIES;
    return (struct span){(unsigned)from, (unsigned)to};
}

// How many tables the change needs in place of `entry`, or below it.
static u64 count_tables(const struct change *c, u64 entry, unsigned level, u64 first)
{
    u64 result;
    if (level == P2M_LEVEL_4K || single_entry(c, entry, level, first, &result))
        return 0;
    u64 count = is_table(entry) ? 0 : 1;
    if (level - 1 == P2M_LEVEL_4K)
        return count;
    struct span span = span_of(c, level - 1, first);
    for (unsigned i = span.from; i < span.to; i++) {
        u64 child = is_table(entry) ? table_of(entry)[i] : child_of_leaf(entry, level, i);
        count += count_tables(c, child, level - 1, first + i * level_frames(level - 1));
    }
    return count;
}

static void split(struct change *c, u64 *slot, unsigned level)
{
    u64 leaf = *slot;
    u64 frame = list_pop(&c->spare);
    u64 *table = mfn_ptr(mfn(frame));
    for (unsigned i = 0; i < ENTRIES; i++)
        table[i] = child_of_leaf(leaf, level, i);
    count_leaf(c->p, leaf, level, -1);
    count_leaf(c->p, leaf, level - 1, (int)ENTRIES);
    entry_store(slot, mfn_hpa(mfn(frame)) | EPT_RWX);
}

// Puts one entry in place of the table that `slot` points to if that says the same. Hardware sets accessed
// and dirty flags at any time; the large page has those of all its parts.
static void merge(struct change *c, u64 *slot, unsigned level)
{
    const u64 *table = table_of(*slot);
    u64 leaf = table[0];
    if (is_table(leaf))
        return;
    if (is_translation(leaf)) {
        leaf |= EPT_LARGE;
        u64 offset_bits = (level_frames(level) - 1) << PAGE_SHIFT;
        if (level > c->p->max_level || (leaf & EPT_ADDRESS & offset_bits))
            return;
    }
    u64 flags = 0;
    for (unsigned i = ENTRIES; i-- > 0;) { // the last one differs most often
        if ((table[i] ^ child_of_leaf(leaf, level, i)) & ~FLAGS_AD)
            return;
        flags |= table[i] & FLAGS_AD;
    }
    replace(c, slot, leaf | flags, level);
}

// Carries out the change at the entry of `level` for the frames from `first` on.
static void apply(struct change *c, u64 *slot, unsigned level, u64 first)
{
    u64 result;
    if (single_entry(c, *slot, level, first, &result)) {
        replace(c, slot, result, level);
        return;
    }
    if (!is_table(*slot))
        split(c, slot, level);
    u64 *table = table_of(*slot);
    struct span span = span_of(c, level - 1, first);
    for (unsigned i = span.from; i < span.to; i++)
        apply(c, &table[i], level - 1, first + i * level_frames(level - 1));
    merge(c, slot, level);
}

static void regions_forget(struct p2m *p)
{
    memset(p->regions, 0xff, P2M_REGIONS * sizeof(*p->regions)); // no gfn is that high
}

static int change_run(struct change *c)
{
    if (c->first == c->end)
        return 0;
    struct p2m *p = c->p;
    u64 *root = mfn_ptr(p->root);
    struct span span = span_of(c, TOP_LEVEL, 0);
    u64 needed = 0;
    for (unsigned i = span.from; i < span.to; i++)
        needed += count_tables(c, root[i], TOP_LEVEL, i * level_frames(TOP_LEVEL));
    if (list_alloc(p, &c->spare, needed))
        return ERR_NOMEM;
    if (p->changing)
        p->changing(p->context, gfn(c->first), c->end - c->first);
    for (unsigned i = span.from; i < span.to; i++)
        apply(c, &root[i], TOP_LEVEL, i * level_frames(TOP_LEVEL));
    regions_forget(p);
    assert_that(!c->spare);
    list_free(p, &c->old);
    return 0;
}

static bool range_valid(u64 first, u64 count, unsigned bits)
{
    return first <= BIT(bits) && count <= BIT(bits) - first;
}

int p2m_map(struct p2m *p, gfn_t first, mfn_t target, u64 count, enum p2m_type type)
{
    if (!range_valid(first.n, count, P2M_GFN_BITS) || !range_valid(target.n, count, MFN_BITS))
        return ERR_INVALID;
    if (type >= P2M_TYPES || !access_of_type[type])
        return ERR_INVALID;
    enum frame_owner owner = type == P2M_DIRECT ? FRAME_NONE : FRAME_GUEST;
    if (!frames_owned(p->frames, target, count, owner))
        return ERR_DENIED;
    if (owner == FRAME_GUEST && p->adding && p->adding(p->context, target, count))
        return ERR_NOMEM;
    struct change c = {p, ACTION_MAP, type, first.n, first.n + count, target.n, 0, 0};
    return change_run(&c);
}

int p2m_clear(struct p2m *p, gfn_t first, u64 count, enum p2m_type type)
{
    if (!range_valid(first.n, count, P2M_GFN_BITS) || (type != P2M_HOLE && type != P2M_DEVICE))
        return ERR_INVALID;
    struct change c = {p, ACTION_CLEAR, type, first.n, first.n + count, 0, 0, 0};
    return change_run(&c);
}

int p2m_protect(struct p2m *p, gfn_t first, u64 count, enum p2m_type type)
{
    if (!range_valid(first.n, count, P2M_GFN_BITS) || !p2m_is_ram(type))
        return ERR_INVALID;
    struct change c = {p, ACTION_PROTECT, type, first.n, first.n + count, 0, 0, 0};
    return change_run(&c);
}

int p2m_fit(struct p2m *p, unsigned max_level)
{
    unsigned before = p->max_level;
    struct change c = {p, ACTION_FIT, P2M_HOLE, 0, BIT(P2M_GFN_BITS), 0, 0, 0};
    p->max_level = max_level;
    int error = change_run(&c);
    if (error)
        p->max_level = before;
    return error;
}

int p2m_init(struct p2m *p, struct frames *frames, unsigned max_level, p2m_memtype_fn *memtype)
{
    if (max_level < P2M_LEVEL_4K || max_level > P2M_LEVEL_1G)
        return ERR_INVALID;
    *p = (struct p2m){.max_level = max_level, .frames = frames, .memtype = memtype, .tables = 1};
    if (frames_alloc(frames, ORDER_4K, FRAME_MONITOR, &p->root))
        return ERR_NOMEM;
    mfn_t regions;
    if (frames_alloc(frames, ORDER_4K, FRAME_MONITOR, &regions)) {
        frames_free(frames, p->root, ORDER_4K);
        return ERR_NOMEM;
    }
    _Static_assert(P2M_REGIONS * sizeof(*p->regions) <= PAGE_SIZE, "the regions are in one frame");
    memset(mfn_ptr(p->root), 0, PAGE_SIZE);
    p->regions = mfn_ptr(regions);
    regions_forget(p);
    return 0;
}

static void region_keep(const struct p2m *p, gfn_t g, const struct p2m_leaf *leaf)
{
    struct p2m_region *region = &p->regions[g.n / P2M_REGION % P2M_REGIONS];
    *region = (struct p2m_region){g.n / P2M_REGION, *leaf};
    region->leaf.mfn.n -= g.n % P2M_REGION;
}

struct p2m_leaf p2m_lookup_tree(const struct p2m *p, gfn_t g)
{
    if (g.n >> P2M_GFN_BITS)
        return (struct p2m_leaf){.type = P2M_HOLE, .level = TOP_LEVEL};
    unsigned level = TOP_LEVEL;
    u64 entry = mfn_hpa(p->root) | EPT_R;
    for (;; level--) {
        entry = table_of(entry)[g.n >> 9 * (level - 1) & (ENTRIES - 1)];
        if (!is_table(entry))
            break;
    }
    struct p2m_leaf leaf = {.type = entry_type(entry), .level = level};
    if (is_translation(entry))
        leaf.mfn = mfn(hpa_mfn(entry & EPT_ADDRESS).n + (g.n & (level_frames(level) - 1)));
    if (is_translation(entry) && level > P2M_LEVEL_4K)
        region_keep(p, g, &leaf);
    return leaf;
}

void p2m_path(const struct p2m *p, gfn_t g, u64 entries[P2M_LEVELS + 1])
{
    u64 entry = mfn_hpa(p->root) | EPT_R;
    for (unsigned level = TOP_LEVEL; level >= P2M_LEVEL_4K; level--) {
        entry = is_table(entry) ? table_of(entry)[g.n >> 9 * (level - 1) & (ENTRIES - 1)] : 0;
        entries[level] = entry;
    }
}
