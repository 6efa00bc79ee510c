// mmu-torture: random edits of a few page tables by every form of store, with the invalidations that the
// architecture requires and no others, between accesses of every kind; each access and the accessed and dirty
// bits after it must be what paging_model.c says of the tables as they are. An address for which a TLB may
// hold something older is invalidated before it is used (SDM vol. 3, 4.10.4.2), so only one result is right:
// also where an entry has become present or more permissive without an invalidation, for then the processor
// looks at the tables again before it faults. Deterministic: a failure names its step. Neighbours:
// torture_forms.c (stores), matrix.c (no caching).
//
// Ten tables and three roots at fixed addresses may be used at any level, and as data. All addresses use
// three indices at each level: 81 pages. For each, `stale` says whether a TLB may hold something older than
// the tables.
#include "paging_model.h"
#include "torture.h"

#define ARENA     (8 * MIB) // four 2M pages
#define ARENA_END (16 * MIB)
#define TABLES    10 // 0..2 are mostly used at level 3, 3..5 at level 2, 6..9 at level 1
#define ROOTS     3
#define TABLE(n)  (ARENA + MIB + (n)*PAGE_SIZE)
#define ROOT(n)   TABLE(TABLES + 1 + (n))
#define INDICES   3
#define PLACES    81
#define HISTORY   16

static const u16 indices[INDICES] = {5, 6, 511};
static const u16 code_pages[] = {0, 5, 6, 7, 8, 9, 511}; // in each 2M page

enum stale { STALE_SUPERVISOR = 1, STALE_USER = 2, STALE = 3 };
enum operation { EDIT, ACCESS, SWITCH, CONTROL, LARGE, CLEAR, INVALIDATE, OPERATIONS };
static const char *const operation_names[] = {"edit",  "access", "switch",    "control",
                                              "large", "clear",  "invalidate"};

struct event {
    u64 step;
    enum operation operation;
    const char *form;
    u64 address, before, after;
};

static struct {
    struct paging_features has;
    struct controls controls;
    bool pge;
    u64 random, root;
    u8 stale[PLACES];
    bool global[PLACES]; // a TLB may hold a global translation
    u64 *edited;         // last
    u64 step, accesses, faults, flushes, sum;
    struct event history[HISTORY];
    bool failed;
} t;

static u64 draw(u64 below)
{
    u64 z = (t.random += 0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return (z ^ z >> 31) % below;
}

static bool chance(unsigned percent)
{
    return draw(100) < percent;
}

static void log_event(enum operation operation, const char *form, u64 address, u64 before, u64 after)
{
    t.history[t.step++ % HISTORY] = (struct event){t.step, operation, form, address, before, after};
}

static void print_history(void)
{
    for (u64 step = t.step > HISTORY ? t.step - HISTORY : 0; step < t.step; step++) {
        const struct event *e = &t.history[step % HISTORY];
        print("#   %lu %s %s: %lx, %lx, %lx\n", step, operation_names[e->operation], e->form, e->address,
              e->before, e->after);
    }
}

// The places, 0..80: an index for each level, that of level 4 first.
static u64 place_gva(unsigned place)
{
    u64 gva = 0;
    for (unsigned level = 1; level <= 4; level++, place /= INDICES)
        gva |= (u64)indices[place % INDICES] << (12 + 9 * (level - 1));
    return gva & BIT(47) ? gva | 0xFFFFull << 48 : gva;
}

static bool is_table(u64 gpa)
{
    return gpa >= TABLE(0) && gpa < ROOT(ROOTS) && gpa - gpa % PAGE_SIZE != TABLE(TABLES);
}

static bool has_code(u64 gpa)
{
    if (gpa < ARENA || gpa >= ARENA_END || gpa % PAGE_SIZE)
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(code_pages); i++) {
        if (gpa / PAGE_SIZE % 512 == code_pages[i])
            return true;
    }
    return false;
}

