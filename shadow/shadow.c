// The back end: connects the engine (engine.h) to the vcpu, the VMCS and the TLBs.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/phys.h>
#include <hv/kept.h>
#include <hv/log.h>
#include <shadow/shadow.h>

#include "engine.h"

// What translations depend on: the software walk must know of every change.
#define CR4_OWNED (CR4_PAE | CR4_PSE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE)

// What the processors of a machine share.
struct shadow_mmu {
    struct mmu base; // first
    bool vpid, direct_invlpg;
    struct walk_context guest; // what a new view begins with
    struct shadow tables;
};

// What one of them has.
struct shadow_cpu {
    struct mmu_view base; // first
    struct shadow_view view;
    bool loaded;                  // a root is in use
    bool invlpg_exits, pf_direct; // as in the VMCS
    u16 root_vpid;
    u64 root_cr3;                        // what CR3 holds for it
    u32 audit_at;                        // the table that is audited next
    u64 control_changes, target_changes; // the view's, when the VMCS was last asked to follow
};

static struct shadow_cpu *cpu_of(const struct vcpu *v)
{
    return (struct shadow_cpu *)v->mmu;
}

static struct shadow_mmu *mmu_of(const struct shadow_cpu *cpu)
{
    return (struct shadow_mmu *)cpu->base.mmu;
}

static const char *shadow_missing(const struct vmx_caps *caps, bool vpid)
{
    u64 needed =
        VPID_CAP_INVVPID | VPID_CAP_INVVPID_ADDRESS | VPID_CAP_INVVPID_CONTEXT | VPID_CAP_INVVPID_ALL;
    if (vpid && (!(caps->proc2.may & PROC2_VPID) || (caps->ept_vpid & needed) != needed))
        return "vpid=on: this processor has no VPID or not all types of INVVPID: boot with vpid=off.";
    return NULL;
}

static const char *shadow_unfit(const struct paging_regs *guest)
{
    enum paging_mode mode = walk_mode(guest);
    if (mode != PAGING_4LEVEL && mode != PAGING_NONE)
        return "mmu=shadow runs guests with 4-level paging or none, not with two-level or PAE paging: use mmu=ept";
    if (!(guest->cr0 & CR0_PE))
        return "mmu=shadow runs no guest in real mode: use mmu=ept";
    return NULL;
}

// Without VPIDs the next entry flushes.
static void invvpid(const struct shadow_cpu *cpu, u64 type, u16 vpid, u64 gva, u64 *count)
{
    if (!mmu_of(cpu)->vpid)
        return;
    (*count)++;
    vmx_invvpid(type, vpid, gva);
}

static void flush_vpid(void *context, u16 vpid)
{
    const struct shadow_cpu *cpu = cpu_of(context);
    invvpid(cpu, INVVPID_CONTEXT, vpid, 0, &cpu->view.s->stats.invvpid_context);
}

static void flush_all(void *context)
{
    const struct shadow_cpu *cpu = cpu_of(context);
    invvpid(cpu, INVVPID_ALL, 0, 0, &cpu->view.s->stats.invvpid_all);
}

static void flush_address(void *context, u64 gva)
{
    const struct shadow_cpu *cpu = cpu_of(context);
    invvpid(cpu, INVVPID_ADDRESS, cpu->root_vpid, gva, &cpu->view.s->stats.invvpid_address);
}

static u64 guest_cycles(void *context)
{
    return vcpu_guest_cycles(context);
}

static unsigned cr3_target_count(const struct vmx_caps *caps)
{
    unsigned count = vmx_cr3_targets(caps);
    return count < SHADOW_TARGETS ? count : SHADOW_TARGETS;
}

