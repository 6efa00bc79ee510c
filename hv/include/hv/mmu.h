// The seam between the monitor and what translates guest memory: EPT (ept/) or shadow paging (shadow/).
// hv/main.c names the back ends, and run_choose (hv/run.h) takes one; everybody else calls the mmu_*
// functions below, whose comments are the contract. A back end translates; it does not inject events, move
// RIP or know of devices.
#pragma once

#include <hv/counters.h>
#include <hv/p2m.h>
#include <hv/vcpu.h>

// What this mode wants of the VMCS for the guest's present paging state. hv/exits/paging.c alone writes these
// to the VMCS.
struct mmu_needs {
    u32 proc, proc2;          // primary and secondary processor-based controls beyond the common ones
    u64 cr0_owned, cr4_owned; // bits that exit when the guest changes them, beyond the common ones
    struct paging_regs hw;    // what GUEST_CR0, CR3, CR4 and IA32_EFER hold; hv adds the fixed bits
    bool efer_owned;          // EFER is not the guest's own: its accesses exit
    bool load_pdptes;         // PAE paging: the VMCS's PDPTE fields are loaded from guest memory at hw.cr3
    u32 exceptions;           // exception bitmap
    u32 pf_mask, pf_match;    // page-fault error-code mask and match
    unsigned cr3_targets;     // values that are written to CR3 without an exit
    u64 cr3_target[VCPU_CR3_TARGETS];
};

// What a fault or violation turned out to be.
enum mmu_outcome {
    MMU_FIXED,       // a hidden fault: repaired, run the instruction again
    MMU_GUEST_FAULT, // a true fault: `fault` holds the #PF for the guest
    MMU_DEVICE,      // the access is to a device model or is a dropped write: emulate the instruction
    MMU_HOLE,        // the same where nothing answers: reads give ones
    MMU_TRACED,      // a write to a guest page table that is watched: carry it out and call mmu_written
    MMU_UNSUPPORTED, // of EPT violations only: `why` says in one sentence what cannot be done
};

struct mmu_fault {
    u64 gpa; // EPT: of the access
    u64 gva; // of the access, where the processor gives it
    bool gva_valid;
    bool write, fetch;
    bool present;   // the translation existed and denied the access
    bool walk;      // the access was to a paging structure
    u64 hpa;        // of the access, returned with MMU_TRACED
    u32 error_code; // of the #PF: given under shadow, returned with MMU_GUEST_FAULT
    const char *why;
};

// The strategies of shadow paging (shadow/README.md).
enum shadow_strategy_name {
#define STRATEGY(name, word) SHADOW_##name,
#include <hv/strategies.def>
    SHADOW_STRATEGIES
};

// The parameters that back ends know.
struct mmu_options {
    bool vpid;
    enum shadow_strategy_name strategy;
    bool root_vpids, directpf, direct_invlpg, in_place, large;
    unsigned prefetch; // entries
    u32 pool;          // tables
};

struct mmu_ops {
    const char *name;
    enum counter_owner owner; // of the counters that are only this back end's
    const char *(*missing)(const struct vmx_caps *caps, bool vpid);
    int (*init)(struct vcpu *v, struct p2m *p2m, const struct mmu_options *options);
    void (*needs)(const struct vcpu *v, const struct paging_regs *guest, struct mmu_needs *needs);
    void (*load)(struct vcpu *v);
    enum mmu_outcome (*fault)(struct vcpu *v, struct mmu_fault *fault);
    void (*paging_written)(struct vcpu *v, const struct paging_regs *before, const struct paging_regs *after);
    void (*p2m_changing)(struct vcpu *v, gfn_t first, u64 count);
    void (*counters)(u64 values[COUNTERS]);
    // Shadow paging only: NULL elsewhere, where nothing of it exits.
    u64 (*root_written)(struct vcpu *v, u64 cr3);
    void (*invlpg)(struct vcpu *v, u64 gva);
    void (*written)(struct vcpu *v, u64 hpa, unsigned bytes);
    void (*release)(struct vcpu *v, u64 hpa);
    bool (*translate)(struct vcpu *v, u64 gva, u64 *hpa);
    bool (*audit)(struct vcpu *v, u32 count, char *text, size_t size);
};

