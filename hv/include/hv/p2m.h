// The p2m: the only truth about guest memory, a map gfn -> (mfn, type).
// It is stored as a 4-level radix tree of EPT entries (SDM vol. 3, 29.3.2), the type in bits that hardware
// ignores: under EPT the processor walks this very tree, under shadow paging only software reads it. It knows
// nothing of TLBs: whoever caches translations is told of each change, before it is made, through `changing`.
#pragma once

#include <arch/frames.h>
#include <arch/types.h>

// EPT entry bits (SDM vol. 3, tables 29-1 to 29-6).
#define EPT_R          BIT(0)
#define EPT_W          BIT(1)
#define EPT_X          BIT(2)
#define EPT_RWX        (EPT_R | EPT_W | EPT_X)
#define EPT_MEMTYPE(t) ((u64)(t) << 3)
#define EPT_LARGE      BIT(7)
#define EPT_ACCESSED   BIT(8)
#define EPT_DIRTY      BIT(9)
#define EPT_ADDRESS    0x000ffffffffff000ull
#define P2M_TYPE_SHIFT 52 // bits 55:52 hold enum p2m_type

enum p2m_type {
    P2M_HOLE,   // nothing: a read gives ones, a write does nothing
    P2M_RAM,    // the guest's memory
    P2M_RAM_RO, // the guest's memory, writes are dropped
    P2M_DEVICE, // a device model answers
    P2M_DIRECT, // machine device memory that the guest is given (the local APIC page), uncached
    P2M_TYPES
};

static inline bool p2m_is_ram(enum p2m_type type)
{
    return type == P2M_RAM || type == P2M_RAM_RO;
}

#define P2M_LEVEL_4K 1u
#define P2M_LEVEL_2M 2u
#define P2M_LEVEL_1G 3u
#define P2M_LEVELS   4u
#define P2M_GFN_BITS 36 // gpa has 48 bits

// The memory type (SDM vol. 3, table 12-2: 0 UC ... 6 WB) that all of [first, first + count) has in the
// machine, or P2M_MEMTYPE_MIXED (never for a single frame): the p2m then maps with smaller pages. `p` is the
// p2m that asks, so that it leads to who knows (container_of).
#define P2M_MEMTYPE_MIXED 0xff
struct p2m;
typedef u8 p2m_memtype_fn(const struct p2m *p, mfn_t first, u64 count);

// What p2m_lookup finds. For P2M_HOLE and P2M_DEVICE mfn is 0.
struct p2m_leaf {
    mfn_t mfn; // of this very gfn, not of the start of the large page
    enum p2m_type type;
    unsigned
        level; // of the entry that decides it (4: a whole empty PML4 entry): it covers 512^(level-1) frames
};

// Regions of 2M that one entry translates, those that were looked up last: a walk of guest tables asks for
// five pages, and the tree has four levels. Private to p2m_lookup and p2m.c, which forgets them all at each
// change.
#define P2M_REGION  512u // frames
#define P2M_REGIONS 128u
struct p2m_region {
    u64 number;           // gfn / P2M_REGION
    struct p2m_leaf leaf; // of its first frame
};

struct p2m {
    mfn_t root;            // the top table: an EPT PML4
    unsigned max_level;    // the largest leaf that may be used
    struct frames *frames; // where tables come from
    p2m_memtype_fn *memtype;
    int (*adding)(void *context, mfn_t first, u64 count);
    void (*changing)(void *context, gfn_t first, u64 count);
    void *context;
    u64 tables;                 // frames used for the tree, the root included
    u64 leaves[4];              // leaves that translate, by level [1..3]
    struct p2m_region *regions; // by number % P2M_REGIONS
};

// An empty p2m (all P2M_HOLE). max_level 1..3. `adding` and `changing` are set by the caller afterwards, or
// stay NULL.
int p2m_init(struct p2m *p, struct frames *frames, unsigned max_level, p2m_memtype_fn *memtype) must_check;

// Maps [first, first + count) to [target, ...) as P2M_RAM, P2M_RAM_RO or P2M_DIRECT with the largest pages
// that alignment, max_level and memory type allow, whatever was there before. RAM types must be FRAME_GUEST,
// P2M_DIRECT must be FRAME_NONE: ERR_DENIED otherwise, with nothing changed. ERR_INVALID: beyond the address
// width. ERR_NOMEM: no frame for a table: nothing changed.
int p2m_map(struct p2m *p, gfn_t first, mfn_t target, u64 count, enum p2m_type type) must_check;

// Makes [first, first + count) P2M_HOLE or P2M_DEVICE. Errors as p2m_map.
int p2m_clear(struct p2m *p, gfn_t first, u64 count, enum p2m_type type) must_check;

// Gives each frame of the range that is P2M_RAM or P2M_RAM_RO the other of the two types, keeping its mfn;
// other frames stay. Splits and merges as needed. Errors as p2m_map.
int p2m_protect(struct p2m *p, gfn_t first, u64 count, enum p2m_type type) must_check;

// From now on max_level (1 to 3) limits the pages: larger ones are split, and what lies in one piece becomes
// as large as that allows. ERR_NOMEM: no frame for a table; nothing changed.
int p2m_fit(struct p2m *p, unsigned max_level) must_check;

// What there is at `g`. Never fails: beyond the address width there is a hole.
struct p2m_leaf p2m_lookup_tree(const struct p2m *p, gfn_t g);
static inline struct p2m_leaf p2m_lookup(const struct p2m *p, gfn_t g)
{
    const struct p2m_region *region = &p->regions[g.n / P2M_REGION % P2M_REGIONS];
    if (unlikely(region->number != g.n / P2M_REGION))
        return p2m_lookup_tree(p, g);
    return (struct p2m_leaf){mfn(region->leaf.mfn.n + g.n % P2M_REGION), region->leaf.type,
                             region->leaf.level};
}

// The entries that a walk for `g` meets, by level [1..4]: 0 below the one that ends it.
void p2m_path(const struct p2m *p, gfn_t g, u64 entries[P2M_LEVELS + 1]);

// p2m_map calls `adding` with the machine frames that become RAM before all else: an error of it is that of
// p2m_map. Each of the four changes calls `changing` once with the range when nothing can fail any more and
// before any entry is written: it may look up, and finds what was there before; it may not change. On an
// error, and for an empty range, it is not called. After the entries are written, neighbouring ones that
// again form one large page are merged (also those that surround the range), and the tables that fell out of
// the tree are freed: a processor may still hold pointers to them, so `changing` sees to it that the guest
// does not run on before these are flushed. max_level limits leaves that translate; a hole or a device may be
// one entry at any level. Accessed and dirty flags that hardware sets follow a page when it is split, merged
// or protected; what p2m_map writes starts with both clear.