// Takes what is not the engine's.
static struct shadow_config config_take(struct shadow_mmu *mmu, const struct mmu_options *options)
{
    struct shadow_config config = {
        .strategy = shadow_strategies[options->strategy],
        .directpf = options->directpf,
        .root_vpids = options->root_vpids,
        .large = options->large,
        .prefetch = options->prefetch,
        .pool = options->pool,
        .ram = options->ram,
        .physical_bits = options->physical_bits,
        .empty_exit_cycles = options->empty_exit_cycles,
    };
    if (options->in_place)
        config.targets = cr3_target_count(options->caps);
    mmu->vpid = options->vpid;
    mmu->direct_invlpg = options->direct_invlpg;
    return config;
}

static void shadow_ops_configure(struct mmu *base, const struct mmu_options *options)
{
    struct shadow_mmu *mmu = (struct shadow_mmu *)base;
    struct shadow_config config = config_take(mmu, options);
    shadow_configure(&mmu->tables, &config);
}

static int shadow_ops_init(struct mmu *base, const struct mmu_options *options)
{
    struct shadow_mmu *mmu = (struct shadow_mmu *)base;
    struct shadow_config config = config_take(mmu, options);
    mmu->guest = (struct walk_context){
        .p2m = base->p2m, .physical_bits = options->physical_bits, .has_1g_pages = options->has_1g_pages};
    return shadow_init(&mmu->tables, base->p2m, &config);
}

static int shadow_enter(struct vcpu *v)
{
    const struct shadow_hw hw = {flush_vpid, flush_all, flush_address, guest_cycles, v};
    struct shadow_cpu *cpu = cpu_of(v);
    struct shadow_mmu *mmu = mmu_of(cpu);
    if (mmu->base.p2m_changed)
        shadow_drop_all(&mmu->tables);
    int error = shadow_view_init(&cpu->view, &mmu->tables, &mmu->guest, &hw);
    if (!error)
        flush_all(v); // of whoever used these VPIDs before
    return error;
}

static void shadow_leave(struct vcpu *v)
{
    shadow_view_leave(&cpu_of(v)->view);
}

// A guest without paging runs on PAE paging, on pages that are everybody's.
static void needs_unpaged(struct mmu_needs *needs)
{
    needs->hw.cr0 |= CR0_PG;
    needs->hw.cr4 = (needs->hw.cr4 & ~(CR4_SMEP | CR4_SMAP)) | CR4_PAE;
    needs->hw.efer &= ~(EFER_LME | EFER_LMA);
}

// With paging what is unknown has P and a reserved bit: only P = 1 must exit.
static inline void exits_choose(const struct shadow_cpu *cpu, const struct paging_regs *guest,
                                struct mmu_controls *controls)
{
    bool direct = guest->cr0 & CR0_PG && cpu->pf_direct && !shadow_hides_fetches(guest);
    controls->proc = PROC_CR3_LOAD_EXITING | (cpu->invlpg_exits ? PROC_INVLPG_EXITING : 0) |
                     (shadow_root_in_place(&cpu->view) ? 0 : PROC_CR3_STORE_EXITING);
    controls->exceptions = BIT(VECTOR_PF);
    controls->pf_mask = controls->pf_match = direct ? PFEC_P : 0;
    controls->cr3_targets = shadow_targets(&cpu->view, controls->cr3_target);
}

static void shadow_controls(const struct vcpu *v, struct mmu_controls *controls)
{
    const struct shadow_cpu *cpu = cpu_of(v);
    exits_choose(cpu, &cpu->view.walk.regs, controls);
}

static void shadow_needs(const struct vcpu *v, const struct paging_regs *guest, struct mmu_needs *needs)
{
    const struct shadow_cpu *cpu = cpu_of(v);
    *needs = (struct mmu_needs){
        .proc2 = mmu_of(cpu)->vpid ? PROC2_VPID : 0,
        .cr0_owned = CR0_PE | CR0_PG | CR0_WP,
        .cr4_owned = CR4_OWNED,
        .hw = *guest,
        .efer_owned = true,
    };
    exits_choose(cpu, guest, &needs->controls);
    needs->hw.cr0 |= CR0_WP; // a page that is read-only here is so for the guest's kernel too
    needs->hw.cr3 = cpu->root_cr3;
    if (shadow_hides_fetches(guest))
        needs->hw.efer |= EFER_NXE;
    if (!(guest->cr0 & CR0_PG))
        needs_unpaged(needs);
}