// Data pages: code that tells the page, and words that no walk takes for present entries.
static void data_start(void)
{
    for (u64 large = ARENA; large < ARENA_END; large += 2 * MIB) {
        for (unsigned i = 0; i < ARRAY_SIZE(code_pages); i++) {
            u64 *page = (u64 *)(large + code_pages[i] * PAGE_SIZE);
            access_code((u8 *)page, (u32)((u64)page / PAGE_SIZE));
            for (unsigned n = 0; n < INDICES; n++)
                page[indices[n]] = (u64)page + n * 16;
        }
    }
}

static bool arena_is_free(void)
{
    for (unsigned i = 0; i < info.used_count; i++) {
        if (info.used[i].start < ARENA_END && info.used[i].end > ARENA)
            return false;
    }
    return gpa_is_ram(ARENA) && gpa_is_ram(ARENA_END - 1);
}

// What a TLB may hold.

// How an edit makes translations that use the entry stale: not at all if nothing of it is cached (4.10.2.3:
// neither when not present nor when not accessed), nor if it only grants more. User pages deny the supervisor
// something.
static u8 makes_stale(u64 old, u64 new, bool torn)
{
    u64 granting = PAGE_W | PAGE_A | PAGE_D, ignored = (BIT(12) - BIT(9)) | (BIT(59) - BIT(52));
    if ((old & (PAGE_P | PAGE_A)) != (PAGE_P | PAGE_A))
        return 0;
    u64 taken = old & ~new &granting, changed = (old ^ new) & ~(granting | ignored | PAGE_NX | PAGE_U);
    if (torn || taken || changed || (new & ~old &PAGE_NX) || (old & ~new &PAGE_U))
        return STALE;
    return (old ^ new) & PAGE_U ? STALE_SUPERVISOR : 0;
}

// Sets the marks of the places in [first, first + span * 3) whose walk goes through the entry.
static void mark_places(u8 *marks, u64 table, unsigned level, unsigned first, unsigned span, const u64 *entry,
                        u8 mark)
{
    for (unsigned i = 0; i < INDICES; i++, first += span) {
        u64 *at = (u64 *)table + indices[i], next = *at & 0xFFFFFFFFFF000;
        if (at == entry) {
            for (unsigned place = first; place < first + span; place++)
                marks[place] |= mark;
        } else if (level > 1 && model_leads_on(level, *at, t.controls.nxe) && gpa_is_ram(next)) {
            mark_places(marks, next, level - 1, first, span / INDICES, entry, mark);
        }
    }
}

// Before an entry is written. Places under other roots are judged when those are loaded.
static void note_write(u64 *entry, u64 old, u64 new, bool torn)
{
    u8 stale = makes_stale(old, new, torn);
    if (stale)
        mark_places(t.stale, t.root, 4, 0, PLACES / INDICES, entry, stale);
    t.edited = entry;
}

static void invalidate(unsigned place)
{
    asm volatile("invlpg (%0)" ::"r"(place_gva(place)) : "memory");
    t.stale[place] = 0;
    t.global[place] = false;
}

// MOV to CR3 leaves global translations, which then may be of another root.
static void load_root(u64 root)
{
    for (unsigned place = 0; place < PLACES; place++) {
        if (!t.global[place])
            t.stale[place] = 0;
        else if (root != t.root)
            t.stale[place] = STALE;
    }
    t.root = root;
    cr3_write(root);
}

static void toggle_global(void)
{
    t.pge = !t.pge;
    cr4_write(cr4_read() ^ CR4_PGE);
    memset(t.stale, 0, sizeof(t.stale));
    memset(t.global, 0, sizeof(t.global));
}

// By one of the ways the architecture has.
static void make_fresh(unsigned place)
{
    t.flushes++;
    if (chance(20) && !t.global[place])
        load_root(t.root);
    else if (chance(5))
        toggle_global();
    else
        invalidate(place);
}

// Global translations of a large page serve all places in it.
static void note_translation(unsigned place, const struct model_walk *w)
{
    static const u8 places_of_page[] = {0, 1, INDICES, INDICES * INDICES};
    if (!t.pge || !(w->before[w->count - 1] & PAGE_G))
        return;
    unsigned count = places_of_page[w->level], first = place - place % count;
    for (unsigned i = first; i < first + count; i++)
        t.global[i] = true;
}

// Edits.

