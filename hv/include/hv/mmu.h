// The seam between the monitor and what translates guest memory: EPT (ept/) or shadow paging (shadow/).
// hv/main.c names the back ends, mmu_init makes one for a virtual machine, and mmu_enter puts a processor
// under it; everybody else calls the mmu_* functions below, whose comments are the contract. A back end
// translates; it does not inject events, move RIP or know of devices.
//
// A back end has no state outside two objects: struct mmu, which the processors of a virtual machine share,
// and struct mmu_view, the part of one processor. Its own structs begin with them. So a machine may have
// several back ends over one p2m, of which each processor is under one.
#pragma once

#include <hv/counters.h>
#include <hv/p2m.h>
#include <hv/vcpu.h>

// What this mode wants to exit, which changes at other times than the guest's paging state, too. This and
// what follows is written to the VMCS by hv/exits/paging.c alone.
struct mmu_controls {
    u32 proc;              // primary processor-based controls beyond the common ones
    u32 exceptions;        // exception bitmap
    u32 pf_mask, pf_match; // page-fault error-code mask and match
    unsigned cr3_targets;  // values that are written to CR3 without an exit
    u64 cr3_target[VCPU_CR3_TARGETS];
};

// What this mode wants of the VMCS for the guest's present paging state.
struct mmu_needs {
    struct mmu_controls controls;
    u32 proc2;                // secondary processor-based controls beyond the common ones
    u64 cr0_owned, cr4_owned; // bits that exit when the guest changes them, beyond the common ones
    struct paging_regs hw;    // what GUEST_CR0, CR3, CR4 and IA32_EFER hold; hv adds the fixed bits
    bool efer_owned;          // EFER is not the guest's own: its accesses exit
    bool load_pdptes;         // PAE paging: the VMCS's PDPTE fields are loaded from guest memory at hw.cr3
};

// What a fault or violation turned out to be.
enum mmu_outcome {
    MMU_FIXED,       // a hidden fault: repaired, run the instruction again
    MMU_GUEST_FAULT, // a true fault: `fault` holds the #PF for the guest
    MMU_DEVICE,      // the access is to a device model, is a dropped write, or is one that only CR0.WP = 0
                     // allows, to a user page under SMAP, protection keys, or SMEP without EFER.NXE: emulate
                     // the instruction
    MMU_HOLE,        // the same where nothing answers: reads give ones
    MMU_TRACED,      // a write to a guest page table that is watched: carry it out and call mmu_carried_out
    MMU_UNSUPPORTED, // v->unsupported says in one sentence what cannot be done
};

// An access that has exited, on its way through the monitor.
struct mmu_fault {
    u64 gva;                   // of a #PF
    u64 gpa;                   // of an EPT violation
    u64 hpa;                   // of the access, returned with MMU_TRACED
    u64 rip, code;             // the same: of the instruction, and where the processor has just fetched it
                               // from; code 0: the tables do not lead there any more
    u32 watched;               // the same: the back end's own, for mmu_carried_out
    bool plain;                // for mmu_carried_out: the instruction does not read what it writes over
    struct walk_access access; // of an EPT violation; of a #PF the back end finds out
    bool walk;                 // an EPT violation by a walk of the guest's tables
    u32 error_code;            // of a #PF, as the processor gave it; with MMU_GUEST_FAULT it is the guest's
};

// The strategies of shadow paging (shadow/README.md).
enum shadow_strategy_name {
#define STRATEGY(name, ...) SHADOW_##name,
#include <hv/strategies.def>
    SHADOW_STRATEGIES
};

#define MMU_MARK_BIT \
    51 // of page-table entries: marks those that shadow paging does not know, where it is reserved

// What a back end is made with: the machine, and the parameters that back ends know, as they take effect
// (hv/policy/effect.h): nothing is on that this processor or the strategy leaves without effect.
struct mmu_options {
    const struct vmx_caps *caps;
    unsigned physical_bits; // MAXPHYADDR of the guest
    bool has_1g_pages;      // in its CPUID
    u64 ram;                // bytes of it that the guest will have
    bool vpid;
    unsigned p2m_max; // the level of the largest page that maps guest memory
    enum shadow_strategy_name strategy;
    bool root_vpids, directpf, direct_invlpg, in_place, large;
    unsigned prefetch;     // entries
    u32 pool;              // tables
    u32 empty_exit_cycles; // of vcpu_guest_cycles, what each exit and the entry after it take
};

// What the processors of a virtual machine share.
struct mmu {
    const struct mmu_ops *ops;
    struct p2m *p2m;
    unsigned processors; // that are under it
    bool p2m_changed;    // while none was, since the last one
    struct mmu *next;    // another one of the same machine
};

