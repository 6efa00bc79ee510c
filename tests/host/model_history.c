// See model_history.h. Time is cut into periods, for each PCID its own: MOV to CR3 and INVLPG empty the
// paging-structure caches of a PCID, so all entries of one translation were read in one period, from the top
// down, at times when that PCID was in use. A translation outlives the period that it was made in, until an
// event that removes it from the TLB: of another PCID it counts if it is global.
#include "model_history.h"

#include <arch/lib.h>
#include <arch/panic.h>

#define RECORDS 16384u
#define EVENTS  4096u
#define BUCKETS 4096u
#define PCIDS   32u
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
    u64 cr3;  // from then on,
    u16 pcid; // with this
    u16 of;   // whose translations go: of INVPCID another's
};

static struct record records[RECORDS];
static u32 buckets[BUCKETS], record_count; // record 0 is not used
static struct event events[EVENTS];
static unsigned event_count;
static u32 now;
static u32 pcids; // bit n: PCID n has been in use

// What is sought, in one period of one PCID.
struct search {
    struct model *m;
    u64 gpa;
    u16 pcid;
    bool global;       // of global pages only, else only of others
    u32 root_until;    // until when the root that is tried was in CR3
    u32 until;         // the end of the period
    u32 page_since[5]; // by level: what was cached of pages earlier has been removed
    bool absent;       // a fault with error_code is sought
    u32 error_code;
};

static bool search_down(struct search *s, u32 from);

static u32 *bucket_of(u64 gpa)
{
    return &buckets[gpa * 0x9e3779b97f4a7c15ull >> 52];
}

static void event_add(struct event event)
{
    if (event_count == EVENTS)
        panic("too many events");
    if (event.pcid >= PCIDS)
        panic("PCID %u", event.pcid);
    event.time = event_count ? ++now : 0;
    now++;
    pcids |= 1u << event.pcid;
    events[event_count++] = event;
}

