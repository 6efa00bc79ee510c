// See pair_guest.h.
#include "pair_guest.h"
#include "model_stale.h"
#include "pair_machine.h"
#include "pair_monitor.h"
#include "shadow_story.h"
#include "shadow_tables.h"

#include <arch/cpu.h>
#include <arch/lib.h>

#define ALL_FLUSH 1500u // accesses: by then the model processors' caches would be full

struct guest_counts guest_counts;

static u64 flushed_at; // accesses

static void change_regs(u64 cr0, u64 cr4, u64 efer)
{
    struct paging_regs regs = pair_regs.regs;
    regs.cr0 ^= cr0;
    regs.cr4 ^= cr4;
    regs.efer ^= efer;
    pair_paging(&regs);
}

// As kernels flush global translations.
static void flush_all(void)
{
    change_regs(0, CR4_PGE, 0);
    change_regs(0, CR4_PGE, 0);
    flushed_at = pair_counts.accesses;
}

// What is global need not be the same under another root here.
static void load_root(u64 cr3)
{
    pair_cr3(cr3);
    if (stale_has_global())
        flush_all();
}

static void invalidate(u64 gva)
{
    u64 kind = rnd(100);
    guest_counts.invalidations++;
    if (kind < 65)
        pair_invlpg(gva);
    else if (kind < 92)
        load_root(pair_regs.regs.cr3);
    else
        flush_all();
}

// An access, all that it uses being invalidated first that must be.
static bool access_clean(u64 gva, struct walk_access access, const void *data, unsigned bytes)
{
    struct model m = pair_model(gva, access);
    model_list(&m);
    if (stale_may_be(&m))
        invalidate(gva);
    return pair_access(gva, access, data, bytes);
}

static void modes_random(void)
{
    pair_regs.cpl = chance(50) ? 3 : 0;
    pair_regs.rflags = maybe(RFLAGS_AC, 40);
}

static bool touch(u64 gva)
{
    u64 value = random_entry(1 + (unsigned)rnd(4));
    struct walk_access access = {.kind = (enum access)rnd(3)};
    modes_random();
    bool told = pair_regs.cpl == 3 || !(pair_regs.rflags & RFLAGS_AC);
    access.implicit = told && access.kind != ACCESS_FETCH && chance(5);
    return access_clean(gva + random_index(1 + (unsigned)rnd(4)) * 8, access, &value, 8);
}

static bool touch_as(u64 gva, enum access kind, unsigned cpl)
{
    static const u64 value = 0x123456789abcdef0;
    pair_regs.cpl = cpl;
    pair_regs.rflags = RFLAGS_AC;
    return access_clean(gva, (struct walk_access){kind, false}, &value, 8);
}

static void window_repair(void)
{
    struct window_entry e;
    say("the window is repaired");
    for (unsigned i = 0; (e = window_entry(pair_regs.regs.cr3 & ~0xfffull, i)).gpa; i++) {
        enum p2m_type type;
        guest_memory(e.gpa, &type);
        if (type == P2M_RAM)
            pair_store(e.gpa, &e.value, 8);
    }
}

// A store by the guest's kernel through its window, or with paging off at gpa itself; some are made by the
// monitor for the guest. False: the window is not as it was.
static bool kernel_store(u64 gpa, const void *data, unsigned bytes)
{
    u64 gva = pair_regs.regs.cr0 & CR0_PG ? window_gva(gpa) : gpa;
    pair_regs.cpl = 0;
    pair_regs.rflags = 0;
    guest_counts.stores++;
    if (chance(8))
        pair_store(gpa, data, bytes);
    else if (!access_clean(gva, (struct walk_access){ACCESS_WRITE, false}, data, bytes)) {
        if (chance(90))
            window_repair();
        return false;
    }
    return true;
}

static bool store_entry(u64 gpa, u64 value)
{
    return gpa >= WINDOW_END || kernel_store(gpa, &value, sizeof(value));
}

// One store that edits an entry, and perhaps those that follow it. False: the guest could not make it.
static bool edit(u64 gpa, unsigned level)
{
    u64 image[FORM_MAX / 8 + 1];
    unsigned first, bytes;
    if (gpa >= WINDOW_END)
        return true;
    random_form(gpa, &first, &bytes);
    for (unsigned i = 0; i <= FORM_MAX / 8; i++)
        image[i] = chance(50) || !i ? edited_entry(gpa + i * 8, level) : expected_entry(gpa + i * 8);
    return kernel_store(gpa + first, (const u8 *)image + first, bytes);
}

static struct model read_model(u64 gva)
{
    struct model m = pair_model(gva, (struct walk_access){ACCESS_READ, false});
    model_list(&m);
    return m;
}

