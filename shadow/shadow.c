// The back end: connects the engine (engine.h) to the vcpu, the VMCS and the TLBs.
#include <arch/cpu.h>
#include <arch/lib.h>
#include <arch/phys.h>
#include <shadow/shadow.h>

#include "place.h"

// What translations depend on: the software walk must know of every change.
#define CR4_OWNED (CR4_PAE | CR4_PSE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE)

static struct {
    struct shadow engine;
    struct walk_context walk; // but rflags and cpl, which are read for each exit
    bool vpid, direct_invlpg;
    bool loaded;                                            // a root is in use
    bool invlpg_exits, pf_direct;                           // as in the VMCS
    enum sync { SYNC_UNKNOWN, SYNC_WHOLE, SYNC_LOST } sync; // of which the two were made
    u16 root_vpid;
    u64 root_cr3;       // what CR3 holds for it
    u32 audit_at;       // the table that is audited next
    u64 target_changes; // the engine's, when the VMCS was last asked to follow
} self;

static const char *shadow_missing(const struct vmx_caps *caps, bool vpid)
{
    u64 needed =
        VPID_CAP_INVVPID | VPID_CAP_INVVPID_ADDRESS | VPID_CAP_INVVPID_CONTEXT | VPID_CAP_INVVPID_ALL;
    if (vpid && (!(caps->proc2.may & PROC2_VPID) || (caps->ept_vpid & needed) != needed))
        return "vpid=on: this processor has no VPID or not all types of INVVPID: boot with vpid=off.";
    return NULL;
}

// Without VPIDs the next entry flushes.
static void invvpid(u64 type, u16 vpid, u64 gva, u64 *count)
{
    if (!self.vpid)
        return;
    (*count)++;
    vmx_invvpid(type, vpid, gva);
}

static void flush_vpid(void *context, u16 vpid)
{
    (void)context;
    invvpid(INVVPID_CONTEXT, vpid, 0, &self.engine.stats.invvpid_context);
}

static void flush_all(void *context)
{
    (void)context;
    invvpid(INVVPID_ALL, 0, 0, &self.engine.stats.invvpid_all);
}

static u64 guest_cycles(void *context)
{
    return vcpu_guest_cycles(context);
}

// SDM vol. 3, appendix A.6.
static unsigned cr3_target_count(const struct vmx_caps *caps)
{
    unsigned count = caps->misc >> 16 & 0x1ff;
    return count < SHADOW_TARGETS ? count : SHADOW_TARGETS;
}

static int shadow_ops_init(struct vcpu *v, struct p2m *p2m, const struct mmu_options *options)
{
    const struct shadow_hw hw = {flush_vpid, flush_all, guest_cycles, v};
    struct shadow_config config = {
        .strategy = shadow_strategies[options->strategy],
        .directpf = options->directpf,
        .root_vpids = options->vpid && options->root_vpids,
        .large = options->large,
        .prefetch = options->prefetch,
        .pool = options->pool,
        .physical_bits = v->physical_bits,
    };
    if (options->in_place && config.strategy.trace)
        config.targets = cr3_target_count(v->caps);
    memset(&self, 0, sizeof(self));
    self.vpid = options->vpid;
    self.direct_invlpg = options->direct_invlpg;
    self.walk =
        (struct walk_context){.p2m = p2m, .physical_bits = v->physical_bits, .has_1g_pages = v->has_1g_pages};
    flush_all(v); // of whoever used these VPIDs before
    return shadow_init(&self.engine, p2m, &config, &hw);
}

// A guest without paging runs on PAE paging, on pages that are everybody's.
static void needs_unpaged(struct mmu_needs *needs)
{
    needs->hw.cr0 |= CR0_PG;
    needs->hw.cr4 = (needs->hw.cr4 & ~(CR4_SMEP | CR4_SMAP)) | CR4_PAE;
    needs->hw.efer &= ~(EFER_LME | EFER_LMA);
}

