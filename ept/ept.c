// The EPT back end. The p2m is the EPT: there is nothing to fill and nothing to keep in step, only
// translations that the processor cached to be dropped when the p2m changes. The guest's paging is its own:
// no exit for CR0.PG, CR3, CR4 or INVLPG, but for a guest without paging on a processor without "unrestricted
// guest" (identity.c).
#include <arch/cpu.h>
#include <arch/lib.h>
#include <arch/phys.h>
#include <ept/ept.h>
#include <hv/kept.h>
#include <hv/log.h>

#include "identity.h"
#include "ones.h"

#define EPTP_WRITE_BACK     6ull
#define EPTP_WALK_4         (3ull << 3)
#define EPTP_ACCESSED_DIRTY BIT(6)
#define GUEST_VPID          1

struct ept {
    struct mmu base; // first
    u64 eptp;
    bool vpid;
    bool identity; // no "unrestricted guest": identity.c
    bool context_invept, context_invvpid, invvpid_keeping_globals;
    bool stale; // the p2m has changed since the last INVEPT, or there was none
    struct ones ones;
    struct {
#define COUNTER_MMU(name, ...) u64 name;
#define COUNTER_EPT(name, ...) u64 name;
#include <hv/counters.def>
    } count;
};

static struct ept *ept_of(const struct vcpu *v)
{
    return (struct ept *)v->mmu->mmu;
}

#define EXIT_EFER       (EXIT_SAVE_EFER | EXIT_LOAD_EFER)
#define EPT_CAPS_NEEDED (EPT_CAP_WALK_4 | EPT_CAP_WRITE_BACK | EPT_CAP_INVEPT)

static const char *ept_missing(const struct vmx_caps *caps, bool vpid)
{
    if (!(caps->proc2.may & PROC2_EPT))
        return "mmu=ept: this processor has no Extended Page Tables: use a processor that has them.";
    if ((caps->ept_vpid & EPT_CAPS_NEEDED) != EPT_CAPS_NEEDED ||
        !(caps->ept_vpid & (EPT_CAP_INVEPT_CONTEXT | EPT_CAP_INVEPT_ALL)))
        return "mmu=ept: this processor's EPT has no 4-level walk, write-back tables or INVEPT: use a processor that has them.";
    if (!(caps->entry.may & ENTRY_LOAD_EFER) || (caps->exit.may & EXIT_EFER) != EXIT_EFER)
        return "mmu=ept: this processor's VM entries and exits do not switch IA32_EFER, which is the guest's own under EPT: use mmu=shadow.";
    if (vpid && (!(caps->proc2.may & PROC2_VPID) || !(caps->ept_vpid & VPID_CAP_INVVPID) ||
                 !(caps->ept_vpid & (VPID_CAP_INVVPID_CONTEXT | VPID_CAP_INVVPID_ALL))))
        return "vpid=on: this processor has no VPID or INVVPID: boot with vpid=off.";
    return NULL;
}

static const char *ept_unfit(const struct paging_regs *guest)
{
    (void)guest;
    return NULL;
}

static void invept(struct ept *ept)
{
    ept->count.invept++;
    ept->stale = false;
    vmx_invept(ept->context_invept ? INVEPT_CONTEXT : INVEPT_ALL, ept->eptp);
}

static void invvpid(struct ept *ept)
{
    if (ept->context_invvpid)
        ept->count.invvpid_context++;
    else
        ept->count.invvpid_all++;
    vmx_invvpid(ept->context_invvpid ? INVVPID_CONTEXT : INVVPID_ALL, GUEST_VPID, 0);
}

static void ept_configure(struct mmu *mmu, const struct mmu_options *options)
{
    ((struct ept *)mmu)->vpid = options->vpid;
}

static int ept_init(struct mmu *mmu, const struct mmu_options *options)
{
    struct ept *ept = (struct ept *)mmu;
    u64 caps = options->caps->ept_vpid;
    ept_configure(mmu, options);
    ept->context_invept = caps & EPT_CAP_INVEPT_CONTEXT;
    ept->context_invvpid = caps & VPID_CAP_INVVPID_CONTEXT;
    ept->invvpid_keeping_globals = caps & VPID_CAP_INVVPID_GLOBALS;
    ept->eptp = mfn_hpa(mmu->p2m->root) | EPTP_WALK_4 | EPTP_WRITE_BACK;
    if (caps & EPT_CAP_ACCESSED_DIRTY)
        ept->eptp |= EPTP_ACCESSED_DIRTY;
    ept->stale = true; // of whoever used these frames before
    ept->identity = !(options->caps->proc2.may & PROC2_UNRESTRICTED_GUEST);
    return 0;
}

static int ept_enter(struct vcpu *v)
{
    struct ept *ept = ept_of(v);
    ept->count.vpids = ept->vpid;
    ept->stale |= ept->base.p2m_changed; // ept_paging_written follows, which flushes
    return ept->identity && !ept->base.processors ? identity_put(ept->base.p2m) : 0;
}

static void ept_leave(struct vcpu *v)
{
    struct ept *ept = ept_of(v);
    if (ept->base.processors)
        return;
    ept->count.vpids = 0;
    ones_take_back(&ept->ones, ept->base.p2m);
    if (ept->identity)
        identity_take_back(ept->base.p2m);
}

