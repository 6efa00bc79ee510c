// See model_stale.h. Time counts events. An entry has the times when it was last changed while it was
// present, and when it last became present: what was cached through it is at most as old. An address has the
// time when it was dropped last, and so has each large page that it may lie in: one INVLPG drops all that is
// cached of the page that the address has had (SDM vol. 3, 4.10.4.1).
#include "model_stale.h"
#include "shadow_machine.h"

#include <arch/lib.h>

#define ENTRIES (GUEST_FRAMES * 512u)
#define PAGES   4096u

static struct slot {
    u64 changed, before, appeared; // before: the last change but one
    bool large;                    // it was one that maps a large page
} slots[ENTRIES];

// By page of a level; one takes the other's place, which is taken for never dropped.
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

static u64 page_of(u64 gva, unsigned level)
{
    return gva >> (3 + 9 * level) << 2 | level;
}

static struct dropped *dropped_at(u64 page)
{
    return &dropped[page * 0x9e3779b97f4a7c15ull >> 52];
}

static void drop(u64 page)
{
    *dropped_at(page) = (struct dropped){page, ++now};
}

static u64 dropped_time(u64 page)
{
    const struct dropped *d = dropped_at(page);
    return d->page == page ? d->time : 0;
}

void stale_fault(u64 gva)
{
    drop(page_of(gva, 1));
}

void stale_invlpg(u64 gva)
{
    for (unsigned level = 1; level <= 3; level++)
        drop(page_of(gva, level));
}

void stale_store(u64 gpa, u64 old, u64 value)
{
    if (old == value || gpa / 8 >= ENTRIES)
        return;
    struct slot *s = &slots[gpa / 8];
    if (!bit(old, 0)) {
        s->appeared = ++now;
        return;
    }
    s->before = s->changed;
    s->changed = ++now;
    s->large = bit(old, 7);
}

void stale_used(const struct walk *walk)
{
    global |= walk->global;
}

static u64 later(u64 a, u64 b)
{
    return a > b ? a : b;
}

// Whether one INVLPG has been enough: since then the entry has changed once, from a large page to something
// else.
static bool large_is_dropped(const struct slot *s, u64 gva, unsigned level, u64 since)
{
    return level > 1 && s->large && s->before <= since && dropped_time(page_of(gva, level)) > s->changed;
}

bool stale_may_be(const struct model *m)
{
    u64 since = later(dropped_time(page_of(m->gva, 1)), flushed);
    for (unsigned i = 0; i < m->count; i++) {
        u64 gpa = m->list[i].gpa;
        if (gpa / 8 >= ENTRIES)
            continue;
        const struct slot *s = &slots[gpa / 8];
        if (s->changed > since && !large_is_dropped(s, m->gva, m->list[i].level, since))
            return true;
        since = later(since, later(s->changed, s->appeared));
    }
    return false;
}