static void shadow_load(struct vcpu *v)
{
    const struct shadow_cpu *cpu = cpu_of(v);
    if (mmu_of(cpu)->vpid)
        kept_write(v, KEPT_VPID, cpu->root_vpid);
}

// Once in a guest's run, as each load of such a root exits.
static void say_refused(const struct shadow *s)
{
    static const char *const whose[FRAME_OWNERS] = {
        [FRAME_NONE] = "the monitor's image, or no RAM that it uses,",
        [FRAME_FREE] = "free memory",
        [FRAME_MONITOR] = "the monitor's memory",
        [FRAME_GUEST] = "a page of the guest's that cannot move",
        [FRAME_KEPT] = "the monitor's memory",
        [FRAME_HELD] = "memory that is far from the processor",
    };
    log_warn(
        "shadow.cr3=inplace: %lu loads of the guest's roots had to exit: at 0x%lx, where one of them would be in place, is %s",
        s->stats.places_refused, s->refused << PAGE_SHIFT,
        whose[frames_owner(s->p2m->frames, mfn(s->refused))]);
}

// INVLPG must be seen while a table is out of sync or none is traced; and which #PF and MOV to CR3 must be.
static __attribute__((noinline)) void controls_follow(struct vcpu *v, struct shadow_cpu *cpu)
{
    struct shadow *s = cpu->view.s;
    bool targets = cpu->target_changes != cpu->view.target_changes;
    bool exits = !mmu_of(cpu)->direct_invlpg || !shadow_is_exact(s);
    bool direct = shadow_absent_is_true(s);
    targets |= shadow_targets_hold(&cpu->view) != (v->cr3_targets != 0);
    if ((exits != cpu->invlpg_exits || direct != cpu->pf_direct || targets) && cpu->loaded)
        v->refresh_controls = true;
    cpu->invlpg_exits = exits;
    cpu->pf_direct = direct;
    cpu->target_changes = cpu->view.target_changes;
    cpu->control_changes = cpu->view.control_changes;
    if (s->refused) {
        say_refused(s);
        s->refused = 0;
    }
}

// Nothing else changes them but a root load.
static inline void follow_exactness(struct vcpu *v, struct shadow_cpu *cpu)
{
    if (unlikely(cpu->control_changes != cpu->view.control_changes))
        controls_follow(v, cpu);
}

static __attribute__((noinline)) void root_switched(struct shadow_cpu *cpu, u64 cr3)
{
    cpu->view.walk.regs.cr3 = cpu->root_cr3 = cr3;
    shadow_root_switched(&cpu->view, cr3);
}

static inline void follow_root(struct shadow_cpu *cpu)
{
    u64 cr3 = vmcs_read(GUEST_CR3);
    if (unlikely(cr3 != cpu->root_cr3))
        root_switched(cpu, cr3);
}

// First of all after an exit: the guest may have gone from one root in place to another unseen.
static inline struct shadow_cpu *cpu_now(struct vcpu *v)
{
    struct shadow_cpu *cpu = cpu_of(v);
    if (v->cr3_unseen && v->cr3_targets)
        follow_root(cpu);
    v->cr3_unseen = false;
    return cpu;
}

static void access_context(const struct vcpu *v, struct walk_context *walk, u32 error_code)
{
    walk->cpl = error_code & PFEC_U ? 3 : 0;
    if (walk->regs.cr4 & CR4_SMAP && !(error_code & PFEC_U)) {
        walk->rflags = vmcs_read(GUEST_RFLAGS);
        walk->cpl = vcpu_cpl(v);
    }
    if (walk->regs.cr4 & CR4_PKE)
        walk->pkru = read_pkru();
}

