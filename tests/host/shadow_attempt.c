// See shadow_attempt.h.
#include "shadow_attempt.h"
#include "guest_entry.h"
#include "model_cpu.h"
#include "model_history.h"
#include "shadow_machine.h"
#include "shadow_story.h"
#include "shadow_tables.h"
#include "support.h"

#include <arch/cpu.h>

#include <stdio.h>

#define TRIES 12u // of one instruction

struct shadow engine;
struct shadow_view view;
struct walk_context *const guest = &view.walk;
struct happened happened;

static struct model_tlb tlb;
static struct model_cpu cpu = {.tlb = &tlb};

// One instruction of the guest's on its way.
struct attempt {
    struct walk_access access;
    u64 gva;
    const void *data;
    unsigned bytes;
    bool decodable;      // the monitor can carry it out
    bool plain;          // it does not read what it writes over
    unsigned fixed;      // hidden faults so far
    struct model m;      // the walk of the present tables as they were at first,
    int result;          // what it says,
    struct walk present; // and its outcome
    bool settled;        // it has no accessed or dirty bit to set
};

// Cycles that the guest has run: bursts come from steps that follow closely.
static u64 hw_now(void *processor)
{
    (void)processor;
    static u64 time;
    return time += chance(70) ? 100 : 5000;
}

static bool unpaged(void)
{
    return model_mode(&guest->regs) == PAGING_NONE;
}

static void cpu_load_context(void)
{
    guest_entry(&cpu, guest);
}

static u64 known_cr3; // as of the last exit

// Each exit begins so: the guest may have loaded targets unseen.
static void exit_begin(void)
{
    if (cpu.cr3 == known_cr3)
        return;
    known_cr3 = cpu.cr3;
    shadow_root_switched(&view, cpu.cr3);
}

static void root_load(void)
{
    exit_begin();
    cpu.cr3 = known_cr3 = shadow_load_root(&view, &cpu.vpid);
    cpu_load_context();
}

static u16 pcid(void)
{
    return guest->regs.cr4 & CR4_PCIDE ? (u16)(guest->regs.cr3 & CR3_PCID) : 0;
}

static void history_begin(void)
{
    history_start(guest->regs.cr3, pcid());
}

// A MOV to CR3 of a target does not exit: the processor flushes by itself.
static bool root_load_unseen(u64 cr3)
{
    if (!cr3_is_target(&view, cr3))
        return false;
    say("  unseen");
    cpu_mov_cr3(&cpu, cr3);
    happened.kept_unseen += cr3 >> 63;
    return true;
}

static bool away, changed_away; // the guest runs without the engine; the p2m has changed meanwhile

static void p2m_changing(void *context, gfn_t first, u64 count)
{
    changed_away |= away;
    if (away)
        return;
    exit_begin();
    shadow_p2m_changing(context, first, count);
}

void guest_start(const struct shadow_config *config, bool has_1g_pages)
{
    cpu.memory = machine_table;
    cpu_reset(&cpu);
    const struct shadow_hw hw = guest_hardware(&cpu, hw_now);
    const struct walk_context start = {
        .p2m = &machine_places.p2m,
        .regs = {.cr0 = CR0_PE | CR0_PG | CR0_WP,
                 .cr3 = FIRST_ROOT * PAGE_SIZE,
                 .cr4 = CR4_PAE | CR4_PGE,
                 .efer = EFER_LME | EFER_LMA | EFER_NXE},
        .physical_bits = config->physical_bits,
        .has_1g_pages = has_1g_pages,
    };
    assert_int_equal(shadow_init(&engine, &machine_places.p2m, config), 0);
    assert_int_equal(shadow_view_init(&view, &engine, &start, &hw), 0);
    machine_places.p2m.changing = p2m_changing;
    machine_places.p2m.context = &engine;
    history_begin();
    cpu.cr3 = known_cr3 = 0;
    root_load();
}

void guest_switch(const struct shadow_config *config, void (*meanwhile)(void))
{
    shadow_view_leave(&view);
    away = true;
    meanwhile();
    away = false;
    if (changed_away)
        shadow_drop_all(&engine);
    changed_away = false;
    const struct shadow_hw hw = guest_hardware(&cpu, hw_now);
    const struct walk_context now = *guest;
    shadow_configure(&engine, config);
    happened.kept += shadow_stats_now(&engine).tables_used;
    cpu_flush_all(&cpu);
    assert_int_equal(shadow_view_init(&view, &engine, &now, &hw), 0);
    history_begin();
    cpu.cr3 = known_cr3 = 0;
    root_load();
}

