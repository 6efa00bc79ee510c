// See shadow_steps.h.
#include "shadow_steps.h"
#include "model_history.h"
#include "model_walk.h"
#include "shadow_attempt.h"
#include "shadow_machine.h"
#include "shadow_story.h"
#include "shadow_tables.h"
#include "shadow_unpaged.h"

#include <arch/cpu.h>
#include <arch/lib.h>

#define PCIDS 4u

static unsigned flush_percent; // of the edits that need it

static bool has_pcids(void)
{
    return guest->regs.cr4 & CR4_PCIDE;
}

// As a guest with PCIDs loads the root: mostly each with its own, and without a flush.
static u64 as_loaded(u64 cr3)
{
    if (!has_pcids())
        return cr3;
    u64 root = cr3 & ~CR3_PCID;
    return root | (chance(70) ? root / PAGE_SIZE % PCIDS : rnd(PCIDS)) | maybe(CR3_NO_FLUSH, 60);
}

// The root in use again.
static void load_again(void)
{
    guest_cr3(guest->regs.cr3 | (has_pcids() ? maybe(CR3_NO_FLUSH, 30) : 0));
}

// The entry that denies a write to gva, with those above and below it; NULL: none, or not in RAM.
static const struct model_entry *denying_entry(struct model *m)
{
    struct walk out;
    if (!model_judge(m, &out))
        return NULL;
    const struct model_entry *e = &m->list[m->count - 1];
    for (unsigned i = 0; i < m->count; i++) {
        if (m->list[i].level == out.fault_level || (m->list[i].value & 7) != 7)
            e = &m->list[i];
    }
    return e->type == P2M_RAM && e->memory ? e : NULL;
}

// What the guest's kernel does on a page fault, mostly: the entry that denied the access is made one that
// permits it. Stores on behalf of the guest, so that a guest that has lost its window can go on.
static void repair(u64 gva)
{
    struct model m = guest_model(gva, (struct walk_access){ACCESS_WRITE, false});
    const struct model_entry *e;
    unsigned percent = 100;
    while (chance(percent) && (e = denying_entry(&m))) {
        u64 value = random_entry(e->level) | BIT(0) | BIT(1) | BIT(2);
        say("repair %lx: %lx", e->gpa, value);
        guest_store(e->gpa, &value, sizeof(value));
        percent = 80;
    }
    if (chance(50))
        guest_invlpg(gva);
}

static void window_repair(void)
{
    struct window_entry e;
    say("the window is repaired");
    for (unsigned i = 0; (e = window_entry(guest->regs.cr3 & ~0xfffull, i)).gpa; i++) {
        enum p2m_type type;
        guest_memory(e.gpa, &type);
        if (type == P2M_RAM)
            guest_store(e.gpa, &e.value, 8);
    }
    load_again();
}

static bool touch(u64 gva)
{
    u64 value = random_entry(1 + (unsigned)rnd(4));
    struct walk_access access = {.kind = (enum access)rnd(3)};
    guest->cpl = chance(50) ? 3 : 0;
    guest->rflags = maybe(RFLAGS_AC, 40);
    access.implicit = access.kind != ACCESS_FETCH && chance(guest->cpl == 3 ? 6 : 3);
    return guest_access(gva + random_index(1 + (unsigned)rnd(4)) * 8, access, &value, 8);
}

static void step_access(void)
{
    u64 gva = random_gva();
    if (touch(gva))
        return;
    if (chance(60))
        repair(gva);
    if (chance(50))
        touch(gva);
}

// An address of a user's that denies the kernel a write, allows a read, and is repaired: what the TLB holds
// of it by then may still deny the write.
static void step_user_copy(void)
{
    static const u64 value = 0x123456789abcdef0;
    u64 gva = random_gva();
    guest->cpl = 0;
    guest->rflags = RFLAGS_AC;
    if (guest_access(gva, (struct walk_access){ACCESS_WRITE, false}, &value, sizeof(value)))
        return;
    guest_access(gva, (struct walk_access){ACCESS_READ, false}, NULL, 0);
    repair(gva);
    guest_access(gva, (struct walk_access){ACCESS_WRITE, false}, &value, sizeof(value));
}

// A store by the guest's kernel through its window.
static bool kernel_store(u64 gpa, const void *data, unsigned bytes)
{
    guest->cpl = 0;
    guest->rflags = 0;
    happened.stores++;
    say("store %u bytes to gpa %lx", bytes, gpa);
    return guest_access(window_gva(gpa), (struct walk_access){ACCESS_WRITE, false}, data, bytes);
}

