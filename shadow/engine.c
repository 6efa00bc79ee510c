// What the back end calls: each does its part, then settles what the processor must hear of. See engine.h.
#include "engine.h"
#include "entries.h"
#include "fault.h"
#include "forget.h"
#include "place.h"
#include "roots.h"
#include "sync.h"
#include "trace.h"
#include "unpaged.h"
#include "view.h"

// Every processor may have cached what has changed.
static void flush_all(struct shadow *s)
{
    s->flush = false;
    s->flushes++;
    s->flushed = s->epoch;
    s->stats.flush_all++;
    for (struct shadow_view *view = s->views; view; view = view->next)
        view->hw.flush_all(view->hw.context);
}

// Each processor does so for its present VPID. Of others the epoch has told that they hold something stale.
static void flush_stale(struct shadow *s)
{
    for (struct shadow_view *view = s->views; view; view = view->next) {
        for (u32 i = 0; i < s->stale_count; i++)
            view->hw.flush_address(view->hw.context, s->stale[i]);
    }
}

static void publish_all(struct shadow *s)
{
    for (struct shadow_view *view = s->views; view; view = view->next) {
        if (view->unpaged)
            unpaged_publish(view);
    }
}

static __attribute__((noinline)) void settle_all(struct shadow *s)
{
    if (s->unpaged)
        publish_all(s);
    if (s->flush)
        flush_all(s);
    else
        flush_stale(s);
    s->stale_count = 0;
    s->unsettled = s->unpaged;
}

// Before a guest runs again.
static void settle(struct shadow *s)
{
    if (unlikely(s->unsettled))
        settle_all(s);
}

u64 shadow_load_root(struct shadow_view *view, u16 *vpid)
{
    *vpid = root_load(view);
    settle(view->s);
    return root_address(view);
}

enum mmu_outcome shadow_fault(struct shadow_view *view, struct mmu_fault *fault)
{
    enum mmu_outcome outcome = fault_judge(view, fault);
    settle(view->s);
    return outcome;
}

void shadow_written(struct shadow_view *view, u64 hpa, unsigned bytes)
{
    if (!sync_written(view->s, hpa, bytes))
        trace_written(view, hpa, bytes);
    settle(view->s);
}

bool shadow_fault_watched(struct shadow_view *view, struct mmu_fault *fault, enum mmu_outcome *outcome)
{
    bool told = fault_watched(view, fault, outcome);
    settle(view->s);
    return told;
}

void shadow_carried_out(struct shadow_view *view, const struct mmu_fault *fault, unsigned bytes)
{
    u32 id = fault->watched;
    if (unlikely(id == SHADOW_NONE || fault->hpa % 8 + bytes > 8)) {
        shadow_written(view, fault->hpa, bytes);
        return;
    }
    if (!sync_leaf_written(view->s, id, fault->plain))
        trace_leaf_written(view, id);
    settle(view->s);
}

void shadow_release(struct shadow_view *view, u64 hpa)
{
    struct shadow *s = view->s;
    bool fresh = view->fresh_at == s->changes;
    sync_release(s, hpa_mfn(hpa).n);
    settle(s);
    if (fresh)
        view->fresh_at = s->changes; // the guest has not run since the fault
}

void shadow_invlpg(struct shadow_view *view, u64 gva)
{
    if (view->s->config.strategy.trace) {
        sync_all(view);
    } else {
        trace_path(view, gva);
        trace_links(view);
    }
    settle(view->s);
}

static inline bool translate(const struct shadow_view *view, u64 gva, struct shadow_way *way)
{
    struct spot spot = view_spot(view, gva);
    u64 entry = *spot.entry, offset_bits = (PAGE_SIZE << 9 * (spot.level - 1)) - 1;
    if (!entry_maps(view->s, entry))
        return false;
    way_keep(view, way, gva, spot.entry, (entry & PTE_ADDRESS & ~offset_bits) | (gva & offset_bits));
    return true;
}

bool shadow_translate(struct shadow_view *view, u64 gva, u64 *hpa)
{
    struct shadow_way *way = &view->code;
    bool known = way_holds(view, way, gva) || translate(view, gva, way);
    *hpa = way->hpa | (gva & (PAGE_SIZE - 1));
    return known;
}

void shadow_drop_all(struct shadow *s)
{
    forget_all(s);
    entry_flush(s);
    settle(s);
}

void shadow_p2m_changing(struct shadow *s, gfn_t first, u64 count)
{
    forget_range(s, first, count);
    settle(s);
}

void shadow_paging_changed(struct shadow_view *view, const struct paging_regs *before,
                           const struct paging_regs *after)
{
    forget_paging(view->s, before, after);
    if ((before->cr4 ^ after->cr4) & CR4_PCIDE)
        view->reserved_for = ~0ul;
    settle(view->s);
}

bool shadow_global_written(struct shadow_view *view, u64 cr4)
{
    if (!view->s->config.strategy.cache)
        return false;
    view->walk.regs.cr4 = cr4;
    sync_all(view);
    entry_flush(view->s);
    settle(view->s);
    return true;
}

void shadow_view_leave(struct shadow_view *view)
{
    struct shadow *s = view->s;
    struct shadow_view **at = &s->views;
    view_set_root(view, SHADOW_NONE);
    place_yield(view);
    unpaged_leave(view);
    while (*at != view)
        at = &(*at)->next;
    *at = view->next;
    s->left = !s->views;
    s->left_with = view->walk.regs;
}

// Roots in place share one, and so do all without root_vpids.
static u64 vpids_in_use(const struct shadow *s)
{
    u64 own = 0, shared = 0;
    for (u32 table = s->newest; table != SHADOW_NONE; table = s->tables[table].older) {
        u16 vpid = s->tables[table].vpid;
        if (vpid && vpid == (u16)(table + 2))
            own++;
        else if (vpid)
            shared = 1;
    }
    return own + shared;
}

struct shadow_stats shadow_stats_now(const struct shadow *s)
{
    struct shadow_stats now = s->stats;
    now.vpids = vpids_in_use(s);
    now.tables_used = s->used;
    now.tables_pool = s->config.pool;
    return now;
}
