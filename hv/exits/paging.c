// See paging.h. Checks follow SDM vol. 3, 2.5 (control registers), 4.1.2 (paging-mode enabling) and vol. 2,
// MOV CR.
#include <arch/cpu.h>
#include <arch/lib.h>
#include <hv/kept.h>
#include <hv/walk.h>

#include "auto_loads.h"
#include "debug.h"
#include "event.h"
#include "exit.h"
#include "msr_bitmap.h"
#include "paging.h"
#include "stop.h"
#include "vm_memory.h"

#define CR0_FIXED_EXEMPT (CR0_PE | CR0_PG) // free under "unrestricted guest"
#define CR0_DEFINED \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define CR0_UNCACHED   (CR0_CD | CR0_NW)
#define CS_L           BIT(13)
#define PDPTE_RESERVED 0x1e6ull // bits 8:5 and 2:1
#define PDPTE_PRESENT  1ull

// The control needs EPT: whether the processor has it says nothing of this mode.
static bool unrestricted(const struct mmu_needs *needs)
{
    return needs->proc2 & PROC2_UNRESTRICTED_GUEST;
}

static u64 physical_mask(const struct vcpu *v)
{
    return BIT(v->physical_bits) - 1;
}

// NE must be 1. CD and NW stay 0 in the processor, and the guest sees what it wrote: neither VM exit nor VM
// entry changes them (SDM vol. 3, 28.5.1), so they would turn off the monitor's caches and the next guest's.
static void apply_cr0(struct vcpu *v, const struct paging_regs *guest, const struct mmu_needs *needs)
{
    u64 fixed = v->caps->cr0_fixed0 & ~(unrestricted(needs) ? CR0_FIXED_EXEMPT : 0);
    v->cr0_mask = CR0_NE | CR0_UNCACHED | needs->cr0_owned;
    vmcs_write(CR0_MASK, v->cr0_mask);
    vmcs_write(CR0_READ_SHADOW, guest->cr0);
    vmcs_write(GUEST_CR0, (needs->hw.cr0 & ~CR0_UNCACHED) | fixed);
}

// MCE stays 1 in the processor, and the guest sees what it wrote: without it a machine check is a shutdown.
static void apply_cr4(struct vcpu *v, const struct paging_regs *guest, const struct mmu_needs *needs)
{
    u64 set = v->caps->cr4_fixed0 | (CR4_MCE & v->caps->cr4_fixed1);
    v->cr4_mask = ~v->cr4_allowed | CR4_MCE | needs->cr4_owned;
    kept_write(v, KEPT_CR4_MASK, v->cr4_mask);
    vmcs_write(CR4_READ_SHADOW, guest->cr4);
    vmcs_write(GUEST_CR4, needs->hw.cr4 | set);
}

static void apply_efer(struct vcpu *v, const struct paging_regs *guest, const struct mmu_needs *needs)
{
    v->efer_owned = needs->efer_owned;
    v->owned_efer = guest->efer;
    msr_efer_direct(v, !needs->efer_owned);
    if (!kept_same(v, KEPT_GUEST_IA32_EFER, needs->hw.efer))
        msr_switch_set(&v->vm->msr_switch, SWITCHED_EFER, needs->hw.efer);
    kept_write(v, KEPT_ENTRY_CONTROLS,
               v->entry_controls | (needs->hw.efer & EFER_LMA ? ENTRY_IA32E_GUEST : 0));
    if (!needs->efer_owned) { // VM exit saves what the guest has made of both
        kept_forget(v, KEPT_GUEST_IA32_EFER);
        kept_forget(v, KEPT_ENTRY_CONTROLS);
    }
}

static void apply_cr3_targets(struct vcpu *v, const struct mmu_controls *wanted)
{
    for (unsigned i = 0; i < wanted->cr3_targets; i++)
        kept_write(v, KEPT_CR3_TARGET_0 + i, wanted->cr3_target[i]);
    kept_write(v, KEPT_CR3_TARGET_COUNT, wanted->cr3_targets);
}