// An entry that gva uses, or any; with its level.
static u64 random_slot(u64 gva, unsigned *level)
{
    struct model m = read_model(gva);
    if (chance(75) && m.count) {
        const struct model_entry *e = &m.list[chance(60) ? m.count - 1 : rnd(m.count)];
        *level = e->level;
        return e->gpa;
    }
    *level = 1 + (unsigned)rnd(4);
    return table_of(*level) * PAGE_SIZE + random_index(*level) * 8;
}

// What a kernel does on a page fault: the entries on the way are made ones that permit the access.
static void repair(u64 gva)
{
    for (unsigned tries = 0; tries < 4; tries++) {
        struct model m = read_model(gva);
        unsigned i = 0;
        while (i + 1 < m.count && (m.list[i].value & 7) == 7)
            i++;
        const struct model_entry *e = &m.list[i];
        if (e->level == 1 && (e->value & 7) == 7 && !chance(20))
            return;
        if (e->type != P2M_RAM || !store_entry(e->gpa, random_entry(e->level) | 7) || chance(20))
            return;
    }
}

static void step_access(void)
{
    u64 gva = random_gva();
    if (touch(gva))
        return;
    if (chance(60))
        repair(gva);
    touch(gva);
}

static void step_edit(void)
{
    u64 gva = random_gva();
    unsigned level;
    touch(gva);
    u64 gpa = random_slot(gva, &level);
    edit(gpa, level);
    touch(gva);
    gva_is_recent(gva);
}

// Several entries of one leaf table, as in mprotect or munmap, then the addresses that they map.
static void step_burst(void)
{
    u64 gva = random_gva(), used[8];
    struct model m = read_model(gva);
    const struct model_entry leaf = m.list[m.count - 1];
    unsigned count = 0;
    if (leaf.level != 1)
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(used); i++) {
        u64 index = random_index(1);
        u64 address = (gva & ~(0x1ffull << 12)) | index << 12;
        if (chance(50))
            touch(address);
        if (chance(75) && !edit(align_down(leaf.gpa, PAGE_SIZE) + index * 8, 1))
            return;
        used[count++] = address;
    }
    while (count > 0)
        touch(used[--count]);
}

// A table is taken out of the tree, invalidated, edited where nothing can use it, and put back: what lies
// below needs no invalidation.
static void step_relink(void)
{
    u64 gva = random_gva();
    touch_as(gva, ACCESS_READ, 0);
    struct model m = read_model(gva);
    if (m.count < 2)
        return;
    const struct model_entry *link = &m.list[rnd(m.count - 1)], *below = &m.list[m.count - 1];
    u64 value = link->value;
    if (!store_entry(link->gpa, value & ~1ull))
        return;
    invalidate(gva);
    for (u64 i = rnd(4); i > 0; i--) {
        u64 gpa =
            chance(60) ? below->gpa : align_down(below->gpa, PAGE_SIZE) + random_index(below->level) * 8;
        if (!edit(gpa, below->level))
            return;
    }
    store_entry(link->gpa, value);
    guest_counts.relinked++;
    touch(gva);
}

// A large page that is used at several addresses ends, or becomes another one: one INVLPG for all of them.
static void step_large(void)
{
    u64 gva = random_gva(), used[6];
    struct model m = read_model(gva);
    if (m.count < 3)
        return;
    const struct model_entry *e = &m.list[2];
    if (!e->page && !store_entry(e->gpa, rnd(5) * 2 * MIB | BIT(7) | 7))
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(used); i++) {
        used[i] = gva ^ random_index(1) << 12;
        touch_as(used[i], (enum access)rnd(2), 0);
    }
    if (!store_entry(e->gpa, edited_entry(e->gpa, 2)))
        return;
    pair_invlpg(used[0]);
    guest_counts.large++;
    for (unsigned i = 0; i < ARRAY_SIZE(used); i++)
        touch(used[i]);
}

// Many addresses, one after the other: more tables than a small pool has.
static void step_sweep(void)
{
    for (unsigned i = 0; i < 100; i++) {
        u64 gva = fresh_gva();
        if (!touch_as(gva, ACCESS_READ, 0) && i < 60)
            repair(gva);
    }
}

static void step_invlpg(void)
{
    pair_invlpg(random_gva());
}

static void step_root(void)
{
    load_root(chance(25) ? pair_regs.regs.cr3 : random_cr3(30));
}