// The instruction that writes, where the processor has just fetched it from.
static inline enum mmu_outcome traced(struct shadow_cpu *cpu, struct mmu_fault *fault)
{
    fault->rip = vmcs_read(GUEST_RIP);
    if (!shadow_translate(&cpu->view, fault->rip, &fault->code))
        fault->code = 0;
    return MMU_TRACED;
}

static __attribute__((noinline)) enum mmu_outcome fault_by_tables(struct vcpu *v, struct mmu_fault *fault)
{
    struct shadow_cpu *cpu = cpu_of(v);
    access_context(v, &cpu->view.walk, fault->error_code);
    enum mmu_outcome outcome = shadow_fault(&cpu->view, fault);
    follow_exactness(v, cpu);
    return outcome == MMU_TRACED ? traced(cpu, fault) : outcome;
}

static __attribute__((flatten)) enum mmu_outcome shadow_ops_fault(struct vcpu *v, struct mmu_fault *fault)
{
    struct shadow_cpu *cpu = cpu_now(v);
    enum mmu_outcome outcome;
    cpu->view.s->stats.page_faults++;
    if (!shadow_fault_watched(&cpu->view, fault, &outcome))
        return fault_by_tables(v, fault);
    if (outcome == MMU_TRACED)
        return traced(cpu, fault);
    follow_exactness(v, cpu);
    return outcome;
}

static void load_root(struct vcpu *v, struct shadow_cpu *cpu)
{
    u16 vpid;
    cpu->root_cr3 = shadow_load_root(&cpu->view, &vpid);
    cpu->root_vpid = vpid;
    shadow_load(v);
    follow_exactness(v, cpu);
    bool in_place = shadow_root_in_place(&cpu->view), targets = shadow_targets_hold(&cpu->view);
    if (in_place == v->cr3_owned || targets != (v->cr3_targets != 0))
        v->refresh_controls = true;
}

static void shadow_paging_written(struct vcpu *v, const struct paging_regs *before,
                                  const struct paging_regs *after)
{
    struct shadow_cpu *cpu = cpu_now(v);
    cpu->view.walk.regs = *after;
    if (cpu->loaded)
        shadow_paging_changed(&cpu->view, before, after);
    const char *unfit = shadow_unfit(after);
    cpu->loaded = !unfit;
    v->refresh_controls |= !cpu->loaded; // so that what follows is looked at
    if (cpu->loaded)
        load_root(v, cpu);
    else
        v->unsupported = unfit;
}

static u64 shadow_root_written(struct vcpu *v, u64 cr3)
{
    struct shadow_cpu *cpu = cpu_now(v);
    cpu->view.walk.regs.cr3 = cr3;
    load_root(v, cpu);
    return cpu->root_cr3;
}

static u64 shadow_root_kept(struct vcpu *v, u64 cr3)
{
    struct shadow_view *view = &cpu_of(v)->view;
    view->keeps = true;
    u64 root = shadow_root_written(v, cr3);
    view->keeps = false;
    return root;
}

static u64 shadow_wp_written(struct vcpu *v, u64 cr0)
{
    struct shadow_cpu *cpu = cpu_now(v);
    cpu->view.walk.regs.cr0 = cr0;
    load_root(v, cpu);
    return cpu->root_cr3;
}

static bool shadow_ops_global_written(struct vcpu *v, u64 cr4)
{
    struct shadow_cpu *cpu = cpu_now(v);
    bool done = shadow_global_written(&cpu->view, cr4);
    follow_exactness(v, cpu);
    return done;
}

static void shadow_ops_invlpg(struct vcpu *v, u64 gva)
{
    struct shadow_cpu *cpu = cpu_now(v);
    shadow_invlpg(&cpu->view, gva);
    follow_exactness(v, cpu);
    flush_address(v, gva);
}

// What is refreshed synchronises, or forgets, as a load of the same root does.
static void shadow_ops_flush(struct vcpu *v)
{
    flush_vpid(v, cpu_of(v)->root_vpid);
    v->refresh = true;
}