static void apply_exits(struct vcpu *v, struct mmu_controls *wanted)
{
    v->cr3_targets = wanted->cr3_targets;
    if (v->watches_roots)
        auto_loads_controls(v, wanted);
    u32 windows = v->proc_controls & (PROC_NMI_WINDOW_EXITING | PROC_INTERRUPT_WINDOW_EXITING);
    u32 proc = vmx_controls_fit(v->caps->proc, v->base_proc | wanted->proc) | windows;
    u32 exceptions = wanted->exceptions | (v->vm->auto_mode.samples ? BIT(VECTOR_PF) : 0);
    v->cr3_owned = wanted->proc & PROC_CR3_STORE_EXITING;
    if (proc != v->proc_controls)
        vmcs_write(PROCESSOR_BASED_CONTROLS, proc);
    v->proc_controls = proc;
    kept_write(v, KEPT_EXCEPTION_BITMAP, exceptions | DEBUG_EXCEPTIONS | BIT(VECTOR_MC));
    kept_write(v, KEPT_PAGE_FAULT_ERROR_CODE_MASK, wanted->pf_mask);
    kept_write(v, KEPT_PAGE_FAULT_ERROR_CODE_MATCH, wanted->pf_match);
    apply_cr3_targets(v, wanted);
}

static void apply_controls(struct vcpu *v, struct mmu_needs *needs)
{
    apply_exits(v, &needs->controls);
    if (v->proc_controls & PROC_SECONDARY_CONTROLS)
        kept_write(v, KEPT_SECONDARY_CONTROLS,
                   vmx_controls_fit(v->caps->proc2, v->base_proc2 | needs->proc2));
}

static void apply(struct vcpu *v, const struct paging_regs *guest, struct mmu_needs *needs)
{
    apply_controls(v, needs);
    apply_cr0(v, guest, needs);
    apply_cr4(v, guest, needs);
    apply_efer(v, guest, needs);
    v->owned_cr3 = guest->cr3;
    v->plain_roots = v->mmu->ops->wp_written && walk_mode(guest) == PAGING_4LEVEL;
    vmcs_write(GUEST_CR3, needs->hw.cr3);
}

// PAE paging keeps its four top entries in registers (SDM vol. 3, 4.4.1). False: one has a reserved bit set.
static bool load_pdptes(struct vcpu *v, u64 cr3)
{
    u64 pdptes[4];
    churn_touched(v, cr3 & 0xffffffe0, false);
    if (vm_ram_read(v->vm, cr3 & 0xffffffe0, pdptes, sizeof(pdptes)))
        memset(pdptes, 0xff, sizeof(pdptes)); // nothing answers there
    u64 reserved = PDPTE_RESERVED | ~physical_mask(v);
    for (unsigned i = 0; i < 4; i++) {
        if (pdptes[i] & PDPTE_PRESENT && pdptes[i] & reserved)
            return false;
    }
    vmcs_write(GUEST_PDPTE0, pdptes[0]);
    vmcs_write(GUEST_PDPTE1, pdptes[1]);
    vmcs_write(GUEST_PDPTE2, pdptes[2]);
    vmcs_write(GUEST_PDPTE3, pdptes[3]);
    return true;
}

void paging_start(struct vcpu *v, const struct paging_regs *regs)
{
    struct mmu_needs needs;
    mmu_paging_written(v, regs, regs);
    mmu_needs(v, regs, &needs);
    apply(v, regs, &needs);
}

static __attribute__((noinline)) void refresh_root(struct vcpu *v)
{
    struct paging_regs regs = vcpu_paging(v);
    struct mmu_needs needs;
    mmu_paging_written(v, &regs, &regs);
    mmu_needs(v, &regs, &needs);
    v->owned_cr3 = regs.cr3;
    vmcs_write(GUEST_CR3, needs.hw.cr3);
}

void paging_refresh(struct vcpu *v)
{
    struct mmu_controls wanted;
    if (v->refresh)
        refresh_root(v);
    mmu_controls(v, &wanted);
    apply_exits(v, &wanted);
    v->refresh = v->refresh_controls = false;
}

// The bits whose change loads the PDPTEs, as every write of CR3 does (SDM vol. 3, 4.4.1).
#define CR0_LOADS_PDPTES (CR0_CD | CR0_NW | CR0_PG)
#define CR4_LOADS_PDPTES (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)

// False: #GP, with nothing changed.
static bool paging_set(struct vcpu *v, const struct paging_regs *before, const struct paging_regs *after,
                       bool cr3_written)
{
    struct mmu_needs needs;
    mmu_needs(v, after, &needs);
    bool loads = cr3_written || (before->cr0 ^ after->cr0) & CR0_LOADS_PDPTES ||
                 (before->cr4 ^ after->cr4) & CR4_LOADS_PDPTES;
    if (needs.load_pdptes && loads && !load_pdptes(v, after->cr3))
        return false;
    mmu_paging_written(v, before, after);
    mmu_needs(v, after, &needs); // again: what the back end wants may follow from what it has just done
    apply(v, after, &needs);
    return true;
}