// An entry that gva uses, or any; with its level.
static u64 random_slot(u64 gva, unsigned *level)
{
    struct model m = guest_model(gva, (struct walk_access){ACCESS_READ, false});
    if (chance(75)) {
        model_list(&m);
        const struct model_entry *e = &m.list[chance(60) ? m.count - 1 : rnd(m.count)];
        *level = e->level;
        return e->gpa;
    }
    *level = 1 + (unsigned)rnd(4);
    return table_of(*level) * PAGE_SIZE + random_index(*level) * 8;
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
    if (kernel_store(gpa + first, (const u8 *)image + first, bytes))
        return true;
    if (chance(90))
        window_repair();
    return false;
}

static void step_edit(void)
{
    u64 gva = random_gva();
    unsigned level;
    u64 gpa = random_slot(gva, &level);
    if (edit(gpa, level) && chance(flush_percent))
        guest_invlpg(gva);
    else if (chance(15))
        load_again();
    if (chance(50))
        touch(gva);
    gva_is_recent(gva);
}

// Several entries of one leaf table, as in mprotect or munmap, then the addresses that they map.
static void step_burst(void)
{
    u64 gva = random_gva();
    struct model m = guest_model(gva, (struct walk_access){ACCESS_READ, false});
    model_list(&m);
    const struct model_entry leaf = m.list[m.count - 1];
    if (leaf.level != 1)
        return;
    bool flush = chance(flush_percent);
    for (unsigned i = 0; i < 8; i++) {
        u64 index = random_index(1);
        u64 address = (gva & ~(0x1ffull << 12)) | index << 12;
        if (chance(50) && !edit(align_down(leaf.gpa, PAGE_SIZE) + index * 8, 1))
            return;
        if (flush && chance(70))
            guest_invlpg(address);
        if (chance(40))
            touch(address);
    }
}

// Many addresses, one after the other: more tables than a small pool has.
static void step_sweep(void)
{
    guest->cpl = 0;
    guest->rflags = RFLAGS_AC;
    for (unsigned i = 0; i < 120; i++) {
        u64 gva = fresh_gva();
        if (!guest_access(gva, (struct walk_access){ACCESS_READ, false}, NULL, 0) && i < 80)
            repair(gva);
    }
}

static void step_invlpg(void)
{
    guest_invlpg(random_gva());
}

static void step_root(void)
{
    guest_cr3(as_loaded(chance(25) ? guest->regs.cr3 : random_cr3(50)));
}

// The same addresses in one root after the other, edits in between: what one has made must not be found stale
// in another.
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
        if (chance(flush_percent / 2))
            guest_invlpg(gva);
        guest_cr3(as_loaded((FIRST_ROOT + rnd(2)) * PAGE_SIZE));
    }
}

// An address that one root has used is edited under another, when its tables may have been recycled, and then
// used under the first.
static void step_evict(void)
{
    u64 gva = random_gva(), cr3 = guest->regs.cr3;
    unsigned level;
    touch(gva);
    u64 gpa = random_slot(gva, &level);
    guest_cr3(as_loaded(random_cr3(50)));
    for (u64 i = rnd(60); i > 0; i--)
        guest_access(fresh_gva(), (struct walk_access){ACCESS_READ, false}, NULL, 0);
    if (edit(gpa, level)) {
        guest_cr3(cr3 | (has_pcids() ? maybe(CR3_NO_FLUSH, 50) : 0));
        touch(gva);
    }
}

// PCIDs come with PCID 0, and go with all that is cached.
static void step_pcide(void)
{
    if (!has_pcids() && guest->regs.cr3 & CR3_PCID)
        guest_cr3(guest->regs.cr3 & ~CR3_PCID);
    struct paging_regs regs = guest->regs;
    regs.cr4 ^= CR4_PCIDE;
    guest_paging(&regs);
}

static void invpcid(u64 gva, u16 pcid)
{
    static const enum invpcid_type types[] = {INVPCID_ADDRESS,   INVPCID_ADDRESS, INVPCID_SINGLE,
                                              INVPCID_SINGLE,    INVPCID_SINGLE,  INVPCID_ALL,
                                              INVPCID_ALL_GLOBAL};
    guest_invpcid(types[rnd(ARRAY_SIZE(types))], pcid, gva);
}

static void step_invpcid(void)
{
    invpcid(random_gva(), has_pcids() ? (u16)rnd(PCIDS) : 0);
}

// What one address space has used is edited under another, and flushed there, or not.
static void step_other_space(void)
{
    u64 gva = random_gva(), cr3 = guest->regs.cr3;
    unsigned level;
    if (!has_pcids())
        step_pcide();
    touch(gva);
    u64 gpa = random_slot(gva, &level);
    guest_cr3(as_loaded(random_cr3(0)));
    if (chance(50))
        touch(gva);
    if (!edit(gpa, level))
        return;
    if (chance(60))
        invpcid(gva, (u16)(cr3 & CR3_PCID));
    guest_cr3(cr3 | maybe(CR3_NO_FLUSH, 85));
    touch(gva);
}