void history_start(u64 cr3, u16 pcid)
{
    memset(buckets, 0, sizeof(buckets));
    record_count = event_count = 0;
    now = pcids = 0;
    history_cr3(HISTORY_CR3, cr3, pcid);
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

void history_cr3(enum history_event kind, u64 cr3, u16 pcid)
{
    event_add((struct event){.kind = kind, .cr3 = cr3, .pcid = pcid, .of = pcid});
}

void history_invpcid(enum history_event kind, u16 pcid, u64 gva)
{
    const struct event *last = &events[event_count - 1];
    event_add((struct event){.kind = kind, .value = gva, .cr3 = last->cr3, .pcid = last->pcid, .of = pcid});
}

void history_event(enum history_event kind, u64 value)
{
    history_invpcid(kind, events[event_count - 1].pcid, value);
}

// A processor that cannot set these bits, as the memory is read-only, does without.
static bool has_bits(const struct model_entry *e, u64 wanted)
{
    return !e->memory || e->type != P2M_RAM || (e->value & wanted) == wanted;
}

// The first time from `at` on when the PCID was in use: FOREVER if there is none.
static u32 time_in_use(const struct search *s, u32 at)
{
    unsigned low = 0, high = event_count;
    while (high - low > 1) { // events[low] is at `at` or before
        unsigned middle = (low + high) / 2;
        if (events[middle].time <= at)
            low = middle;
        else
            high = middle;
    }
    if (events[low].pcid == s->pcid)
        return at;
    while (++low < event_count) {
        if (events[low].pcid == s->pcid)
            return events[low].time;
    }
    return FOREVER;
}

// When the processor may have read an entry that was so in [from, until), in the period and not before
// `earliest`: FOREVER if never.
static u32 time_read(const struct search *s, u32 earliest, u32 from, u32 until)
{
    u32 at = time_in_use(s, from > earliest ? from : earliest);
    u32 last = s->m->count == 1 ? s->root_until : s->until;
    return at < until && at <= last ? at : FOREVER;
}

static bool page_found(struct search *s, const struct model_entry *e)
{
    struct walk out;
    bool dirty = s->m->access.kind != ACCESS_WRITE || has_bits(e, BIT(6));
    if (s->absent || !dirty || model_judge_list(s->m, &out))
        return false;
    return out.gpa == s->gpa && out.global == s->global;
}

// The entry that is listed last had its value in [from, until).
static bool entry_tried(struct search *s, u32 earliest, u32 from, u32 until)
{
    struct model *m = s->m;
    const struct model_entry *e = &m->list[m->count - 1];
    struct walk out;
    if (s->absent && until == FOREVER && !bit(e->value, 0))
        return model_judge_list(m, &out) && out.error_code == s->error_code;
    if (e->page && s->page_since[e->level] > earliest)
        earliest = s->page_since[e->level];
    u32 at = time_read(s, earliest, from, until);
    if (at == FOREVER || !bit(e->value, 0) || !has_bits(e, BIT(5)))
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

static bool same_page(u64 gva, u64 other, unsigned level)
{
    return gva << 16 >> (19 + 9 * level) == other << 16 >> (19 + 9 * level);
}

// The TLB loses what was cached of the pages at the event's address: of large ones of another root, which the
// present one need not map, perhaps only the piece of 4K (SDM vol. 3, 4.10.2.3 and 4.10.4.1).
static void pages_removed(struct search *s, const struct event *e, bool same_root)
{
    for (unsigned level = 1; level <= 3; level++) {
        if (same_page(e->value, s->m->gva, same_root ? level : 1) && s->page_since[level] < e->time)
            s->page_since[level] = e->time;
    }
}

// Of global translations of the root that events[i] found, or put, into CR3, by what came later.
static void globals_removed(struct search *s, unsigned i)
{
    for (unsigned later = i + 1; later < event_count; later++) {
        const struct event *e = &events[later];
        bool same_root = hpa_mfn(e->cr3).n == hpa_mfn(events[i].cr3).n;
        if (e->kind == HISTORY_INVLPG || e->kind == HISTORY_FAULT)
            pages_removed(s, e, same_root && e->kind == HISTORY_INVLPG);
    }
}

// Translations that begin with the root that events[i] found, or put, into CR3.
static bool search_root(struct search *s, unsigned i)
{
    struct walk_context context = *s->m->context;
    struct model m = *s->m;
    struct search in_root = *s;
    unsigned next = i + 1;
    while (next < event_count && events[next].cr3 == events[i].cr3)
        next++;
    context.regs.cr3 = events[i].cr3;
    m.context = &context;
    m.count = 0;
    in_root.m = &m;
    in_root.root_until = next < event_count && events[next].time < s->until ? events[next].time : s->until;
    if (s->global)
        globals_removed(&in_root, i);
    return search_down(&in_root, events[i].time);
}

// What an event makes of the translations that began before it. False: none is left. *ends: of those that
// have not come to a page none is left.
static bool search_survives(struct search *s, const struct event *e, bool *ends)
{
    bool own = e->of == s->pcid, here = same_page(e->value, s->m->gva, 1);
    switch (e->kind) {
    case HISTORY_CR3_KEEPS:
        return true;
    case HISTORY_CR3:
    case HISTORY_INVPCID_SINGLE:
        *ends = own;
        return !own || s->global;
    case HISTORY_INVPCID_ALL:
        *ends = true;
        return s->global;
    case HISTORY_INVPCID_ADDRESS:
        *ends = own && here;
        if (own && !s->global)
            pages_removed(s, e, true);
        return true;
    case HISTORY_FAULT: // removes only what is cached for one page
        *ends = own && here;
        if (own && here && !s->global)
            pages_removed(s, e, true);
        return !(own && here);
    default:
        *ends = own;
        if (own && !s->global)
            pages_removed(s, e, true);
        return !(own && here);
    }
}

// Whether a translation may begin at the event, and not as well before it.
static bool begins(const struct search *s, unsigned i, bool ends)
{
    const struct event *e = &events[i];
    return e->pcid == s->pcid && (ends || !i || events[i - 1].cr3 != e->cr3 || events[i - 1].pcid != e->pcid);
}

// From the present period of the PCID back.
static bool search_history(struct search s)
{
    s.until = now;
    for (unsigned i = event_count; i-- > 0;) {
        struct search before = s;
        bool ends = false, survives = search_survives(&before, &events[i], &ends);
        if (begins(&s, i, ends) && search_root(&s, i))
            return true;
        if (!survives || (ends && s.absent))
            return false;
        s = before;
        if (ends)
            s.until = events[i].time;
    }
    return false;
}

bool history_allows(struct model *m, u64 gpa)
{
    struct search s = {.m = m, .gpa = gpa, .pcid = events[event_count - 1].pcid};
    if (m->mode == PAGING_NONE) // without paging nothing is cached
        return false;
    bool found = search_history(s);
    s.global = true;
    for (s.pcid = 0; s.pcid < PCIDS && !found; s.pcid++)
        found = pcids >> s.pcid & 1 && search_history(s);
    return found;
}

bool history_allows_absent(struct model *m, u32 error_code)
{
    struct search s = {
        .m = m, .pcid = events[event_count - 1].pcid, .absent = true, .error_code = error_code};
    return m->mode != PAGING_NONE && search_history(s);
}
