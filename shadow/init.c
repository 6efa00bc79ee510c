// The engine's memory, and the strategies. See engine.h.
#include <arch/lib.h>
#include <arch/phys.h>

#include "entries.h"
#include "forget.h"
#include "place.h"
#include "sync.h"
#include "tables.h"
#include "unpaged.h"

// What each strategy of hv's list does beside tracing. One that has no line here does not compile.
#define LAZY     .cache = false
#define EAGER    .eager = true
#define TRACE    .cache = true
#define ADAPTIVE .cache = true, .sync = true

const struct shadow_strategy shadow_strategies[SHADOW_STRATEGIES] = {
#define STRATEGY(strategy, word, traces) [SHADOW_##strategy] = {.name = word, .trace = traces, strategy},
#include <hv/strategies.def>
};

// Contiguous machine memory for `bytes`, or NULL.
static void *take(struct frames *frames, u64 bytes, mfn_t *first)
{
    unsigned order = frames_order(bytes);
    if (order >= ORDERS || frames_alloc(frames, order, FRAME_MONITOR, first))
        return NULL;
    memset(mfn_ptr(*first), 0, bytes);
    return mfn_ptr(*first);
}

static int take_all(struct shadow *s)
{
    struct frames *f = s->p2m->frames;
    u64 pool = s->config.pool;
    u64 hash = 1;
    mfn_t unused;
    while (hash < 2 * pool)
        hash *= 2;
    s->hash_mask = (u32)hash - 1;
    void *tables = take(f, pool * PAGE_SIZE, &s->pool);
    s->seen = take(f, pool * PAGE_SIZE, &unused);
    s->tables = take(f, pool * sizeof(*s->tables), &unused);
    s->links = take(f, pool * ENTRIES * sizeof(*s->links), &unused);
    s->hash = take(f, hash * sizeof(*s->hash), &unused);
    s->limit = f->limit;
    s->chunks = take(f, (f->limit / SHADOW_CHUNK + 1) * sizeof(*s->chunks), &unused);
    bool all = tables && s->seen && s->tables && s->links && s->hash && s->chunks;
    return all ? 0 : ERR_NOMEM;
}

static struct shadow_chunk *chunk_make(struct shadow *s)
{
    mfn_t unused;
    struct shadow_chunk *chunk = take(s->p2m->frames, sizeof(*chunk), &unused);
    for (u64 frame = 0; chunk && frame < SHADOW_CHUNK; frame++)
        chunk->frames[frame].leaves = chunk->regions[frame / ENTRIES].leaves = SHADOW_NONE;
    return chunk;
}

// Taken before the guest's memory is, as all of the engine's. RAM in one piece needs one more than it fills.
static int spare_make(struct shadow *s)
{
    u64 count = (s->config.ram + SHADOW_CHUNK * PAGE_SIZE - 1) / (SHADOW_CHUNK * PAGE_SIZE) + 1;
    for (; s->config.ram && count; count--) {
        struct shadow_chunk *chunk = chunk_make(s);
        if (!chunk)
            return ERR_NOMEM;
        chunk->next = s->spare;
        s->spare = chunk;
    }
    return 0;
}

static struct shadow_chunk *chunk_take(struct shadow *s)
{
    struct shadow_chunk *chunk = s->spare;
    if (!chunk)
        return chunk_make(s);
    s->spare = chunk->next;
    return chunk;
}

int shadow_p2m_adding(struct shadow *s, mfn_t first, u64 count)
{
    for (u64 at = first.n / SHADOW_CHUNK; count && at <= (first.n + count - 1) / SHADOW_CHUNK; at++) {
        struct shadow_chunk *chunk = s->chunks[at] ? NULL : chunk_take(s);
        if (!s->chunks[at] && !chunk)
            return ERR_NOMEM;
        if (chunk)
            s->chunks[at] = (uintptr_t)chunk->frames - at * sizeof(chunk->frames);
    }
    return 0;
}

// What is in the p2m by now.
static int chunks_begin(struct shadow *s)
{
    int error = spare_make(s);
    u64 frames;
    for (u64 at = 0; !error && at < BIT(P2M_GFN_BITS); at += frames) {
        struct p2m_leaf leaf = p2m_lookup(s->p2m, gfn(at));
        frames = BIT(9 * (leaf.level - 1));
        if (p2m_is_ram(leaf.type))
            error = shadow_p2m_adding(s, leaf.mfn, frames);
    }
    return error;
}

// What a table is full of that nothing has been found out for.
static void choose_unknown(struct shadow *s)
{
    const struct shadow_config *config = &s->config;
    s->unknown = config->directpf && shadow_can_mark(config->physical_bits) ? PTE_P | PTE_RESERVED : 0;
    s->mark = s->unknown & PTE_RESERVED;
}

static void make_empty(struct shadow *s)
{
    memset(s->hash, 0xff, (s->hash_mask + 1ul) * sizeof(*s->hash));
    s->lost = s->newest = s->oldest = s->free_table = s->dropped_table = SHADOW_NONE;
    place_init(s);
    for (u32 table = s->config.pool; table-- > 0;) {
        s->tables[table].entries = mfn_ptr(mfn(s->pool.n + table));
        entries_begin(s, s->tables[table].entries); // now, so that no fault of the guest's has to
        s->tables[table].hash_next = s->free_table;
        s->free_table = table;
    }
}

int shadow_init(struct shadow *s, struct p2m *p2m, const struct shadow_config *config)
{
    *s = (struct shadow){.p2m = p2m, .config = *config, .flushes = 1};
    if (take_all(s) || chunks_begin(s))
        return ERR_NOMEM;
    choose_unknown(s);
    make_empty(s);
    return 0;
}

// Whether tables made by the one are what the other would make.
static bool makes_same(const struct shadow_config *a, const struct shadow_config *b)
{
    return a->strategy.name == b->strategy.name && a->directpf == b->directpf &&
           a->root_vpids == b->root_vpids && a->large == b->large && a->targets == b->targets;
}

void shadow_configure(struct shadow *s, const struct shadow_config *config)
{
    if (!makes_same(&s->config, config)) {
        forget_all(s);
        place_free_all(s);
    }
    s->config = *config;
    choose_unknown(s);
}

int shadow_view_init(struct shadow_view *view, struct shadow *s, const struct walk_context *walk,
                     const struct shadow_hw *hw)
{
    *view = (struct shadow_view){
        .s = s,
        .walk = *walk,
        .hw = *hw,
        .root = SHADOW_NONE,
        .fresh_gva = ~0ul,
        .reserved_for = ~0ul,
        .burst_cycles = BURST_CYCLES + s->config.empty_exit_cycles,
        .control_changes = 1, // which the caller has not followed yet
        .next = s->views,
    };
    place_view_init(view);
    if (unpaged_init(view))
        return ERR_NOMEM;
    s->views = view;
    return 0;
}