static void step_rights(void)
{
    struct paging_regs regs = guest->regs;
    regs.cr0 ^= maybe(CR0_WP, 50);
    regs.cr4 ^= maybe(CR4_SMEP, 40) | maybe(CR4_SMAP, 40) | maybe(CR4_PKE, 20);
    guest->pkru = (u32)(rnd(BIT(32)) & rnd(BIT(32)) & rnd(BIT(32)));
    guest_paging(&regs);
}

static void access_at(u64 gva, enum access kind, unsigned cpl)
{
    static const u64 value = 0x123456789abcdef0;
    guest->cpl = cpl;
    guest->rflags = maybe(RFLAGS_AC, 50);
    guest_access(gva, (struct walk_access){kind, false}, &value, 8);
}

// A supervisor's write, which CR0.WP = 0 alone may allow, and what users and other keys make of the page.
static void step_written_page(void)
{
    u64 gva = random_gva();
    access_at(gva, ACCESS_WRITE, 0);
    guest->pkru = (u32)(rnd(BIT(32)) & rnd(BIT(32)));
    for (unsigned i = 0; i < 4; i++)
        access_at(gva, (enum access)rnd(3), chance(50) ? 3 : 0);
}

static void pge_toggle(void)
{
    struct paging_regs regs = guest->regs;
    regs.cr4 ^= CR4_PGE;
    guest_paging(&regs);
}

// As a kernel flushes what it has changed, global pages too.
static void step_pge(void)
{
    unsigned level;
    u64 gva = random_gva();
    touch(gva);
    u64 slot = random_slot(gva, &level);
    (void)edit(slot, level);
    pge_toggle();
    touch(gva);
}

static void step_nxe(void)
{
    struct paging_regs regs = guest->regs;
    regs.efer ^= EFER_NXE;
    guest_paging(&regs);
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
    struct model m = guest_model(gva, (struct walk_access){ACCESS_READ, false});
    u64 g = random_frame();
    if (!model_judge(&m, &out) && chance(50))
        g = (chance(50) ? out.gpa : m.list[rnd(m.count)].gpa) / PAGE_SIZE;
    for (unsigned i = 0; i < 3 && g < GUEST_FRAMES; i++) {
        guest_p2m(place_step, g);
        touch(gva);
    }
    if (g < GUEST_FRAMES && chance(80))
        guest_p2m(place_restore, g);
}

static void store_unseen(void)
{
    unsigned level;
    u64 gpa = random_slot(random_gva(), &level), value;
    if (gpa >= WINDOW_END)
        return;
    value = edited_entry(gpa, level);
    say("unseen: %lx: %lx", gpa, value);
    memory_store(gpa, &value, sizeof(value));
}

void steps_unseen(void)
{
    for (u64 i = rnd(60); i > 0; i--)
        store_unseen();
    if (chance(20))
        place_step(random_frame());
    guest->regs.cr3 = chance(50) ? guest->regs.cr3 : as_loaded(random_cr3(50)) & ~CR3_NO_FLUSH;
    guest->regs.cr4 ^= maybe(CR4_PCIDE, guest->regs.cr3 & CR3_PCID ? 0 : 20);
    guest->regs.cr4 ^= maybe(CR4_PGE, 20) | maybe(CR4_SMEP, 20) | maybe(CR4_SMAP, 20);
    guest->regs.efer ^= maybe(EFER_NXE, 10);
}

static struct {
    void (*run)(void);
    unsigned usual, weight;
} steps[] = {
    {step_access, 600, 0}, {step_edit, 220, 0},       {step_invlpg, 60, 0},       {step_root, 90, 0},
    {step_rights, 20, 0},  {step_sweep, 3, 0},        {step_burst, 30, 0},        {step_pge, 3, 0},
    {step_nxe, 1, 0},      {step_p2m, 3, 0},          {step_rounds, 20, 0},       {step_evict, 8, 0},
    {step_unpaged, 8, 0},  {step_user_copy, 20, 0},   {step_written_page, 20, 0}, {step_pcide, 6, 0},
    {step_invpcid, 20, 0}, {step_other_space, 20, 0},
};

static unsigned total;

void steps_start(void)
{
    static const u8 factors[] = {0, 2, 4, 4, 8, 16};
    static const u8 places[] = {4, 16, 32};
    total = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        steps[i].weight = i ? steps[i].usual * factors[rnd(ARRAY_SIZE(factors))] : steps[i].usual * 4;
        total += steps[i].weight;
    }
    flush_percent = (unsigned)rnd(4) * 30;
    tables_make((unsigned)rnd(4), places[rnd(ARRAY_SIZE(places))]);
}

void step_random(void)
{
    u64 at = rnd(total);
    unsigned i = 0;
    for (; at >= steps[i].weight; i++)
        at -= steps[i].weight;
    steps[i].run();
    if (history_full())
        pge_toggle();
}
