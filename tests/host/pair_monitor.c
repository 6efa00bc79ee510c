// See pair_monitor.h.
#include "pair_monitor.h"
#include "guest_entry.h"
#include "model_cpu.h"
#include "model_stale.h"
#include "pair_machine.h"
#include "shadow_story.h"
#include "shadow_tables.h"
#include "support.h"

#include <arch/cpu.h>

#include <stdio.h>

#define TRIES 12u // of one instruction

struct walk_context pair_regs;
struct pair_counts pair_counts;

static struct model_tlb tlbs[SIDES];

static struct monitored {
    unsigned number;
    struct guest_places *places;
    struct shadow engine;
    struct shadow_view view;
    struct model_cpu cpu;
    u64 known_cr3; // as of the last exit
    u64 time;      // cycles that the guest has run
} monitored[SIDES];

#define each_side(s) (struct monitored *s = monitored; s < monitored + SIDES; s++)

// One instruction of the guest's, and what the guest's tables say of it.
struct attempt {
    u64 gva;
    struct walk_access access;
    const void *data;
    unsigned bytes;
    bool decodable; // the monitor can carry it out
    bool plain;     // it does not read what it writes over
    struct model m;
    int error;
    struct walk present;
};

struct result {
    enum pair_kind kind;
    u32 error_code; // of a #PF
    u64 gpa;        // of another
    unsigned exits;
};

// Bursts come from steps that follow closely.
static u64 hw_now(void *processor)
{
    struct monitored *s = container_of(processor, struct monitored, cpu);
    return s->time += chance(70) ? 100 : 5000;
}

// The guest's registers, for the engine.
static void view_follow(struct monitored *s)
{
    struct walk_context *walk = &s->view.walk;
    walk->regs = pair_regs.regs;
    walk->cpl = pair_regs.cpl;
    walk->rflags = pair_regs.rflags;
    walk->pkru = pair_regs.pkru;
}

// The next VM entry.
static void cpu_load_context(struct monitored *s)
{
    view_follow(s);
    guest_entry(&s->cpu, &pair_regs);
}

// Each exit begins so: the guest may have loaded targets unseen.
static void exit_begin(struct monitored *s)
{
    view_follow(s);
    if (s->cpu.cr3 == s->known_cr3)
        return;
    s->known_cr3 = s->cpu.cr3;
    shadow_root_switched(&s->view, s->cpu.cr3);
}

static void root_load(struct monitored *s)
{
    exit_begin(s);
    s->cpu.cr3 = s->known_cr3 = shadow_load_root(&s->view, &s->cpu.vpid);
    cpu_load_context(s);
}

static void p2m_changing(void *context, gfn_t first, u64 count)
{
    struct monitored *s = context;
    exit_begin(s);
    shadow_p2m_changing(&s->engine, first, count);
}

static void side_start(struct monitored *s, unsigned number, const struct shadow_config *config)
{
    const struct shadow_hw hw = guest_hardware(&s->cpu, hw_now);
    struct walk_context start = pair_regs;
    struct p2m *p2m = &pair_places[number].p2m;
    start.p2m = p2m;
    s->number = number;
    s->places = &pair_places[number];
    s->cpu = (struct model_cpu){.tlb = &tlbs[number], .memory = machine_table};
    cpu_reset(&s->cpu);
    assert_int_equal(shadow_init(&s->engine, p2m, config), 0);
    assert_int_equal(shadow_view_init(&s->view, &s->engine, &start, &hw), 0);
    p2m->changing = p2m_changing;
    p2m->context = s;
    s->known_cr3 = 0;
    root_load(s);
}

void pair_start(const struct shadow_config config[], bool has_1g_pages)
{
    pair_regs = (struct walk_context){
        .regs = {.cr0 = CR0_PE | CR0_PG | CR0_WP,
                 .cr3 = FIRST_ROOT * PAGE_SIZE,
                 .cr4 = CR4_PAE,
                 .efer = EFER_LME | EFER_LMA | EFER_NXE},
        .physical_bits = config[0].physical_bits,
        .has_1g_pages = has_1g_pages,
    };
    stale_flush();
    for (unsigned n = 0; n < SIDES; n++)
        side_start(&monitored[n], n, &config[n]);
}

void pair_end(void)
{
    pair_audit();
    memory_check_all();
    for
        each_side(s)
        {
            pair_counts.recycled += s->engine.stats.tables_recycled;
            pair_counts.left_sync += s->engine.stats.left_sync;
            pair_counts.root_hits += s->engine.stats.root_hits;
        }
}

struct model pair_model(u64 gva, struct walk_access access)
{
    return (struct model){.context = &pair_regs,
                          .mode = model_mode(&pair_regs.regs),
                          .gva = gva,
                          .access = access,
                          .by_user = pair_regs.cpl == 3 && !access.implicit,
                          .memory = guest_memory};
}