struct model guest_model(u64 gva, struct walk_access access)
{
    return (struct model){.context = guest,
                          .mode = model_mode(&guest->regs),
                          .gva = gva,
                          .access = access,
                          .by_user = guest->cpl == 3 && !access.implicit,
                          .memory = guest_memory};
}

static const char *attempt_text(const struct attempt *a)
{
    static char text[200];
    snprintf(text, sizeof(text), "gva %lx %s%s cpl %u ac %d cr3 %lx cr0 %lx cr4 %lx efer %lx", a->gva,
             (const char *[]){"read", "write", "fetch"}[a->access.kind],
             a->access.implicit ? " implicit" : "", guest->cpl, !!(guest->rflags & RFLAGS_AC),
             guest->regs.cr3, guest->regs.cr0, guest->regs.cr4, guest->regs.efer);
    return text;
}

// 4.8: what a walk for an access sets in an entry.
static u64 marks_of(const struct model *m, unsigned i)
{
    bool dirty = i == m->count - 1 && m->access.kind == ACCESS_WRITE;
    const struct model_entry *e = &m->list[i];
    return !e->memory || e->type != P2M_RAM ? 0 : dirty ? BIT(5) | BIT(6) : BIT(5);
}

static void expect_marks(const struct model *m)
{
    for (unsigned i = 0; i < m->count; i++)
        memory_mark(m->list[i].gpa, marks_of(m, i));
}

// The bits that choose an entry of the PAT (4.9.2).
static unsigned type_of(const struct walk *walk)
{
    u64 leaf = walk->entry[walk->level];
    return (unsigned)(bits(leaf, 4, 3) | bit(leaf, walk->level == 1 ? 7 : 12) << 2);
}

// Device memory is uncached whatever the guest says.
static void check_type(const struct attempt *a, const struct walk *out, enum p2m_type type)
{
    unsigned wanted = type == P2M_DIRECT ? 3 : type_of(&a->present);
    if (type_of(out) != wanted)
        bad("%s has memory type %u, not %u", attempt_text(a), type_of(out), wanted);
}

static void check_success(const struct attempt *a, const struct walk *out)
{
    u64 hpa = out->gpa, gpa = hpa_gpa(hpa);
    enum p2m_type type;
    guest_memory(gpa, &type);
    bool write = a->access.kind == ACCESS_WRITE;
    if (gpa == ~0ull)
        bad("%s leads to machine address %lx, which is not the guest's", attempt_text(a), hpa);
    if (write && type != P2M_RAM && type != P2M_DIRECT)
        bad("%s writes gpa %lx, whose type is %d", attempt_text(a), gpa, type);
    bool as_present = !a->result && gpa_hpa(a->present.gpa) == hpa;
    if (a->fixed && !as_present)
        bad("%s after a hidden fault goes to gpa %lx; tables say %d, gpa %lx", attempt_text(a), gpa,
            a->result, a->present.gpa);
    if (a->fixed)
        check_type(a, out, type);
    struct model m = guest_model(a->gva, a->access);
    if (!a->fixed && !(as_present && a->settled) && !history_allows(&m, gpa))
        bad("%s goes to gpa %lx without a fault; tables say %d, gpa %lx ec %x", attempt_text(a), gpa,
            a->result, a->present.gpa, a->present.error_code);
    happened.stale += !as_present;
    happened.wp_clear += as_present && write && !a->present.writable;
    if (write && type == P2M_RAM)
        memory_store(gpa, a->data, a->bytes);
}

static void check_direct(const struct attempt *a, u32 error_code)
{
    struct model m = guest_model(a->gva, a->access);
    bool as_present = a->result && a->present.error_code == error_code;
    if (!as_present && !history_allows_absent(&m, error_code))
        bad("%s faults without an exit with %x; tables say %d, ec %x gpa %lx", attempt_text(a), error_code,
            a->result, a->present.error_code, a->present.gpa);
    if (a->fixed)
        bad("%s faults without an exit after a hidden fault", attempt_text(a));
    happened.direct++;
    happened.stale_faults += !as_present;
    history_event(HISTORY_FAULT, a->gva);
}

// Whether the processor, with CR0.WP set, denies what the guest's registers allow, and the page cannot be a
// supervisor's meanwhile: SMAP and keys would not be checked, and without NX a fetch would be allowed.
static bool needs_wp_clear(const struct attempt *a)
{
    u64 cr4 = guest->regs.cr4;
    if (!a->present.user ||
        !(cr4 & (CR4_SMAP | CR4_PKE) || (cr4 & CR4_SMEP && !(guest->regs.efer & EFER_NXE))))
        return false;
    struct walk_context strict = *guest;
    struct walk out;
    strict.regs.cr0 |= CR0_WP;
    struct model m = guest_model(a->gva, a->access);
    m.context = &strict;
    return model_judge(&m, &out);
}