// What is one processor's: v->mmu.
struct mmu_view {
    const struct mmu_ops *ops; // those of `mmu`: one load less at each call
    struct mmu *mmu;
};

struct mmu_ops {
    const char *name;
    size_t bytes, view_bytes; // of the structs that contain struct mmu and struct mmu_view
    enum counter_owner owner; // of the counters that are only this back end's
    const char *(*missing)(const struct vmx_caps *caps, bool vpid);
    const char *(*unfit)(const struct paging_regs *guest);
    int (*init)(struct mmu *mmu, const struct mmu_options *options);
    void (*configure)(struct mmu *mmu, const struct mmu_options *options);
    int (*enter)(struct vcpu *v);
    void (*leave)(struct vcpu *v);
    void (*needs)(const struct vcpu *v, const struct paging_regs *guest, struct mmu_needs *needs);
    void (*controls)(const struct vcpu *v, struct mmu_controls *controls);
    void (*load)(struct vcpu *v);
    enum mmu_outcome (*fault)(struct vcpu *v, struct mmu_fault *fault);
    void (*paging_written)(struct vcpu *v, const struct paging_regs *before, const struct paging_regs *after);
    int (*p2m_adding)(struct mmu *mmu, mfn_t first, u64 count);
    void (*p2m_changing)(struct vcpu *v, gfn_t first, u64 count);
    void (*counters)(const struct mmu *mmu, u64 values[COUNTERS]);
    u64 (*root_written)(struct vcpu *v, u64 cr3);
    // Shadow paging only: NULL elsewhere, where nothing of it exits.
    u64 (*wp_written)(struct vcpu *v, u64 cr0);
    bool (*global_written)(struct vcpu *v, u64 cr4);
    u64 (*root_kept)(struct vcpu *v, u64 cr3);
    void (*invlpg)(struct vcpu *v, u64 gva);
    void (*flush)(struct vcpu *v);
    void (*written)(struct vcpu *v, u64 hpa, unsigned bytes);
    void (*carried_out)(struct vcpu *v, const struct mmu_fault *fault, unsigned bytes);
    void (*release)(struct vcpu *v, u64 hpa);
    bool (*audit)(struct vcpu *v, u32 count, char *text, size_t size);
};

// What the processor lacks for this mode, as one sentence with the remedy, or NULL. Before init.
static inline const char *mmu_missing(const struct mmu_ops *ops, const struct vmx_caps *caps, bool vpid)
{
    return ops->missing(caps, vpid);
}

// Why a guest in this paging state cannot run in this mode, as one sentence, or NULL.
static inline const char *mmu_unfit(const struct mmu_ops *ops, const struct paging_regs *guest)
{
    return ops->unfit(guest);
}

// Makes a back end for the machine, over its p2m; a processor is under it from mmu_enter on. Its memory comes
// from vm->frames, whose rewinding is its end: while the p2m is empty, before the guest's, at the highest
// addresses. NULL: no frames.
struct mmu *mmu_init(struct vm *vm, const struct mmu_ops *ops, const struct mmu_options *options) must_check;

// From now on it works by these options; `pool` is what it was made with. While no
// processor is under it.
static inline void mmu_configure(struct mmu *mmu, const struct mmu_options *options)
{
    mmu->ops->configure(mmu, options);
}

// From now on the processor, which is under none, has its memory translated by `mmu`: v->mmu is its view. In
// VMX operation. What its TLB may hold of an earlier use is flushed. The back end may put pages of its own
// into the p2m. mmu_load and mmu_paging_written follow, before the guest runs. ERR_NOMEM: no frames.
int mmu_enter(struct vcpu *v, struct mmu *mmu) must_check;

// The processor is under none any more. With the last one goes what the back end had put into the p2m. What
// it had made of guest memory may stay for the next one; it follows then what the guest and the p2m did
// meanwhile. Its counters stay. Does nothing under none.
void mmu_leave(struct vcpu *v);

// Fills `needs` for the guest's paging state. Changes nothing.
static inline void mmu_needs(const struct vcpu *v, const struct paging_regs *guest, struct mmu_needs *needs)
{
    v->mmu->ops->needs(v, guest, needs);
}

// The same of what exits alone, while the guest's paging state is what mmu_paging_written was told last.
static inline void mmu_controls(const struct vcpu *v, struct mmu_controls *controls)
{
    v->mmu->ops->controls(v, controls);
}