// Above level 1 mostly all that can be granted, or hardly an access would succeed.
static u64 random_flags(unsigned level)
{
    unsigned odds = level == 1 ? 1 : 4;
    u64 flags = draw(8) << 9 | draw(128) << 52;
    flags |= chance(5) && chance(100 / odds) ? 0 : PAGE_P;
    flags |= chance(20) && chance(100 / odds) ? 0 : PAGE_W;
    flags |= chance(20) && chance(100 / odds) ? 0 : PAGE_U;
    flags |= chance(60) ? PAGE_A : 0;
    flags |= chance(50) ? PAGE_D : 0;
    flags |= chance(30) && level < 4 ? PAGE_G : 0;
    flags |= chance(8) && chance(100 / odds) && t.has.nx ? PAGE_NX : 0;
    return flags | (chance(1) && t.has.physical_bits < 52 ? BIT(51) : 0);
}

static u64 random_data(void)
{
    u64 large = ARENA + draw(4) * 2 * MIB;
    if (chance(3))
        return HOLE_GPA;
    return large + code_pages[draw(ARRAY_SIZE(code_pages))] * PAGE_SIZE;
}

static u64 random_table(void)
{
    return chance(70) ? TABLE(draw(TABLES)) : ROOT(draw(ROOTS));
}

// What an entry of this level is to lead to: mostly a table of the next one, or a page; anything now and
// then.
static u64 random_address(unsigned level)
{
    if (chance(6))
        return random_table();
    if (level == 1 || chance(1))
        return random_data();
    if (level == 2)
        return chance(30) ? PAGE_PS | (ARENA + draw(4) * 2 * MIB) : TABLE(6 + draw(4));
    if (level == 3)
        return chance(15) && t.has.large_1g ? PAGE_PS : TABLE(3 + draw(3));
    return TABLE(draw(3));
}

// Another entry, or the old one with accessed and dirty cleared, with all granted, or with one flag changed.
// Of all the ways to change an entry those that deny something are rarer above level 1, where they deny much.
static u64 random_entry(unsigned level, u64 old)
{
    static const u64 flags[] = {PAGE_P, PAGE_W, PAGE_U, PAGE_A,  PAGE_D,
                                PAGE_W, PAGE_U, PAGE_G, PAGE_NX, BIT(10)};
    if (!old || chance(25))
        return random_address(level) | random_flags(level);
    if (chance(level == 1 ? 8 : 2))
        return 0;
    if (chance(20))
        return old & ~(u64)(PAGE_A | PAGE_D);
    if (chance(level == 1 ? 30 : 75))
        return (old | PAGE_P | PAGE_W | PAGE_U) & ~PAGE_NX;
    return old ^ flags[draw(ARRAY_SIZE(flags) - !t.has.nx)];
}

// The level at which a table is mostly used.
static unsigned level_of(u64 gpa)
{
    if (gpa >= ROOT(0))
        return 4;
    return gpa < TABLE(3) ? 3 : gpa < TABLE(6) ? 2 : 1;
}

static void tables_start(void)
{
    memset((void *)TABLE(0), 0, ROOT(ROOTS) - TABLE(0));
    for (unsigned n = 0; n < ROOTS; n++)
        *(u64 *)ROOT(n) = boot_pml4[0];
    for (u64 table = TABLE(0); table < ROOT(ROOTS); table += PAGE_SIZE) {
        for (unsigned i = 0; i < INDICES && is_table(table); i++)
            ((u64 *)table)[indices[i]] = random_entry(level_of(table), 0);
    }
}

// Entries lead to page 0, too, where firmware's interrupt vectors are, in real mode's form: those of one
// firmware are present entries, those of another are not. Here nobody uses them: nothing is there.
static void vectors_clear(void)
{
    for (volatile u64 *p = NULL; (u64)p < 0x400; p++)
        *p = 0;
}

static void torture_start(u64 seed)
{
    memset(&t, 0, sizeof(t));
    t.has = paging_features();
    t.random = seed;
    t.root = ROOT(0);
    expect("arena is free", arena_is_free(), true);
    vectors_clear();
    data_start();
    tables_start();
    t.controls = (struct controls){.wp = true, .nxe = t.has.nx};
    controls_set(&t.controls);
    cr4_write(cr4_read() & ~(u64)CR4_PGE);
    cr3_write(t.root);
}

