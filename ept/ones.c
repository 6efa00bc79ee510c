// See ones.h.
#include <arch/lib.h>
#include <arch/panic.h>
#include <arch/phys.h>

#include "ones.h"

static int page_make(struct ones *ones, struct p2m *p2m)
{
    int error = frames_alloc(p2m->frames, ORDER_4K, FRAME_GUEST, &ones->page);
    if (error)
        return error;
    memset(mfn_ptr(ones->page), 0xff, PAGE_SIZE);
    ones->made = true;
    return 0;
}

// A place that holds something else by now is not ours any more. A 4K page goes without a new table.
static void place_clear(const struct ones *ones, struct p2m *p2m, gfn_t place)
{
    if (p2m_lookup(p2m, place).mfn.n == ones->page.n)
        assert_that(p2m_clear(p2m, place, 1, P2M_HOLE) == 0);
}

int ones_put(struct ones *ones, struct p2m *p2m, gfn_t where)
{
    int error = ones->made ? 0 : page_make(ones, p2m);
    if (!error && ones->used == ONES_PLACES)
        place_clear(ones, p2m, ones->place[ones->next]);
    if (!error)
        error = p2m_map(p2m, where, ones->page, 1, P2M_RAM_RO);
    if (error)
        return error;
    ones->place[ones->next] = where;
    ones->next = (ones->next + 1) % ONES_PLACES;
    if (ones->used < ONES_PLACES)
        ones->used++;
    return 0;
}

void ones_take_back(struct ones *ones, struct p2m *p2m)
{
    while (ones->used)
        place_clear(ones, p2m, ones->place[--ones->used]);
    if (ones->made)
        frames_free(p2m->frames, ones->page, ORDER_4K);
    *ones = (struct ones){.made = false};
}
