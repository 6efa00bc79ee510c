// A guest without paging: a page of 4 GiB, as it were, that maps every address to itself. VMX keeps CR0.PG on
// here, so the processor walks PAE paging (SDM vol. 3, 4.4): splinters of levels 3, 2 and 1, filled by hidden
// faults like those of a large page. Entries of levels 2 and 1 are alike in PAE and 4-level paging. Those of
// the PDPT are not (table 4-8: no rights, no accessed bit): the processor gets a copy in that format, and
// loads it into its registers at each VM entry (27.3.2.4, without EPT). Neighbours: fill.c fills, shadow.c
// says what the VMCS holds meanwhile.
#include <arch/lib.h>
#include <arch/phys.h>

#include "tables.h"
#include "unpaged.h"

#define PDPT_LEVEL   3u
#define PDPT_ENTRIES 4u
#define PDPT_FRAMES  (4 * GIB / PAGE_SIZE) // CR3 has 32 bits outside long mode

int unpaged_init(struct shadow_view *view)
{
    struct frames *f = view->s->p2m->frames;
    u64 frame = f->limit < PDPT_FRAMES ? f->limit : PDPT_FRAMES;
    do {
        if (!frame--)
            return ERR_NOMEM;
    } while (frames_alloc_at(f, mfn(frame), ORDER_4K, FRAME_MONITOR));
    view->pdpt = mfn_ptr(mfn(frame));
    memset(view->pdpt, 0, PAGE_SIZE);
    return 0;
}

void unpaged_leave(struct shadow_view *view)
{
    frames_free(view->s->p2m->frames, hpa_mfn(ptr_hpa(view->pdpt)), ORDER_4K);
    view->pdpt = NULL;
}

u32 unpaged_root(struct shadow *s)
{
    return table_get(s, (struct table_key){.level = PDPT_LEVEL, .splinter = true}, false, NULL);
}

static u64 pdpte(const struct shadow_view *view, unsigned slot)
{
    u64 entry = view->s->tables[view->root].entries[slot];
    return entry_maps(view->s, entry) ? (entry & PTE_ADDRESS) | PTE_P : 0;
}

void unpaged_publish(struct shadow_view *view)
{
    for (unsigned slot = 0; slot < PDPT_ENTRIES; slot++)
        view->pdpt[slot] = pdpte(view, slot);
}

const char *unpaged_audit(const struct shadow_view *view)
{
    for (unsigned slot = 0; view->unpaged && slot < PDPT_ENTRIES; slot++) {
        if (view->pdpt[slot] != pdpte(view, slot))
            return "the processor's PDPT is not that of the tables";
    }
    return NULL;
}