static void torture_finish(void)
{
    cr3_write((u64)boot_pml4);
    cr4_write(cr4_read() ^ CR4_PGE);
    print("# torture: %lu steps, %lu accesses, %lu faults, %lu invalidated, sum %lx\n", t.step, t.accesses,
          t.faults, t.flushes, t.sum);
}

static u64 *random_slot(void)
{
    u64 table = chance(8) ? ROOT(draw(ROOTS)) : chance(60) ? TABLE(6 + draw(4)) : TABLE(draw(6));
    if (chance(20) && t.edited)
        return t.edited;
    return (u64 *)table + indices[draw(INDICES)];
}

static void edit(u64 *entry, u64 target)
{
    const struct torture_form *form = &torture_forms[draw(torture_form_count)];
    u64 old = *(volatile u64 *)entry, next = *(volatile u64 *)(entry + 1), want = form->result(old, target);
    note_write(entry, old, want, form->torn);
    log_event(EDIT, form->name, (u64)entry, old, want);
    form->store(entry, old, target);
    expect(form->name, *(volatile u64 *)entry, want);
    expect("the entry after it", *(volatile u64 *)(entry + 1), next);
}

// The first two indices are neighbours.
static void edit_pair(void)
{
    const struct torture_pair_form *form = &torture_pair_forms[draw(torture_pair_form_count)];
    u64 table = TABLE(draw(TABLES)), want[2];
    u64 *entries = (u64 *)table + indices[0];
    for (unsigned i = 0; i < 2; i++) {
        u64 old = entries[i], kept = !form->crossing ? 0 : i ? BIT(63) | (BIT(63) - BIT(32)) : BIT(32) - 1;
        want[i] = (random_entry(level_of(table), old) & ~kept) | (old & kept);
    }
    for (unsigned i = 0; i < 2; i++) {
        note_write(&entries[i], entries[i], want[i], false);
        log_event(EDIT, form->name, (u64)&entries[i], entries[i], want[i]);
    }
    form->store(entries, want);
    for (unsigned i = 0; i < 2; i++)
        expect(form->name, *(volatile u64 *)&entries[i], want[i]);
}

static void do_edit(void)
{
    if (chance(12)) {
        edit_pair();
        return;
    }
    u64 *entry = random_slot();
    edit(entry, random_entry(level_of((u64)entry), *(volatile u64 *)entry));
}

static void note_table(u64 *table, const u64 *new, u64 same)
{
    for (unsigned i = 0; i < INDICES; i++)
        note_write(table + indices[i], table[indices[i]], new ? new[indices[i]] : same, false);
}

// All entries of a table become not present, or one and the same.
static void do_clear(void)
{
    u64 table = TABLE(draw(TABLES)), value = 0;
    if (chance(60))
        value = random_address(level_of(table)) | random_flags(level_of(table));
    note_table((u64 *)table, NULL, value);
    log_event(CLEAR, "REP STOSQ", table, 0, value);
    torture_fill((u64 *)table, value, 512);
}

// A large page is broken up into a table of its pages with its flags; or an entry becomes a large page.
static void do_large(void)
{
    static u64 pages[512] __attribute__((aligned(64)));
    u64 *table = (u64 *)TABLE(6 + draw(4)), *entry = (u64 *)TABLE(3 + draw(3)) + indices[draw(INDICES)];
    u64 flags = random_flags(2), large = ARENA + draw(4) * 2 * MIB;
    if (chance(50)) {
        edit(entry, large | PAGE_PS | flags);
        return;
    }
    for (unsigned i = 0; i < 512; i++)
        pages[i] = (large + i * PAGE_SIZE) | flags;
    note_table(table, pages, 0);
    log_event(LARGE, "REP MOVSQ", (u64)table, 0, pages[0]);
    torture_copy(table, pages, 512);
    edit(entry, (u64)table | PAGE_P | PAGE_W | PAGE_U | PAGE_A);
}

// Accesses.