static void shadow_ops_written(struct vcpu *v, u64 hpa, unsigned bytes)
{
    struct shadow_cpu *cpu = cpu_now(v);
    shadow_written(&cpu->view, hpa, bytes);
    follow_exactness(v, cpu);
}

static __attribute__((flatten)) void shadow_ops_carried_out(struct vcpu *v, const struct mmu_fault *fault,
                                                            unsigned bytes)
{
    struct shadow_cpu *cpu = cpu_of(v);
    shadow_carried_out(&cpu->view, fault, bytes);
    follow_exactness(v, cpu);
}

static void shadow_ops_release(struct vcpu *v, u64 hpa)
{
    struct shadow_cpu *cpu = cpu_now(v);
    shadow_release(&cpu->view, hpa);
    follow_exactness(v, cpu);
}

static int shadow_ops_p2m_adding(struct mmu *mmu, mfn_t first, u64 count)
{
    return shadow_p2m_adding(&((struct shadow_mmu *)mmu)->tables, first, count);
}

static void shadow_ops_p2m_changing(struct vcpu *v, gfn_t first, u64 count)
{
    if (!cpu_of(v)->loaded)
        return;
    shadow_p2m_changing(cpu_now(v)->view.s, first, count);
    v->refresh = true;
}

// Without a root there is nothing that the processor walks.
static bool shadow_ops_audit(struct vcpu *v, u32 count, char *text, size_t size)
{
    struct shadow_cpu *cpu = cpu_of(v);
    struct shadow_finding f;
    u32 looked_at = 0;
    if (!cpu->loaded)
        return true;
    cpu_now(v);
    bool right = count == MMU_AUDIT_ALL
                     ? shadow_audit_all(&cpu->view, &f)
                     : shadow_audit_some(&cpu->view, &cpu->audit_at, count, &looked_at, &f);
    cpu->view.s->stats.audited += looked_at;
    if (!right)
        fmt(text, size, "%s: table of level %u for frame 0x%lx, slot %u: 0x%lx, the guest's 0x%lx", f.wrong,
            f.level, f.frame, f.slot, f.entry, f.guest_entry);
    return right;
}

static void shadow_counters(const struct mmu *base, u64 values[COUNTERS])
{
    const struct shadow_mmu *mmu = (const struct shadow_mmu *)base;
    struct shadow_stats now = shadow_stats_now(&mmu->tables);
    now.vpids = mmu->vpid ? now.vpids : 0;
#define COUNTER_MMU(name, ...)    values[COUNTER_##name] += now.name;
#define COUNTER_SHADOW(name, ...) values[COUNTER_##name] += now.name;
#include <hv/counters.def>
}

const struct mmu_ops shadow_ops = {
    .name = "shadow",
    .bytes = sizeof(struct shadow_mmu),
    .view_bytes = sizeof(struct shadow_cpu),
    .owner = COUNTER_OF_SHADOW,
    .missing = shadow_missing,
    .unfit = shadow_unfit,
    .init = shadow_ops_init,
    .configure = shadow_ops_configure,
    .enter = shadow_enter,
    .leave = shadow_leave,
    .needs = shadow_needs,
    .controls = shadow_controls,
    .load = shadow_load,
    .fault = shadow_ops_fault,
    .paging_written = shadow_paging_written,
    .p2m_adding = shadow_ops_p2m_adding,
    .p2m_changing = shadow_ops_p2m_changing,
    .counters = shadow_counters,
    .root_written = shadow_root_written,
    .wp_written = shadow_wp_written,
    .global_written = shadow_ops_global_written,
    .root_kept = shadow_root_kept,
    .invlpg = shadow_ops_invlpg,
    .flush = shadow_ops_flush,
    .written = shadow_ops_written,
    .carried_out = shadow_ops_carried_out,
    .release = shadow_ops_release,
    .audit = shadow_ops_audit,
};