// The same addresses in one root after the other, edits in between.
static void step_rounds(void)
{
    u64 gva = random_gva();
    for (unsigned i = 0; i < 6; i++) {
        unsigned level;
        touch(gva);
        u64 gpa = random_slot(gva, &level);
        if (chance(60) && !edit(gpa, level))
            return;
        if (chance(40))
            touch(gva);
        load_root((FIRST_ROOT + rnd(2)) * PAGE_SIZE);
    }
}

static void step_rights(void)
{
    change_regs(maybe(CR0_WP, 50), maybe(CR4_SMEP, 40) | maybe(CR4_SMAP, 40) | maybe(CR4_PKE, 20), 0);
    pair_regs.pkru = (u32)(rnd(BIT(32)) & rnd(BIT(32)) & rnd(BIT(32)));
}

static void step_pge(void)
{
    change_regs(0, CR4_PGE, 0);
}

// Of it the architecture says nothing: so all is flushed.
static void step_nxe(void)
{
    change_regs(0, 0, EFER_NXE);
    flush_all();
}

// A supervisor's write, which CR0.WP = 0 alone may allow, and what others make of the page.
static void step_written_page(void)
{
    u64 gva = random_gva();
    touch_as(gva, ACCESS_WRITE, 0);
    for (unsigned i = 0; i < 4; i++)
        touch_as(gva, (enum access)rnd(3), chance(50) ? 3 : 0);
}

static void place_step(u64 g)
{
    static const enum place_change changes[] = {PLACE_MOVE, PLACE_MOVE,   PLACE_READ_ONLY,
                                                PLACE_HOLE, PLACE_DEVICE, PLACE_BACK,
                                                PLACE_BACK, PLACE_BACK,   PLACE_BACK};
    place_change(g, changes[rnd(ARRAY_SIZE(changes))]);
}

// A page changes while the guest uses it, and again soon.
static void step_p2m(void)
{
    struct walk out;
    u64 gva = random_gva();
    struct model m = read_model(gva);
    u64 g = random_frame();
    if (!model_judge(&m, &out) && chance(50))
        g = (chance(50) || !m.count ? out.gpa : m.list[rnd(m.count)].gpa) / PAGE_SIZE;
    for (unsigned i = 0; i < 3 && g < GUEST_FRAMES; i++) {
        guest_counts.p2m_changes++;
        pair_change(place_step, g);
        touch(gva);
    }
    if (g < GUEST_FRAMES && chance(80))
        pair_change(place_restore, g);
}

static void unpaged_one(void)
{
    u64 kind = rnd(100);
    unsigned level = 1 + (unsigned)rnd(4);
    if (kind < 40)
        edit(table_of(level) * PAGE_SIZE + random_index(level) * 8, level);
    else if (kind < 88)
        touch((chance(80) ? random_frame() : rnd(BIT(20))) * PAGE_SIZE);
    else if (kind < 95)
        load_root((FIRST_ROOT + rnd(ROOTS)) * PAGE_SIZE);
    else
        step_rights();
}

// Paging off, some instructions, paging on.
static void step_unpaged(void)
{
    change_regs(CR0_PG, 0, EFER_LMA);
    for (u64 i = rnd(40); i-- > 0; guest_counts.unpaged++)
        unpaged_one();
    change_regs(CR0_PG, 0, EFER_LMA);
}

static struct {
    void (*run)(void);
    unsigned usual, weight;
} steps[] = {
    {step_access, 600, 0}, {step_edit, 200, 0},  {step_invlpg, 30, 0},       {step_root, 90, 0},
    {step_rights, 20, 0},  {step_sweep, 3, 0},   {step_burst, 40, 0},        {step_pge, 2, 0},
    {step_nxe, 1, 0},      {step_p2m, 4, 0},     {step_rounds, 20, 0},       {step_relink, 30, 0},
    {step_large, 20, 0},   {step_unpaged, 5, 0}, {step_written_page, 20, 0},
};

static unsigned total;

void guest_begin(void)
{
    static const u8 factors[] = {0, 2, 4, 4, 8, 16};
    static const u8 places[] = {4, 16, 32};
    total = 0;
    flushed_at = pair_counts.accesses;
    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        steps[i].weight = i ? steps[i].usual * factors[rnd(ARRAY_SIZE(factors))] : steps[i].usual * 4;
        total += steps[i].weight;
    }
    tables_make((unsigned)rnd(4), places[rnd(ARRAY_SIZE(places))]);
}

void guest_step(void)
{
    u64 at = rnd(total);
    unsigned i = 0;
    for (; at >= steps[i].weight; i++)
        at -= steps[i].weight;
    steps[i].run();
    if (pair_counts.accesses - flushed_at > ALL_FLUSH)
        flush_all();
}