// What stands at gpa once the walk has set its accessed and dirty bits.
static u64 memory_after(const struct model_walk *w, u64 gpa)
{
    if (!gpa_is_ram(gpa))
        return ~0ull;
    u64 value = *(volatile u64 *)gpa;
    for (unsigned i = 0; i < w->count && !w->fault; i++)
        value |= w->entry[i] == (u64 *)gpa ? w->after[i] : 0;
    return value;
}

// What is not executed or written is read: no code is there, or it is memory that is not ours.
static bool must_read(const struct model_walk *w, struct access a)
{
    if (w->fault || a.kind == ACCESS_READ)
        return false;
    return a.kind == ACCESS_FETCH ? !has_code(w->gpa)
                                  : gpa_is_ram(w->gpa) && (w->gpa < ARENA || w->gpa >= ARENA_END);
}

// A fault may or may not set the accessed flags of the entries that the walk came through (4.8).
static bool entry_agrees(const struct model_walk *w, unsigned i, const u64 *written, u64 value)
{
    u64 now = *(volatile u64 *)w->entry[i];
    if (w->fault)
        return !((now ^ w->before[i]) & ~(u64)PAGE_A);
    if (w->entry[i] == written)
        return now == value;
    u64 want = w->after[i];
    for (unsigned other = 0; other < w->count; other++)
        want |= w->entry[other] == w->entry[i] ? w->after[other] : 0;
    return now == want;
}

static bool agrees(const struct model_walk *w, struct access a, struct outcome o, u64 value, u64 read)
{
    const u64 *written = a.kind == ACCESS_WRITE && !w->fault && gpa_is_ram(w->gpa) ? (u64 *)w->gpa : NULL;
    for (unsigned i = 0; i < w->count; i++) {
        if (w->entry[i] && !entry_agrees(w, i, written, value))
            return false;
    }
    if (w->fault || o.fault)
        return w->fault && o.fault && o.error == w->error && o.cr2 == a.gva;
    if (a.kind == ACCESS_WRITE)
        return !written || *(volatile u64 *)written == value;
    return o.value == (a.kind == ACCESS_READ ? read : w->gpa / PAGE_SIZE);
}

static void report(const struct model_walk *w, struct access a, struct outcome o, u64 value, u64 read)
{
    const struct controls *c = &t.controls;
    print("# step %lu: root %lx WP %u NXE %u SMEP %u SMAP %u AC %u PGE %u, %s %s of %lx\n", t.step, t.root,
          c->wp, c->nxe, c->smep, c->smap, c->ac, t.pge, a.user ? "user" : "supervisor",
          a.kind == ACCESS_READ    ? "read"
          : a.kind == ACCESS_WRITE ? "write"
                                   : "fetch",
          a.gva);
    for (unsigned i = 0; i < w->count; i++)
        print("#   level %u at %lx: %lx, expected after %lx, got %lx\n", 4 - i, (u64)w->entry[i],
              w->before[i], w->fault ? w->before[i] : w->after[i], w->entry[i] ? *w->entry[i] : 0ul);
    print("#   expected %s %lx, got %s %lx; read %lx of %lx; written %lx\n", w->fault ? "#PF" : "gpa",
          w->fault ? w->error : w->gpa, o.fault ? "#PF" : "success", o.fault ? o.error : 0, o.value, read,
          value);
    print_history();
    fail("step %lu: expected what the tables say, got something else: above", t.step);
    t.failed = true;
}

// A write to a table is one more edit of it.
static u64 value_to_write(const struct model_walk *w)
{
    if (w->fault || !is_table(w->gpa))
        return draw(BIT(32)) << 8;
    u64 *entry = (u64 *)w->gpa, old = memory_after(w, w->gpa), value = random_entry(level_of(w->gpa), old);
    note_write(entry, old, value, false);
    return value;
}