static const char *attempt_text(const struct attempt *a)
{
    static char text[200];
    const struct paging_regs *regs = &pair_regs.regs;
    snprintf(text, sizeof(text), "gva %lx %s%s cpl %u ac %d cr3 %lx cr0 %lx cr4 %lx efer %lx", a->gva,
             (const char *[]){"read", "write", "fetch"}[a->access.kind],
             a->access.implicit ? " implicit" : "", pair_regs.cpl, !!(pair_regs.rflags & RFLAGS_AC),
             regs->cr3, regs->cr0, regs->cr4, regs->efer);
    return text;
}

// Side 0 comes first, and tells what the guest's tables lose by it.
static void store(struct monitored *s, u64 gpa, const void *data, unsigned bytes)
{
    u64 lines[10], start = align_down(gpa, 8);
    enum p2m_type type;
    u8 *memory = places_memory(s->places, gpa, &type);
    if (type != P2M_RAM)
        return;
    unsigned slots = (unsigned)((align_up(gpa + bytes, 8) - start) / 8);
    memcpy(lines, memory - (gpa - start), slots * 8);
    memcpy((u8 *)lines + (gpa - start), data, bytes);
    for (unsigned i = 0; i < slots && s->number == 0; i++)
        stale_store(start + i * 8, expected_entry(start + i * 8), lines[i]);
    memcpy(memory, data, bytes);
}

static void store_by_monitor(struct monitored *s, u64 gpa, const void *data, unsigned bytes)
{
    store(s, gpa, data, bytes);
    exit_begin(s);
    u64 hpa = places_hpa(s->places, gpa);
    if (hpa != ~0ull)
        shadow_written(&s->view, hpa, bytes);
}

// The access went through.
static struct result done(struct monitored *s, const struct attempt *a, u64 hpa)
{
    u64 gpa = places_gpa(s->places, hpa);
    enum p2m_type type;
    (void)places_memory(s->places, gpa, &type);
    bool write = a->access.kind == ACCESS_WRITE;
    if (gpa == ~0ull)
        bad("side %u: %s leads to machine address %lx, which is not its guest's", s->number, attempt_text(a),
            hpa);
    if (write && type != P2M_RAM && type != P2M_DIRECT)
        bad("side %u: %s writes gpa %lx, whose type is %d", s->number, attempt_text(a), gpa, type);
    if (write)
        store(s, gpa, a->data, a->bytes);
    return (struct result){.kind = PAIR_DONE, .gpa = gpa};
}

static struct result emulated(struct monitored *s, const struct attempt *a)
{
    u64 gpa = a->present.gpa;
    if (a->error)
        bad("side %u: %s is to be emulated; tables say ec %x", s->number, attempt_text(a),
            a->present.error_code);
    if (a->access.kind == ACCESS_WRITE)
        store_by_monitor(s, gpa, a->data, a->bytes);
    return (struct result){.kind = PAIR_EMULATED, .gpa = gpa};
}

// A write to a traced table. False: the instruction is run again.
static bool traced(struct monitored *s, const struct attempt *a, const struct mmu_fault *f, struct result *r)
{
    u64 hpa = f->hpa, gpa = places_gpa(s->places, hpa);
    if (a->access.kind != ACCESS_WRITE || gpa == ~0ull)
        bad("side %u: %s is called a write to a table at %lx", s->number, attempt_text(a), hpa);
    pair_counts.traced++;
    if (!a->decodable && r->exits < TRIES / 2) {
        pair_counts.released++;
        shadow_release(&s->view, hpa);
        return false;
    }
    store(s, gpa, a->data, a->bytes);
    shadow_carried_out(&s->view, f, a->bytes);
    *r = (struct result){.kind = PAIR_DONE, .gpa = gpa};
    return true;
}

// A #PF exit. False: the instruction is run again.
static bool fault_exit(struct monitored *s, const struct attempt *a, u32 error_code, struct result *r)
{
    struct mmu_fault f = {.gva = a->gva, .error_code = error_code, .plain = a->plain};
    enum mmu_outcome outcome;
    exit_begin(s);
    if (!shadow_fault_watched(&s->view, &f, &outcome))
        outcome = shadow_fault(&s->view, &f);
    switch (outcome) {
    case MMU_FIXED:
        pair_counts.hidden++;
        return false;
    case MMU_TRACED:
        return traced(s, a, &f, r);
    case MMU_DEVICE:
        *r = emulated(s, a);
        return true;
    default:
        *r = (struct result){.kind = PAIR_FAULT, .error_code = f.error_code};
        return true;
    }
}

