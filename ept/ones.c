// See ones.h.
#include <arch/lib.h>
#include <arch/phys.h>

#include "ones.h"

#define PLACES 8 // one walk needs one, delivering an event a few

static struct {
    mfn_t page;
    bool made;
    gfn_t place[PLACES];
    unsigned used, next;
} ones;

void ones_init(void)
{
    memset(&ones, 0, sizeof(ones));
}

static int page_make(struct p2m *p2m)
{
    int error = frames_alloc(p2m->frames, ORDER_4K, FRAME_GUEST, &ones.page);
    if (error)
        return error;
    memset(mfn_ptr(ones.page), 0xff, PAGE_SIZE);
    ones.made = true;
    return 0;
}

int ones_put(struct p2m *p2m, gfn_t where)
{
    int error = ones.made ? 0 : page_make(p2m);
    if (!error && ones.used == PLACES)
        error = p2m_clear(p2m, ones.place[ones.next], 1, P2M_HOLE);
    if (!error)
        error = p2m_map(p2m, where, ones.page, 1, P2M_RAM_RO);
    if (error)
        return error;
    ones.place[ones.next] = where;
    ones.next = (ones.next + 1) % PLACES;
    if (ones.used < PLACES)
        ones.used++;
    return 0;
}
