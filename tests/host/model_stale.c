// See model_stale.h. Time counts events. An entry has the time when it was last changed while it was present,
// and when it last became present: what was cached through it is at most as old. An address has the time when
// it was dropped last.
#include "model_stale.h"
#include "shadow_machine.h"

#include <arch/lib.h>

#define ENTRIES (GUEST_FRAMES * 512u)
#define PAGES   4096u

static struct slot {
    u64 changed, appeared;
} slots[ENTRIES];

// INVLPG by page; one takes the other's place, whose page is taken for never dropped.
static struct dropped {
    u64 page, time;
} dropped[PAGES];

static u64 now, flushed;
static bool global;

void stale_flush(void)
{
    flushed = ++now;
    global = false;
}

void stale_cr3(void)
{
    if (!global)
        stale_flush();
}

bool stale_has_global(void)
{
    return global;
}

static struct dropped *dropped_at(u64 gva)
{
    return &dropped[(gva >> 12) * 0x9e3779b97f4a7c15ull >> 52];
}

void stale_invlpg(u64 gva)
{
    *dropped_at(gva) = (struct dropped){gva >> 12, ++now};
}

void stale_store(u64 gpa, u64 old, u64 value)
{
    if (old == value || gpa / 8 >= ENTRIES)
        return;
    struct slot *s = &slots[gpa / 8];
    *(bit(old, 0) ? &s->changed : &s->appeared) = ++now;
}

void stale_used(const struct walk *walk)
{
    global |= walk->global;
}

static u64 later(u64 a, u64 b)
{
    return a > b ? a : b;
}

bool stale_may_be(const struct model *m)
{
    const struct dropped *d = dropped_at(m->gva);
    u64 since = d->page == m->gva >> 12 ? later(d->time, flushed) : flushed;
    for (unsigned i = 0; i < m->count; i++) {
        u64 gpa = m->list[i].gpa;
        if (gpa / 8 >= ENTRIES)
            continue;
        if (slots[gpa / 8].changed > since)
            return true;
        since = later(since, slots[gpa / 8].appeared);
    }
    return false;
}