static void ept_needs(const struct vcpu *v, const struct paging_regs *guest, struct mmu_needs *needs)
{
    bool pae_paging = guest->cr0 & CR0_PG && guest->cr4 & CR4_PAE && !(guest->efer & EFER_LMA);
    *needs = (struct mmu_needs){
        .proc2 = PROC2_EPT | (ept_of(v)->vpid ? PROC2_VPID : 0),
        .hw = *guest,
        .load_pdptes = pae_paging,
    };
    if (ept_of(v)->identity)
        identity_needs(guest, needs);
    else
        needs->proc2 |= PROC2_UNRESTRICTED_GUEST;
}

// Where CR0.PG is not the guest's own, what it wrote is in the shadow.
static void ept_controls(const struct vcpu *v, struct mmu_controls *controls)
{
    bool identity = ept_of(v)->identity;
    *controls = (struct mmu_controls){.proc = identity ? identity_exits(vmcs_read(CR0_READ_SHADOW)) : 0};
}

static void ept_load(struct vcpu *v)
{
    const struct ept *ept = ept_of(v);
    vmcs_write(EPT_POINTER, ept->eptp);
    if (ept->vpid)
        kept_write(v, KEPT_VPID, GUEST_VPID);
}

// A guest page table in a hole or in read-only memory. With accessed and dirty bits in the EPT the processor
// treats each of its walks as a write (SDM vol. 3, 29.3.3.2) and would never get further: without them it
// reads what is there.
static enum mmu_outcome walk_fault(struct vcpu *v, const struct mmu_fault *fault, enum p2m_type type)
{
    struct ept *ept = ept_of(v);
    if (ept->eptp & EPTP_ACCESSED_DIRTY) {
        log_warn("guest page tables outside RAM: EPT accessed and dirty bits are off from now on");
        ept->eptp &= ~EPTP_ACCESSED_DIRTY;
        ept_load(v);
        invept(ept);
        return MMU_FIXED;
    }
    if (type == P2M_HOLE && !ones_put(&ept->ones, ept->base.p2m, gpa_gfn(fault->gpa)))
        return MMU_FIXED;
    v->unsupported =
        "the guest's page tables lie in a device or in read-only memory that wants accessed bits set";
    return MMU_UNSUPPORTED;
}

static enum mmu_outcome ept_fault(struct vcpu *v, struct mmu_fault *fault)
{
    struct ept *ept = ept_of(v);
    ept->count.violations++;
    enum p2m_type type = p2m_lookup(ept->base.p2m, gpa_gfn(fault->gpa)).type;
    if (type == P2M_RAM || (type == P2M_RAM_RO && fault->access.kind != ACCESS_WRITE))
        return MMU_FIXED; // the p2m has changed since
    if (fault->walk)
        return walk_fault(v, fault, type);
    return type == P2M_HOLE ? MMU_HOLE : MMU_DEVICE;
}

// What exits here is written seldom, and CR3 also with an equal value: all translations go, which is more
// than some of these writes drop (SDM vol. 3, 4.10.4.1).
static void ept_paging_written(struct vcpu *v, const struct paging_regs *before,
                               const struct paging_regs *after)
{
    struct ept *ept = ept_of(v);
    (void)before, (void)after;
    if (ept->vpid) // without VPID each entry flushes
        invvpid(ept);
    if (ept->stale)
        invept(ept);
}

// While the monitor looks at loads of CR3: global translations stay.
static u64 ept_root_written(struct vcpu *v, u64 cr3)
{
    struct ept *ept = ept_of(v);
    if (!ept->vpid)
        return cr3;
    if (ept->invvpid_keeping_globals) {
        ept->count.invvpid_context++;
        vmx_invvpid(INVVPID_GLOBALS, GUEST_VPID, 0);
    } else {
        invvpid(ept);
    }
    return cr3;
}

// INVEPT knows no ranges, and has to come after the change.
static void ept_p2m_changing(struct vcpu *v, gfn_t first, u64 count)
{
    (void)first, (void)count;
    ept_of(v)->stale = true;
    v->refresh = true;
}

static void ept_counters(const struct mmu *mmu, u64 values[COUNTERS])
{
    const struct ept *ept = (const struct ept *)mmu;
#define COUNTER_MMU(name, ...) values[COUNTER_##name] += ept->count.name;
#define COUNTER_EPT(name, ...) values[COUNTER_##name] += ept->count.name;
#include <hv/counters.def>
}

const struct mmu_ops ept_ops = {
    .name = "ept",
    .bytes = sizeof(struct ept),
    .view_bytes = sizeof(struct mmu_view),
    .owner = COUNTER_OF_EPT,
    .missing = ept_missing,
    .unfit = ept_unfit,
    .init = ept_init,
    .configure = ept_configure,
    .enter = ept_enter,
    .leave = ept_leave,
    .needs = ept_needs,
    .controls = ept_controls,
    .load = ept_load,
    .fault = ept_fault,
    .paging_written = ept_paging_written,
    .root_written = ept_root_written,
    .p2m_changing = ept_p2m_changing,
    .counters = ept_counters,
};