static bool cs_is_64bit(void)
{
    return vmcs_read(GUEST_CS_ACCESS_RIGHTS) & CS_L;
}

// What CR0.PG does to long mode. False: #GP.
static bool switch_paging(struct paging_regs *regs, u64 changed)
{
    if (!(changed & CR0_PG))
        return true;
    if (!(regs->cr0 & CR0_PG)) {
        if (regs->efer & EFER_LMA && (cs_is_64bit() || regs->cr4 & CR4_PCIDE))
            return false;
        regs->efer &= ~EFER_LMA;
        return true;
    }
    if (!(regs->efer & EFER_LME))
        return true;
    if (!(regs->cr4 & CR4_PAE) || cs_is_64bit())
        return false;
    regs->efer |= EFER_LMA;
    return true;
}

static bool cr0_legal(u64 value)
{
    return !(value >> 32) && (!(value & CR0_PG) || value & CR0_PE) && (!(value & CR0_NW) || value & CR0_CD);
}

static bool runs_real_mode(struct vcpu *v, const struct paging_regs *regs)
{
    struct mmu_needs needs;
    mmu_needs(v, regs, &needs);
    return unrestricted(&needs);
}

static enum verdict refuse_real_mode(struct vcpu *v)
{
    if (v->caps->proc2.may & PROC2_UNRESTRICTED_GUEST)
        return vm_stop_unsupported(
            v, "the guest enters real mode, which mmu=%s cannot virtualise: use mmu=ept", v->mmu->ops->name);
    return vm_stop_unsupported(
        v,
        "the guest enters real mode, which this processor cannot virtualise: it has no \"unrestricted guest\" control: use mmu=ept on one that has it");
}

// CR3 is the root's from now on: whether its reads exit follows by v->refresh_controls.
static void root_apply(struct vcpu *v, u64 root)
{
    vmcs_write(GUEST_CR3, root);
    v->cr3_owned = root != v->owned_cr3;
}

// With WP clear the guest has other tables; the processor's WP stays set.
static enum verdict write_wp_exit(struct vcpu *v, u64 cr0)
{
    vmcs_write(CR0_READ_SHADOW, cr0);
    if (!v->cr3_owned)
        v->owned_cr3 = vmcs_read(GUEST_CR3);
    root_apply(v, mmu_wp_written(v, cr0));
    return VERDICT_SKIP;
}

static enum verdict write_cr0_exit(struct vcpu *v, u64 value)
{
    u64 cr0 = (value & CR0_DEFINED) | CR0_ET;
    if (!cr0_legal(value))
        return event_gp(v);
    if (v->plain_roots && (cr0 ^ vcpu_cr0(v)) == CR0_WP)
        return write_wp_exit(v, cr0);
    struct paging_regs before = vcpu_paging(v), after = before;
    after.cr0 = cr0;
    if (!switch_paging(&after, before.cr0 ^ after.cr0))
        return event_gp(v);
    if (!(after.cr0 & CR0_PE) && !runs_real_mode(v, &after))
        return refuse_real_mode(v);
    return paging_set(v, &before, &after, false) ? VERDICT_SKIP : event_gp(v);
}

// Nothing else of the guest's paging changes with it. Under EPT the guest changes that without exits; here it
// has no PCIDs, since loads exit there only for auto.by=root.
static inline bool is_plain_root(const struct vcpu *v, u64 cr3)
{
    return (v->plain_roots || (v->watches_roots && vcpu_long_mode(v))) && !(cr3 & ~physical_mask(v));
}

static enum verdict write_plain_root(struct vcpu *v, u64 cr3)
{
    v->owned_cr3 = cr3;
    if (unlikely(v->watches_roots) && auto_loads_seen(v, cr3))
        v->cr3_owned = true; // the VMCS follows with the change of the mode
    else
        root_apply(v, mmu_root_written(v, cr3));
    return VERDICT_SKIP;
}

// With bit 63, which CR3 does not keep.
static enum verdict write_kept_root(struct vcpu *v, u64 cr3)
{
    v->owned_cr3 = cr3;
    root_apply(v, mmu_root_kept(v, cr3));
    return VERDICT_SKIP;
}