// Writes this mode's own fields (EPT pointer, VPID) to the VMCS: once after mmu_enter, again when they
// change.
static inline void mmu_load(struct vcpu *v)
{
    v->mmu->ops->load(v);
}

// Judges an EPT violation or #PF exit and repairs it where it is hidden.
static inline enum mmu_outcome mmu_fault(struct vcpu *v, struct mmu_fault *fault)
{
    return v->mmu->ops->fault(v, fault);
}

// At each write of CR0, CR3, CR4 or EFER that exited, also of an equal value, and at the start with before =
// after; the VMCS still holds the old state and is written from `needs` afterwards. The back end drops the
// translations that the architecture says the write drops (SDM vol. 3, 4.10.4.1).
static inline void mmu_paging_written(struct vcpu *v, const struct paging_regs *before,
                                      const struct paging_regs *after)
{
    v->mmu->ops->paging_written(v, before, after);
}

// Machine frames are about to become RAM in the p2m. ERR_NOMEM: they cannot, as there is no frame for what
// the back end keeps of each.
static inline int mmu_p2m_adding(struct mmu *mmu, mfn_t first, u64 count)
{
    return mmu->ops->p2m_adding ? mmu->ops->p2m_adding(mmu, first, count) : 0;
}

// The p2m is about to change for [first, first + count), and still says what was there before. The back end
// forgets what it made of that; when the guest runs next, after the change, it uses no stale translation.
// What has to be done after the change is done by mmu_paging_written, for which v->refresh asks.
static inline void mmu_p2m_changing(struct vcpu *v, gfn_t first, u64 count)
{
    v->mmu->ops->p2m_changing(v, first, count);
}

// In place of mmu_paging_written, for what happens most: with 4-level paging CR3 has been written, without
// bit 63, and nothing else. Returns what the VMCS is to hold as the guest's CR3.
static inline u64 mmu_root_written(struct vcpu *v, u64 cr3)
{
    return v->mmu->ops->root_written(v, cr3);
}

// The same with bit 63, which is not in `cr3` any more: with CR4.PCIDE a load that flushes nothing.
static inline u64 mmu_root_kept(struct vcpu *v, u64 cr3)
{
    return v->mmu->ops->root_kept(v, cr3);
}

// The same of CR0.WP. What the VMCS is to hold as the guest's CR3.
static inline u64 mmu_wp_written(struct vcpu *v, u64 cr0)
{
    return v->mmu->ops->wp_written(v, cr0);
}

// The same of CR4.PGE, after which the VMCS's CR3 stays. False: mmu_paging_written is to be called all the
// same.
static inline bool mmu_global_written(struct vcpu *v, u64 cr4)
{
    return v->mmu->ops->global_written(v, cr4);
}

// INVLPG exited, or INVPCID of one address: no stale translation of gva is used from now on, of any PCID.
static inline void mmu_invlpg(struct vcpu *v, u64 gva)
{
    v->mmu->ops->invlpg(v, gva);
}

// INVPCID of more exited: no stale translation of any PCID is used from now on.
static inline void mmu_flush(struct vcpu *v)
{
    v->mmu->ops->flush(v);
}

// The monitor has written `bytes` at hpa, within one page, for the guest: whenever it has carried out an
// instruction that may have hit a watched table.
static inline void mmu_written(struct vcpu *v, u64 hpa, unsigned bytes)
{
    v->mmu->ops->written(v, hpa, bytes);
}

// The same after MMU_TRACED, in the same exit: at fault->hpa.
static inline void mmu_carried_out(struct vcpu *v, const struct mmu_fault *fault, unsigned bytes)
{
    v->mmu->ops->carried_out(v, fault, bytes);
}

// After MMU_TRACED: the instruction is not one that can be carried out; let it run.
static inline void mmu_release(struct vcpu *v, u64 hpa)
{
    v->mmu->ops->release(v, hpa);
}

#define MMU_AUDIT_ALL 0xffffffffu

// Checks `count` tables of the back end's, in turn, against the guest's own and the p2m, or with
// MMU_AUDIT_ALL all that it keeps. True: all holds. False: text[size] says what is wrong, and where. After an
// exit has been handled, with nothing left to refresh. Slow. Not under EPT, where the guest's tables are
// walked themselves.
static inline bool mmu_audit(struct vcpu *v, u32 count, char *text, size_t size)
{
    return v->mmu->ops->audit(v, count, text, size);
}

// Adds what the back end counts to its rows of counters.def, as of its init on; leaves the others alone.
static inline void mmu_counters(const struct mmu *mmu, u64 values[COUNTERS])
{
    mmu->ops->counters(mmu, values);
}