extern const struct mmu_ops *mmu;

// What the processor lacks for a back end, in use or not, as one sentence with the remedy, or NULL.
static inline const char *mmu_missing(const struct mmu_ops *back_end, const struct vmx_caps *caps, bool vpid)
{
    return back_end->missing(caps, vpid);
}

// Once, in VMX operation, with a p2m that is empty: so the back end's own memory comes before the guest's, at
// the highest addresses. ERR_NOMEM: no frames.
static inline must_check int mmu_init(struct vcpu *v, struct p2m *p2m, const struct mmu_options *options)
{
    return mmu->init(v, p2m, options);
}

// Fills `needs` for the guest's paging state. Changes nothing.
static inline void mmu_needs(const struct vcpu *v, const struct paging_regs *guest, struct mmu_needs *needs)
{
    mmu->needs(v, guest, needs);
}

// Writes this mode's own fields (EPT pointer, VPID) to the VMCS: once after init, again when they change.
static inline void mmu_load(struct vcpu *v)
{
    mmu->load(v);
}

// Judges an EPT violation or #PF exit and repairs it where it is hidden.
static inline enum mmu_outcome mmu_fault(struct vcpu *v, struct mmu_fault *fault)
{
    return mmu->fault(v, fault);
}

// At each write of CR0, CR3, CR4 or EFER that exited, also of an equal value, and at the start with before =
// after; the VMCS still holds the old state and is written from `needs` afterwards. The back end drops the
// translations that the architecture says the write drops (SDM vol. 3, 4.10.4.1).
static inline void mmu_paging_written(struct vcpu *v, const struct paging_regs *before,
                                      const struct paging_regs *after)
{
    mmu->paging_written(v, before, after);
}

// The p2m is about to change for [first, first + count), and still says what was there before. The back end
// forgets what it made of that; when the guest runs next, after the change, it uses no stale translation.
// What has to be done after the change is done by mmu_paging_written, for which v->refresh asks.
static inline void mmu_p2m_changing(struct vcpu *v, gfn_t first, u64 count)
{
    mmu->p2m_changing(v, first, count);
}

// In place of mmu_paging_written, for what happens most: with 4-level paging and without PCIDs CR3 has been
// written, and nothing else. Returns what the VMCS is to hold as the guest's CR3.
static inline u64 mmu_root_written(struct vcpu *v, u64 cr3)
{
    return mmu->root_written(v, cr3);
}

// INVLPG exited: no stale translation of gva is used from now on.
static inline void mmu_invlpg(struct vcpu *v, u64 gva)
{
    mmu->invlpg(v, gva);
}

// The monitor has written `bytes` at hpa, within one page, for the guest: after MMU_TRACED, and whenever it
// has carried out another instruction that may have hit a watched table.
static inline void mmu_written(struct vcpu *v, u64 hpa, unsigned bytes)
{
    mmu->written(v, hpa, bytes);
}

// After MMU_TRACED: the instruction is not one that can be carried out; let it run.
static inline void mmu_release(struct vcpu *v, u64 hpa)
{
    mmu->release(v, hpa);
}

// Where the processor finds gva now, by the tables that it walks itself: true, and the machine address. As
// stale as a TLB may be. False: not mapped.
static inline bool mmu_translate(struct vcpu *v, u64 gva, u64 *hpa)
{
    return mmu->translate(v, gva, hpa);
}

#define MMU_AUDIT_ALL 0xffffffffu

// Checks `count` tables of the back end's, in turn, against the guest's own and the p2m, or with
// MMU_AUDIT_ALL all that it keeps. True: all holds. False: text[size] says what is wrong, and where. After an
// exit has been handled, with nothing left to refresh. Slow. Not under EPT, where the guest's tables are
// walked themselves.
static inline bool mmu_audit(struct vcpu *v, u32 count, char *text, size_t size)
{
    return mmu->audit(v, count, text, size);
}

// Fills in the back end's rows of counters.def, as of its init on; leaves the others alone.
static inline void mmu_counters(u64 values[COUNTERS])
{
    mmu->counters(values);
}