static void shadow_needs(const struct vcpu *v, const struct paging_regs *guest, struct mmu_needs *needs)
{
    (void)v;
    bool paging = guest->cr0 & CR0_PG;
    // With paging what is unknown has P and a reserved bit: only P = 1 must exit.
    bool direct = paging && self.pf_direct && !shadow_hides_fetches(guest);
    *needs = (struct mmu_needs){
        .proc = PROC_CR3_LOAD_EXITING | (self.invlpg_exits ? PROC_INVLPG_EXITING : 0),
        .proc2 = self.vpid ? PROC2_VPID : 0,
        .cr0_owned = CR0_PE | CR0_PG | CR0_WP,
        .cr4_owned = CR4_OWNED,
        .hw = *guest,
        .efer_owned = true,
        .exceptions = BIT(VECTOR_PF),
        .pf_mask = direct ? PFEC_P : 0,
        .pf_match = direct ? PFEC_P : 0,
    };
    needs->hw.cr0 |= CR0_WP; // a page that is read-only here is so for the guest's kernel too
    needs->hw.cr3 = self.root_cr3;
    if (shadow_hides_fetches(guest))
        needs->hw.efer |= EFER_NXE;
    if (!shadow_root_in_place(&self.engine))
        needs->proc |= PROC_CR3_STORE_EXITING;
    needs->cr3_targets = shadow_targets(&self.engine, needs->cr3_target);
    if (!paging)
        needs_unpaged(needs);
}

static void shadow_load(struct vcpu *v)
{
    (void)v;
    if (self.vpid)
        vmcs_write(VPID, self.root_vpid);
}

// INVLPG must be seen while a table is out of sync or none is traced; and which #PF and MOV to CR3 must be.
static void follow_exactness(struct vcpu *v)
{
    enum sync sync = self.engine.out_of_sync ? SYNC_LOST : SYNC_WHOLE;
    bool targets = self.target_changes != self.engine.target_changes;
    if (likely(sync == self.sync && !targets))
        return; // nothing else changes them but a root load
    self.sync = sync;
    bool exits = !self.direct_invlpg || !shadow_is_exact(&self.engine);
    bool direct = shadow_absent_is_true(&self.engine);
    targets |= shadow_targets_hold(&self.engine) != (v->cr3_targets != 0);
    if ((exits != self.invlpg_exits || direct != self.pf_direct || targets) && self.loaded)
        v->refresh_controls = true;
    self.invlpg_exits = exits;
    self.pf_direct = direct;
    self.target_changes = self.engine.target_changes;
}

// First of all after an exit: the guest may have gone from one root in place to another unseen.
static void follow_root(const struct vcpu *v)
{
    if (!v->cr3_targets)
        return;
    u64 cr3 = vmcs_read(GUEST_CR3);
    if (cr3 == self.root_cr3)
        return;
    self.walk.regs.cr3 = self.root_cr3 = cr3;
    shadow_root_switched(&self.engine, cr3);
}

static void access_context(const struct vcpu *v, u32 error_code)
{
    (void)v;
    self.walk.cpl = error_code & PFEC_U ? 3 : 0;
    if (self.walk.regs.cr4 & CR4_SMAP && !(error_code & PFEC_U)) {
        self.walk.rflags = vmcs_read(GUEST_RFLAGS);
        self.walk.cpl = vcpu_cpl(v);
    }
    if (self.walk.regs.cr4 & CR4_PKE)
        self.walk.pkru = vcpu_pkru();
}

static enum mmu_outcome shadow_ops_fault(struct vcpu *v, struct mmu_fault *fault)
{
    static const enum mmu_outcome outcomes[] = {
        [SHADOW_FIXED] = MMU_FIXED,
        [SHADOW_GUEST_FAULT] = MMU_GUEST_FAULT,
        [SHADOW_TRACED_WRITE] = MMU_TRACED,
        [SHADOW_EMULATE] = MMU_DEVICE,
    };
    self.engine.stats.page_faults++;
    follow_root(v);
    access_context(v, fault->error_code);
    enum shadow_outcome outcome =
        shadow_fault(&self.engine, &self.walk, fault->gva, &fault->error_code, &fault->hpa);
    follow_exactness(v);
    return outcomes[outcome];
}

static void load_root(struct vcpu *v)
{
    u16 vpid;
    self.root_cr3 = shadow_load_root(&self.engine, &self.walk, &vpid);
    self.root_vpid = vpid;
    shadow_load(v);
    follow_exactness(v);
    bool in_place = shadow_root_in_place(&self.engine), targets = shadow_targets_hold(&self.engine);
    if (in_place == v->cr3_owned || targets != (v->cr3_targets != 0))
        v->refresh_controls = true;
}