static enum verdict write_cr3_exit(struct vcpu *v, u64 value)
{
    v->cr3_writes++;
    if (is_plain_root(v, value))
        return write_plain_root(v, value);
    u64 cr3 = value & ~CR3_NO_FLUSH;
    if (v->plain_roots && is_plain_root(v, cr3) && vcpu_cr4(v) & CR4_PCIDE)
        return write_kept_root(v, cr3);
    struct paging_regs before = vcpu_paging(v), after = before;
    u64 allowed = physical_mask(v) | (before.cr4 & CR4_PCIDE ? CR3_NO_FLUSH : 0);
    if (before.efer & EFER_LMA && value & ~allowed)
        return event_gp(v);
    after.cr3 = cr3;
    return paging_set(v, &before, &after, true) ? VERDICT_SKIP : event_gp(v);
}

static bool cr4_legal(const struct vcpu *v, const struct paging_regs *before, u64 value)
{
    if (value & ~v->cr4_allowed)
        return false;
    if (before->efer & EFER_LMA && !(value & CR4_PAE))
        return false;
    bool turns_pcid_on = value & ~before->cr4 & CR4_PCIDE;
    return !turns_pcid_on || (before->efer & EFER_LMA && !(before->cr3 & 0xfff));
}

// Kernels without INVPCID flush global pages by it.
static bool write_global(struct vcpu *v, u64 value)
{
    bool plain = v->plain_roots && (value ^ vcpu_cr4(v)) == (CR4_PGE & v->cr4_allowed);
    if (!plain || !mmu_global_written(v, value))
        return false;
    vmcs_write(CR4_READ_SHADOW, value);
    vmcs_write(GUEST_CR4, vmcs_read(GUEST_CR4) ^ CR4_PGE);
    return true;
}

static enum verdict write_cr4_exit(struct vcpu *v, u64 value)
{
    if (write_global(v, value))
        return VERDICT_SKIP;
    struct paging_regs before = vcpu_paging(v), after = before;
    after.cr4 = value;
    if (!cr4_legal(v, &before, value) || !paging_set(v, &before, &after, false))
        return event_gp(v);
    return VERDICT_SKIP;
}

bool paging_write_efer(struct vcpu *v, u64 value)
{
    struct paging_regs before = vcpu_paging(v), after = before;
    u64 allowed = EFER_SCE | EFER_LME | EFER_LMA | (v->vm->cpuid.has[CPUID_NX] ? EFER_NXE : 0);
    if (value & ~allowed || (before.cr0 & CR0_PG && (value ^ before.efer) & EFER_LME))
        return false;
    after.efer = (value & ~EFER_LMA) | (before.efer & EFER_LMA);
    return paging_set(v, &before, &after, false);
}

// The exit qualification of control-register accesses (SDM vol. 3, table 28-3).
enum { CR_MOV_TO, CR_MOV_FROM, CR_CLTS, CR_LMSW };

static enum verdict mov_to_cr(struct vcpu *v, unsigned cr, u64 value)
{
    switch (cr) {
    case 0:
        return write_cr0_exit(v, value);
    case 3:
        return write_cr3_exit(v, value);
    case 4:
        return write_cr4_exit(v, value);
    default:
        return vm_stop_unsupported(v, "unexpected access to CR%u", cr);
    }
}

static u64 read_gpr(struct vcpu *v, unsigned gpr)
{
    u64 value = gpr == GPR_RSP ? vmcs_read(GUEST_RSP) : *vcpu_reg(v, gpr);
    return !(value >> 32) || vcpu_code_bits(v) == 64 ? value : (u32)value;
}

static void write_gpr(struct vcpu *v, unsigned gpr, u64 value)
{
    if (value >> 32 && vcpu_code_bits(v) != 64)
        value = (u32)value;
    if (gpr == GPR_RSP)
        vmcs_write(GUEST_RSP, value);
    else
        *vcpu_reg(v, gpr) = value;
}

enum verdict exit_cr_access(struct vcpu *v)
{
    u64 qualification = vmcs_read(EXIT_QUALIFICATION);
    unsigned cr = qualification & 15, gpr = qualification >> 8 & 15;
    u64 cr0;
    switch (qualification >> 4 & 3) {
    case CR_MOV_TO:
        return mov_to_cr(v, cr, read_gpr(v, gpr));
    case CR_MOV_FROM: // of CR3: the other registers are read through their shadows
        write_gpr(v, gpr, vcpu_cr3(v));
        return VERDICT_SKIP;
    case CR_CLTS:
        return write_cr0_exit(v, vcpu_paging(v).cr0 & ~CR0_TS);
    default: // LMSW: sets PE, MP, EM and TS, but never clears PE
        cr0 = vcpu_paging(v).cr0;
        return write_cr0_exit(v, (cr0 & ~0xeull) | (qualification >> 16 & 15));
    }
}
