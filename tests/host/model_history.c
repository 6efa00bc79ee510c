// See model_history.h. Time is cut into epochs: MOV to CR3 and INVLPG empty the paging-structure caches, so
// all entries of one translation were read in one epoch, from the top down. A translation outlives the epoch
// that it was made in, until an event that removes it from the TLB.
#include "model_history.h"

#include <arch/lib.h>
#include <arch/panic.h>

#define RECORDS 16384u
#define EVENTS  4096u
#define BUCKETS 4096u
#define FOREVER UINT32_MAX

// More than one step of the guest's adds: a sweep of 120 addresses, each with a #PF, an INVLPG and what is
// stored.
#define STEP_RECORDS 2048u
#define STEP_EVENTS  512u

struct record {
    u64 gpa, value;
    u32 from, until; // from <= t < until
    u32 next;        // older, or of other entries
};

struct event {
    enum history_event kind;
    u64 value;
    u32 time;
    u64 cr3; // from then on
};

static struct record records[RECORDS];
static u32 buckets[BUCKETS], record_count; // record 0 is not used
static struct event events[EVENTS];
static unsigned event_count;
static u32 now;

// What is sought, in one epoch.
struct search {
    struct model *m;
    u64 gpa;
    u32 until;        // the end of the epoch
    bool only_global; // MOV to CR3 has removed the others
    unsigned largest; // level of the largest page that no INVLPG has removed
    bool absent;      // a fault with error_code is sought
    u32 error_code;
};

static bool search_down(struct search *s, u32 from);

static u32 *bucket_of(u64 gpa)
{
    return &buckets[gpa * 0x9e3779b97f4a7c15ull >> 52];
}

void history_start(u64 cr3)
{
    memset(buckets, 0, sizeof(buckets));
    record_count = 0;
    now = 1;
    events[0] = (struct event){HISTORY_CR3, cr3, 0, cr3};
    event_count = 1;
}

bool history_full(void)
{
    return record_count > RECORDS - STEP_RECORDS || event_count > EVENTS - STEP_EVENTS;
}

static const struct record *record_find(u32 at, u64 gpa)
{
    while (at && records[at].gpa != gpa)
        at = records[at].next;
    return at ? &records[at] : NULL;
}

void history_store(u64 gpa, u64 old)
{
    if (record_count + 1 == RECORDS)
        panic("the history is full");
    u32 *bucket = bucket_of(gpa);
    const struct record *last = record_find(*bucket, gpa);
    records[++record_count] = (struct record){gpa, old, last ? last->until : 0, ++now, *bucket};
    *bucket = record_count;
    now++;
}

void history_event(enum history_event kind, u64 value)
{
    if (event_count == EVENTS)
        panic("too many events");
    u64 cr3 = kind == HISTORY_CR3 ? value : events[event_count - 1].cr3;
    events[event_count++] = (struct event){kind, value, ++now, cr3};
    now++;
}

// A processor that cannot set these bits, as the memory is read-only, does without.
static bool has_bits(const struct model_entry *e, u64 wanted)
{
    return !e->memory || e->type != P2M_RAM || (e->value & wanted) == wanted;
}

static bool page_found(struct search *s, const struct model_entry *e)
{
    struct walk out;
    bool dirty = s->m->access.kind != ACCESS_WRITE || has_bits(e, BIT(6));
    if (s->absent || e->level > s->largest || !dirty || model_judge_list(s->m, &out))
        return false;
    return out.gpa == s->gpa && (!s->only_global || out.global);
}

// The entry that is listed last had its value in [from, until).
static bool entry_tried(struct search *s, u32 earliest, u32 from, u32 until)
{
    struct model *m = s->m;
    const struct model_entry *e = &m->list[m->count - 1];
    u32 at = from > earliest ? from : earliest;
    struct walk out;
    if (s->absent && until == FOREVER && !bit(e->value, 0))
        return model_judge_list(m, &out) && out.error_code == s->error_code;
    if (at >= until || at > s->until || !bit(e->value, 0) || !has_bits(e, BIT(5)))
        return false;
    if (model_reserved(m->context, m->mode, e->level, e->page, e->value))
        return false;
    return e->page ? page_found(s, e) : search_down(s, at);
}

// Tries each value that the next entry has had since `earliest`. The earliest time for each leaves most
// choice for those below.
static bool search_down(struct search *s, u32 earliest)
{
    struct model *m = s->m;
    unsigned count = m->count, level;
    u64 gpa = model_next(m, &level);
    struct model_entry *e = model_read(m, level, gpa);
    const struct record *r = record_find(*bucket_of(gpa), gpa);
    bool found = entry_tried(s, earliest, r ? r->until : 0, FOREVER);
    for (; !found && r && r->until > earliest; r = record_find(r->next, gpa)) {
        m->count = count + 1;
        e->value = r->value;
        e->page = model_page(m, level, r->value);
        found = entry_tried(s, earliest, r->from, r->until);
    }
    m->count = count;
    return found;
}

static bool search_epoch(struct search *s, u64 cr3, u32 from, u32 until)
{
    struct walk_context context = *s->m->context;
    struct model m = *s->m;
    struct search in_epoch = *s;
    context.regs.cr3 = cr3;
    m.context = &context;
    m.count = 0;
    in_epoch.m = &m;
    in_epoch.until = until;
    return search_down(&in_epoch, from);
}

// What an event leaves of the translations made before it. False: none for m->gva.
static bool search_survives(struct search *s, const struct event *e)
{
    if (e->kind == HISTORY_CR3) {
        s->only_global = true;
        return true;
    }
    for (unsigned level = s->largest; level >= 1; level--) {
        if (e->value << 16 >> (19 + 9 * level) == s->m->gva << 16 >> (19 + 9 * level))
            s->largest = level - 1;
    }
    return s->largest;
}

// From the present epoch back. #PF ends no epoch: it removes only what is cached for one address.
static bool search_history(struct search *s)
{
    u32 until = now;
    for (unsigned i = event_count; i-- > 0;) {
        const struct event *e = &events[i];
        bool own = e->kind == HISTORY_FAULT && e->value << 16 >> 28 == s->m->gva << 16 >> 28;
        bool boundary = e->kind != HISTORY_FAULT || own;
        if (boundary && search_epoch(s, e->cr3, e->time, until))
            return true;
        if (own || (boundary && s->absent))
            return false;
        if (boundary)
            until = e->time;
        if (boundary && !search_survives(s, e))
            return false;
    }
    return false;
}

bool history_allows(struct model *m, u64 gpa)
{
    struct search s = {.m = m, .gpa = gpa, .largest = 3};
    return m->mode != PAGING_NONE && search_history(&s); // without paging nothing is cached
}

bool history_allows_absent(struct model *m, u32 error_code)
{
    struct search s = {.m = m, .largest = 3, .absent = true, .error_code = error_code};
    return m->mode != PAGING_NONE && search_history(&s);
}