static bool mode_supported(const struct paging_regs *regs)
{
    enum paging_mode mode = walk_mode(regs);
    return mode == PAGING_4LEVEL || mode == PAGING_NONE;
}

static void shadow_paging_written(struct vcpu *v, const struct paging_regs *before,
                                  const struct paging_regs *after)
{
    follow_root(v);
    self.walk.regs = *after;
    if (self.loaded)
        shadow_paging_changed(&self.engine, before, after);
    self.loaded = mode_supported(after);
    v->refresh_controls |= !self.loaded; // so that what follows is looked at
    if (self.loaded)
        load_root(v);
    else
        v->unsupported =
            "mmu=shadow runs guests with 4-level paging or none, not with two-level or PAE paging: use mmu=ept";
}

static u64 shadow_root_written(struct vcpu *v, u64 cr3)
{
    follow_root(v);
    self.walk.regs.cr3 = cr3;
    load_root(v);
    return self.root_cr3;
}

static void shadow_ops_invlpg(struct vcpu *v, u64 gva)
{
    follow_root(v);
    shadow_invlpg(&self.engine, &self.walk, gva);
    follow_exactness(v);
    invvpid(INVVPID_ADDRESS, self.root_vpid, gva, &self.engine.stats.invvpid_address);
}

static void shadow_ops_written(struct vcpu *v, u64 hpa, unsigned bytes)
{
    follow_root(v);
    shadow_written(&self.engine, &self.walk, hpa, bytes);
    follow_exactness(v);
}

static void shadow_ops_release(struct vcpu *v, u64 hpa)
{
    follow_root(v);
    shadow_release(&self.engine, hpa);
    follow_exactness(v);
}

static bool shadow_translate(struct vcpu *v, u64 gva, u64 *hpa)
{
    follow_root(v);
    struct spot spot = spot_of(&self.engine, gva);
    u64 entry = *spot.entry, offset_bits = (PAGE_SIZE << 9 * (spot.level - 1)) - 1;
    *hpa = (entry & PTE_ADDRESS & ~offset_bits) | (gva & offset_bits);
    return entry_maps(&self.engine, entry);
}

static void shadow_ops_p2m_changing(struct vcpu *v, gfn_t first, u64 count)
{
    if (!self.loaded)
        return;
    follow_root(v);
    shadow_p2m_changing(&self.engine, first, count);
    v->refresh = true;
}

// Without a root there is nothing that the processor walks.
static bool shadow_ops_audit(struct vcpu *v, u32 count, char *text, size_t size)
{
    struct shadow_finding f;
    u32 looked_at = 0;
    if (!self.loaded)
        return true;
    follow_root(v);
    bool right = count == MMU_AUDIT_ALL
                     ? shadow_audit_all(&self.engine, &self.walk, &f)
                     : shadow_audit_some(&self.engine, &self.walk, &self.audit_at, count, &looked_at, &f);
    self.engine.stats.audited += looked_at;
    if (!right)
        fmt(text, size, "%s: table of level %u for frame 0x%lx, slot %u: 0x%lx, the guest's 0x%lx", f.wrong,
            f.level, f.frame, f.slot, f.entry, f.guest_entry);
    return right;
}

static void shadow_counters(u64 values[COUNTERS])
{
    struct shadow_stats now = shadow_stats_now(&self.engine);
    now.vpids = self.vpid ? now.vpids : 0;
#define COUNTER_MMU(name, ...)    values[COUNTER_##name] = now.name;
#define COUNTER_SHADOW(name, ...) values[COUNTER_##name] = now.name;
#include <hv/counters.def>
}

const struct mmu_ops shadow_ops = {
    .name = "shadow",
    .owner = COUNTER_OF_SHADOW,
    .missing = shadow_missing,
    .init = shadow_ops_init,
    .needs = shadow_needs,
    .load = shadow_load,
    .fault = shadow_ops_fault,
    .paging_written = shadow_paging_written,
    .p2m_changing = shadow_ops_p2m_changing,
    .counters = shadow_counters,
    .root_written = shadow_root_written,
    .invlpg = shadow_ops_invlpg,
    .written = shadow_ops_written,
    .release = shadow_ops_release,
    .translate = shadow_translate,
    .audit = shadow_ops_audit,
};