static void check_emulate(const struct attempt *a, u64 gpa)
{
    enum p2m_type type;
    guest_memory(gpa, &type);
    bool write = a->access.kind == ACCESS_WRITE;
    bool device = type == P2M_HOLE || type == P2M_DEVICE || (write && type == P2M_RAM_RO);
    if (!device && !needs_wp_clear(a))
        bad("%s is to be emulated at gpa %lx of type %d", attempt_text(a), gpa, type);
    happened.emulated++;
    if (write && type == P2M_RAM)
        guest_store(gpa, a->data, a->bytes);
}

// False: try again.
static bool traced_write(struct attempt *a, const struct mmu_fault *f, u64 gpa)
{
    enum p2m_type type;
    guest_memory(gpa, &type);
    if (a->access.kind != ACCESS_WRITE || type != P2M_RAM)
        bad("%s is called a write to a table", attempt_text(a));
    happened.traced++;
    if (!a->decodable && a->fixed < TRIES / 2) {
        happened.released++;
        shadow_release(&view, gpa_hpa(gpa));
        return false;
    }
    memory_store(gpa, a->data, a->bytes);
    shadow_carried_out(&view, f, a->bytes);
    return true;
}

// The error code does not tell an implicit access at CPL 0 to 2. So the engine may at first repair what an
// explicit one would need, for which RFLAGS.AC counts.
static bool taken_for(const struct attempt *a, struct model *m, struct walk *out)
{
    *m = guest_model(a->gva, (struct walk_access){a->access.kind, false});
    return a->access.implicit && guest->cpl < 3 && !model_judge(m, out);
}

static bool untold_fixed(struct attempt *a, enum mmu_outcome outcome)
{
    struct model m;
    struct walk out;
    if (!taken_for(a, &m, &out))
        bad("%s is judged %d; tables say %d, ec %x", attempt_text(a), outcome, a->result,
            a->present.error_code);
    if (!a->fixed++)
        expect_marks(&m);
    happened.untold++;
    if (outcome == MMU_TRACED)
        shadow_release(&view, gpa_hpa(out.gpa));
    return outcome == MMU_DEVICE; // hv stops the guest: such instructions have no operand to emulate
}

static void true_fault(const struct attempt *a, u32 error_code)
{
    if (!a->result)
        bad("%s gets a fault with %x; tables say gpa %lx", attempt_text(a), error_code, a->present.gpa);
    if (error_code != a->present.error_code)
        bad("%s faults with %x, not %x", attempt_text(a), error_code, a->present.error_code);
    happened.true_faults++;
    history_event(HISTORY_FAULT, a->gva);
}

static bool hidden_fault(struct attempt *a, enum mmu_outcome outcome, const struct mmu_fault *f)
{
    if (a->result)
        return untold_fixed(a, outcome);
    if (!a->fixed++)
        expect_marks(&a->m);
    u64 gpa = a->present.gpa;
    if (outcome == MMU_TRACED && f->hpa != gpa_hpa(gpa))
        bad("%s is found at hpa %lx, not %lx", attempt_text(a), f->hpa, gpa_hpa(gpa));
    if (outcome == MMU_TRACED)
        return traced_write(a, f, gpa);
    if (outcome == MMU_DEVICE)
        check_emulate(a, gpa);
    else
        happened.hidden++;
    return outcome == MMU_DEVICE;
}

// A #PF exit. False: the instruction is run again.
static bool fault_exit(struct attempt *a, u32 error_code)
{
    struct mmu_fault f = {.gva = a->gva, .error_code = error_code, .plain = a->plain};
    bool done = true;
    enum mmu_outcome outcome;
    exit_begin();
    if (!shadow_fault_watched(&view, &f, &outcome))
        outcome = shadow_fault(&view, &f);
    say("   exit ec %x: outcome %d hpa %lx ec %x", error_code, outcome, f.hpa, f.error_code);
    if (outcome == MMU_GUEST_FAULT)
        true_fault(a, f.error_code);
    else
        done = hidden_fault(a, outcome, &f);
    for (unsigned i = 0; i < a->m.count; i++)
        memory_check(align_down(a->m.list[i].gpa, 8));
    return done;
}

static bool attempt_run(struct attempt *a)
{
    for (unsigned i = 0; i < TRIES; i++) {
        struct walk out;
        if (!cpu_access(&cpu, a->gva, a->access, &out)) {
            check_success(a, &out);
            return true;
        }
        if (fault_is_direct(&engine, guest, out.error_code)) {
            check_direct(a, out.error_code);
            return false;
        }
        if (fault_exit(a, out.error_code))
            return !a->result;
        cpu_load_context();
    }
    bad("%s makes no progress", attempt_text(a));
}