static struct result side_run(struct monitored *s, const struct attempt *a)
{
    struct result r = {.exits = 0};
    unsigned exits = 0;
    for (; exits < TRIES; r.exits = exits) {
        struct walk out;
        cpu_load_context(s);
        if (!cpu_access(&s->cpu, a->gva, a->access, &out)) {
            r = done(s, a, out.gpa);
            break;
        }
        if (fault_is_direct(&s->engine, &pair_regs, out.error_code)) {
            pair_counts.direct++;
            r = (struct result){.kind = PAIR_FAULT, .error_code = out.error_code};
            break;
        }
        exits++;
        if (fault_exit(s, a, out.error_code, &r))
            break;
    }
    if (exits == TRIES)
        bad("side %u: %s makes no progress", s->number, attempt_text(a));
    r.exits = exits;
    return r;
}

static void compare(const struct attempt *a, const struct result *one, const struct result *other)
{
    static const char *const kinds[] = {"done", "emulated", "#PF"};
    if (one->kind != other->kind || one->gpa != other->gpa || one->error_code != other->error_code)
        bad("%s: %s gpa %lx ec %x on one side, %s gpa %lx ec %x on the other; tables say %d gpa %lx ec %x",
            attempt_text(a), kinds[one->kind], one->gpa, one->error_code, kinds[other->kind], other->gpa,
            other->error_code, a->error, a->present.gpa, a->present.error_code);
    for (unsigned i = 0; i < a->m.count; i++)
        memory_check(align_down(a->m.list[i].gpa, 8));
    if (one->kind != PAIR_FAULT && a->access.kind == ACCESS_WRITE)
        pair_check(one->gpa, a->bytes);
}

static void attempt_say(const struct attempt *a)
{
    u64 gpa[4] = {0}, value[4] = {0};
    for (unsigned i = 0; i < a->m.count; i++) {
        gpa[i] = a->m.list[i].gpa;
        value[i] = a->m.list[i].value;
    }
    say("%s: tables say %d gpa %lx ec %x: %lx=%lx %lx=%lx %lx=%lx %lx=%lx", attempt_text(a), a->error,
        a->present.gpa, a->present.error_code, gpa[0], value[0], gpa[1], value[1], gpa[2], value[2], gpa[3],
        value[3]);
}

bool pair_access(u64 gva, struct walk_access access, const void *data, unsigned bytes)
{
    struct attempt a = {.gva = gva,
                        .access = access,
                        .data = data,
                        .bytes = bytes,
                        .decodable = chance(92),
                        .plain = chance(50)};
    a.m = pair_model(gva, access);
    a.error = model_judge(&a.m, &a.present);
    attempt_say(&a);
    struct result one = side_run(&monitored[0], &a), other = side_run(&monitored[1], &a);
    compare(&a, &one, &other);
    pair_counts.accesses++;
    pair_counts.by_kind[one.kind]++;
    pair_counts.unlike += one.exits != other.exits;
    if (one.kind == PAIR_FAULT)
        stale_fault(gva);
    else
        stale_used(&a.present);
    return one.kind != PAIR_FAULT;
}

static void side_invlpg(struct monitored *s, u64 gva)
{
    bool native = shadow_is_exact(&s->engine) && chance(85);
    pair_counts.native_invlpg += native;
    if (!native) {
        exit_begin(s);
        shadow_invlpg(&s->view, gva);
    }
    cpu_invlpg(&s->cpu, gva);
}

void pair_invlpg(u64 gva)
{
    say("invlpg %lx", gva);
    stale_invlpg(gva);
    for
        each_side(s) side_invlpg(s, gva);
}

void pair_cr3(u64 cr3)
{
    say("cr3 %lx", cr3);
    stale_cr3();
    pair_regs.regs.cr3 = cr3;
    for
        each_side(s)
        {
            if (cr3_is_target(&s->view, cr3)) {
                pair_counts.unseen++;
                cpu_mov_cr3(&s->cpu, cr3);
            } else {
                root_load(s);
            }
        }
}

void pair_paging(const struct paging_regs *after)
{
    struct paging_regs before = pair_regs.regs;
    say("cr0 %lx cr4 %lx efer %lx", after->cr0, after->cr4, after->efer);
    pair_regs.regs = *after;
    if ((before.cr4 ^ after->cr4) & CR4_PGE || (before.cr0 ^ after->cr0) & CR0_PG)
        stale_flush();
    for
        each_side(s)
        {
            exit_begin(s);
            shadow_paging_changed(&s->view, &before, after);
            root_load(s);
        }
}

void pair_store(u64 gpa, const void *data, unsigned bytes)
{
    say("the monitor stores %u bytes to gpa %lx", bytes, gpa);
    for
        each_side(s) store_by_monitor(s, gpa, data, bytes);
    pair_check(gpa, bytes);
}

void pair_change(void (*change)(u64 argument), u64 argument)
{
    change(argument);
    for
        each_side(s) root_load(s);
}

void pair_audit(void)
{
    for
        each_side(s)
        {
            exit_begin(s);
            const char *wrong = shadow_audit(&s->view);
            if (wrong)
                bad("audit of side %u: %s", s->number, wrong);
        }
}