static void access(unsigned place, struct access a)
{
    struct model_walk w;
    if (t.stale[place] & (a.user ? STALE_USER : STALE_SUPERVISOR))
        make_fresh(place);
    a.gva = place_gva(place) + (a.kind == ACCESS_FETCH ? 0 : indices[draw(INDICES)] * 8);
    model_walk(&w, &t.controls, t.root, a);
    if (must_read(&w, a)) {
        a.kind = ACCESS_READ;
        model_walk(&w, &t.controls, t.root, a);
    }
    u64 read = w.fault ? 0 : memory_after(&w, w.gpa),
        value = a.kind == ACCESS_WRITE ? value_to_write(&w) : read;
    log_event(ACCESS, a.user ? "user" : "supervisor", a.gva, a.kind, value);
    struct outcome o = access_do(&t.controls, a, value);
    if (!agrees(&w, a, o, value, read))
        report(&w, a, o, value, read);
    if (!w.fault)
        note_translation(place, &w);
    t.accesses++;
    t.faults += o.fault;
    t.sum = (t.sum ^ (o.fault ? o.error : w.gpa) ^ a.gva) * 0x100000001B3;
}

// A place whose walk uses the entry that was edited last, if there is one.
static unsigned place_near(void)
{
    u8 near[PLACES] = {0};
    unsigned place = (unsigned)draw(PLACES);
    mark_places(near, t.root, 4, 0, PLACES / INDICES, t.edited, 1);
    for (unsigned i = 0; i < PLACES && !near[place]; i++)
        place = (place + 1) % PLACES;
    return place;
}

static void do_access(void)
{
    t.controls.ac = chance(25);
    unsigned place = chance(50) ? place_near() : (unsigned)draw(PLACES);
    for (unsigned i = 0; i < 3 && !t.failed; i++)
        access(place, (struct access){0, (enum access_kind)draw(ACCESS_KINDS), chance(50)});
}

// Changes of the rules. Only NXE = 0 makes translations wrong that a TLB may keep: those of entries with NX.
static void do_control(void)
{
    struct controls c = t.controls;
    unsigned which = (unsigned)draw(5);
    c.wp ^= which == 0;
    c.nxe ^= which == 1 && t.has.nx;
    c.smep ^= which == 2 && t.has.smep;
    c.smap ^= which == 3 && t.has.smap;
    log_event(CONTROL, "WP NXE SMEP SMAP PGE", which, 0, 0);
    if (which == 4)
        toggle_global();
    if (t.controls.nxe && !c.nxe)
        memset(t.stale, STALE, sizeof(t.stale));
    controls_set(&c);
    t.controls = c;
}

static void do_switch(void)
{
    u64 root = ROOT(draw(ROOTS));
    log_event(SWITCH, "MOV CR3", root, t.root, 0);
    load_root(root);
}

static void do_invalidate(void)
{
    unsigned place = (unsigned)draw(PLACES);
    log_event(INVALIDATE, "INVLPG", place_gva(place), 0, 0);
    invalidate(place);
}

// One test: how often each operation comes, in order of enum operation, and for how long.
struct plan {
    u64 seed;
    u8 weights[OPERATIONS];
};

static enum operation choose(const struct plan *plan)
{
    unsigned sum = 0, n = 0;
    for (unsigned i = 0; i < OPERATIONS; i++)
        sum += plan->weights[i];
    unsigned at = (unsigned)draw(sum);
    while (at >= plan->weights[n])
        at -= plan->weights[n++];
    return (enum operation)n;
}

#define ROUNDS 6000

static void torture(const struct plan *plan)
{
    static void (*const operations[])(void) = {do_edit,  do_access, do_switch,    do_control,
                                               do_large, do_clear,  do_invalidate};
    torture_start(plan->seed);
    for (unsigned i = 0; i < ROUNDS && !t.failed; i++)
        operations[choose(plan)]();
    torture_finish();
}

static void test_edits(void)
{
    static const struct plan plan = {1, {120, 120, 1, 1, 1, 1, 2}};
    torture(&plan);
}

static void test_roots(void)
{
    static const struct plan plan = {2, {40, 60, 20, 1, 1, 1, 0}};
    torture(&plan);
}

static void test_controls(void)
{
    static const struct plan plan = {3, {40, 60, 1, 20, 1, 1, 1}};
    torture(&plan);
}

static void test_large(void)
{
    static const struct plan plan = {4, {30, 60, 2, 2, 10, 2, 1}};
    torture(&plan);
}

static const struct test tests[] = {
    {"edits", test_edits},
    {"roots", test_roots},
    {"controls", test_controls},
    {"large", test_large},
};
GROUP(group_torture, "torture", tests, false);