static void attempt_say(const struct attempt *a)
{
    const struct model_entry *e = a->m.list;
    u64 gpa[4] = {0}, value[4] = {0};
    for (unsigned i = 0; i < a->m.count; i++) {
        gpa[i] = e[i].gpa;
        value[i] = e[i].value;
    }
    say("%s: tables say %d gpa %lx ec %x: %lx=%lx %lx=%lx %lx=%lx %lx=%lx", attempt_text(a), a->result,
        a->present.gpa, a->present.error_code, gpa[0], value[0], gpa[1], value[1], gpa[2], value[2], gpa[3],
        value[3]);
}

bool guest_access(u64 gva, struct walk_access access, const void *data, unsigned bytes)
{
    struct attempt a = {.gva = gva, .access = access, .data = data, .bytes = bytes};
    a.decodable = chance(92);
    a.plain = chance(50);
    a.m = guest_model(gva, access);
    a.result = model_judge(&a.m, &a.present);
    a.settled = true;
    for (unsigned i = 0; i < a.m.count; i++)
        a.settled &= !(marks_of(&a.m, i) & ~a.m.list[i].value);
    attempt_say(&a);
    cpu_load_context();
    happened.accesses++;
    happened.unpaged += unpaged();
    return attempt_run(&a);
}

void guest_invlpg(u64 gva)
{
    bool native = shadow_is_exact(&engine) && chance(85);
    say("invlpg %lx%s", gva, native ? " native" : "");
    history_event(HISTORY_INVLPG, gva);
    if (!native) {
        exit_begin();
        shadow_invlpg(&view, gva);
    }
    happened.native_invlpg += native;
    cpu_invlpg(&cpu, gva);
}

void guest_invpcid(enum invpcid_type type, u16 of, u64 gva)
{
    bool native = shadow_is_exact(&engine) && chance(85);
    say("invpcid %d %u %lx%s", type, of, gva, native ? " native" : "");
    if (type == INVPCID_ALL_GLOBAL)
        history_begin();
    else
        history_invpcid(type == INVPCID_ADDRESS  ? HISTORY_INVPCID_ADDRESS
                        : type == INVPCID_SINGLE ? HISTORY_INVPCID_SINGLE
                                                 : HISTORY_INVPCID_ALL,
                        of, gva);
    happened.native_invpcid += native;
    if (native) {
        cpu_invpcid(&cpu, type, of, gva);
        return;
    }
    exit_begin();
    if (type == INVPCID_ADDRESS) {
        shadow_invlpg(&view, gva);
        cpu_flush_address(&cpu, gva);
        return;
    }
    cpu_flush_vpid(&cpu, cpu.vpid);
    root_load();
}

void guest_cr3(u64 cr3)
{
    bool keeps = cr3 >> 63;
    say("cr3 %lx", cr3);
    guest->regs.cr3 = cr3 & ~CR3_NO_FLUSH;
    history_cr3(keeps ? HISTORY_CR3_KEEPS : HISTORY_CR3, guest->regs.cr3, pcid());
    if (root_load_unseen(cr3))
        return;
    view.keeps = keeps;
    root_load();
    view.keeps = false;
}

// SDM vol. 3, 4.10.4.1. A change of NXE makes entries other than they were, without a flush: what a guest
// sees before its own is nobody's business.
void guest_paging(const struct paging_regs *after)
{
    struct paging_regs before = guest->regs;
    u64 cr4 = before.cr4 ^ after->cr4;
    guest->regs = *after;
    say("cr0 %lx cr4 %lx efer %lx", after->cr0, after->cr4, after->efer);
    if (cr4 & CR4_PGE || cr4 & before.cr4 & CR4_PCIDE || cr4 & after->cr4 & CR4_SMEP ||
        before.efer != after->efer)
        history_begin();
    exit_begin();
    bool global = cr4 == CR4_PGE && before.cr0 == after->cr0 && before.efer == after->efer && !unpaged();
    if (global && shadow_global_written(&view, after->cr4)) {
        cpu_load_context();
        return;
    }
    shadow_paging_changed(&view, &before, after);
    root_load();
}

void guest_store(u64 gpa, const void *data, unsigned bytes)
{
    memory_store(gpa, data, bytes);
    u64 hpa = gpa_hpa(gpa);
    exit_begin();
    if (hpa != ~0ull)
        shadow_written(&view, hpa, bytes);
}

void guest_p2m(void (*change)(u64 argument), u64 argument)
{
    happened.p2m_changes++;
    change(argument);
    root_load();
}

void guest_audit(void)
{
    exit_begin();
    const char *wrong = shadow_audit(&view);
    if (wrong)
        bad("audit: %s", wrong);
}
