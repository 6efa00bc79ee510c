// A guest without paging: a page of 4 GiB, as it were, that maps every address to itself. VMX keeps CR0.PG on
// here, so the processor walks PAE paging (SDM vol. 3, 4.4): splinters of levels 3, 2 and 1, filled by hidden
// faults like those of a large page. Entries of levels 2 and 1 are alike in PAE and 4-level paging. Those of
// the PDPT are not (table 4-8: no rights, no accessed bit): the processor gets a copy in that format, and
// loads it into its registers at each VM entry (27.3.2.4, without EPT). Neighbours: fill.c fills, shadow.c
// says what the VMCS holds meanwhile.
#include <arch/lib.h>
#include <arch/phys.h>

#include "tables.h"

#define PDPT_LEVEL   3u
#define PDPT_ENTRIES 4u
#define PDPT_FRAMES  (4 * GIB / PAGE_SIZE) // CR3 has 32 bits outside long mode

int unpaged_init(struct shadow *s)
{
    struct frames *f = s->p2m->frames;
    u64 frame = f->limit < PDPT_FRAMES ? f->limit : PDPT_FRAMES;
    do {
        if (!frame--)
            return ERR_NOMEM;
    } while (frames_alloc_at(f, mfn(frame), ORDER_4K, FRAME_MONITOR));
    s->pdpt = mfn_ptr(mfn(frame));
    memset(s->pdpt, 0, PAGE_SIZE);
    return 0;
}

u32 unpaged_root(struct shadow *s)
{
    return table_get(s, (struct table_key){.level = PDPT_LEVEL, .splinter = true}, false, NULL);
}

static u64 pdpte(const struct shadow *s, unsigned slot)
{
    u64 entry = s->tables[s->root].entries[slot];
    return entry_maps(s, entry) ? (entry & PTE_ADDRESS) | PTE_P : 0;
}

void unpaged_publish(struct shadow *s)
{
    for (unsigned slot = 0; slot < PDPT_ENTRIES; slot++)
        s->pdpt[slot] = pdpte(s, slot);
}

u64 root_address(const struct shadow *s)
{
    return s->unpaged ? ptr_hpa(s->pdpt) : ptr_hpa(s->tables[s->root].entries);
}

const char *unpaged_audit(const struct shadow *s)
{
    for (unsigned slot = 0; s->unpaged && slot < PDPT_ENTRIES; slot++) {
        if (s->pdpt[slot] != pdpte(s, slot))
            return "the processor's PDPT is not that of the tables";
    }
    return NULL;
}
