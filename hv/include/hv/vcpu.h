// The one virtual processor: what the monitor remembers of it between exits. All else is in the VMCS.
#pragma once

#include <arch/types.h>
#include <arch/vmcs_counts.h>
#include <arch/vmx.h>
#include <arch/world.h>

struct mmu_view;
struct vm;
struct walk_context;

// The paging state as the guest sees it: what it wrote, with EFER.LMA as the processor would show it.
struct paging_regs {
    u64 cr0, cr3, cr4, efer;
};

// What a guest access needs to be checked against beyond the paging registers.
enum access {
    ACCESS_READ = 0,
    ACCESS_WRITE = 1,
    ACCESS_FETCH = 2,
};

// An access of the guest. `implicit`: a supervisor access made by the processor itself whatever CPL is (to a
// descriptor table, say): SMAP does not let RFLAGS.AC excuse it.
struct walk_access {
    enum access kind;
    bool implicit;
};

#define EXIT_REASONS     70
#define VCPU_CR3_TARGETS 4 // that have a field in the VMCS

// What the exits of one reason have cost. The exit being handled is counted; its cycles are added at the next
// entry.
struct exit_account {
    u64 count;
    u64 cycles;          // of the TSC, from the exit to the next entry
    u64 lowest, highest; // of one exit, with profile=; 0: none is known
    u64 log2[64];        // [n]: exits of 2^n to 2^(n+1) - 1 cycles; one of none is in [0]
};

enum kept_field {
#define KEPT(name) KEPT_##name,
#include <hv/kept.def>
    KEPT_FIELDS
};

struct vcpu {
    struct world world; // the guest's registers are world.regs
    struct vm *vm;
    struct mmu_view *mmu; // what translates its memory
    const struct vmx_caps *caps;

    u64 exit_reason;        // basic reason of the exit being handled
    u64 next_rip;           // where the guest goes on after VERDICT_NEXT
    bool delivering;        // it interrupted the delivery of an event, which is queued again
    u64 cr0_mask, cr4_mask; // as in the VMCS: bits that the guest does not own
    u64 cr4_allowed;        // bits that the guest may set
    u64 owned_cr3;          // the guest's CR3 while CR3 accesses exit
    u64 owned_efer;         // the guest's EFER while it is not in the VMCS
    bool cr3_owned, efer_owned;
    bool watches_roots;      // auto.by=root: loads of CR3 exit to be looked at: auto_loads.h
    bool plain_roots;        // a write of CR3 changes nothing but the root: mmu_root_written, mmu_root_kept
    const char *unsupported; // the back end cannot go on, in one sentence: the guest ends before the next
                             // entry, if refresh_controls or observed is set too
    bool refresh;            // the back end wants mmu_paging_written before the next entry: paging_refresh
    bool refresh_controls;   // it wants other intercepts: paging_refresh before the next entry
    bool observed; // trace=, profile=, audit=, p2m.churn=, mmu.churn= or mmu.auto= is on: they look at each
                   // exit
    u32 audit;     // after so many exits a table of the back end's is checked; 0: never
    u32 unaudited; // exits since the last check
    unsigned physical_bits;        // MAXPHYADDR of the guest
    bool has_1g_pages;             // in the guest's CPUID
    bool debugged;                 // the guest has moved to or from a debug register: debug.h
    bool timer_runs, timer_missed; // the VMX-preemption timer: due.c
    bool polled;                   // console input does not come as an NMI
    bool sending;                  // the guest waits for the serial port
    bool behind;                   // the screen shows less than was written
    bool nmi_pending;              // an NMI of the guest's waits until it is not blocked
    bool nmi_by_interrupt_window;  // without virtual NMIs: until the guest takes interrupts
    u32 base_proc, base_proc2;     // processor-based controls that every mode wants
    u32 entry_controls;            // entry controls but "IA-32e mode guest"
    u32 proc_controls;             // primary processor-based controls as written last
    unsigned cr3_targets;          // that the back end asked for last
    bool cr3_unseen;               // since the exit nobody has looked whether the guest has loaded one
    u64 kept[KEPT_FIELDS];         // what the VMCS holds: kept.h

    struct vmcs_counts vmcs;                 // of the VMCS accesses of the processor that it runs on
    struct exit_account exits[EXIT_REASONS]; // by basic reason
    struct exit_account outside;  // what was spent after no exit: the start, what was due, an entry that an
                                  // NMI prevented
    struct exit_account *account; // of the exit being handled
    u64 cr3_writes;               // that exited
    u64 started, last_exit;       // TSC
    u64 due_from, due_after;      // TSC, and cycles behind it at which something is due: due.h; ~0: never
    u64 back_wait;                // from due_from until a mode's time is over: mode.h; 0: it lasts
    u64 epoch_wait;               // from due_from until something of an epoch is due: auto_mode.h; 0: nothing
    u64 monitor_cycles; // between an exit and the next entry, those of the exit being handled not yet
};

static inline u64 *vcpu_reg(struct vcpu *v, unsigned gpr)
{
    return &v->world.regs.r[gpr];
}

// What the guest has had of the processor until the last exit, in TSC cycles.
static inline u64 vcpu_guest_cycles(const struct vcpu *v)
{
    return v->last_exit - v->started - v->monitor_cycles;
}

// The paging state as the guest sees it, and three registers of it.
struct paging_regs vcpu_paging(const struct vcpu *v);
u64 vcpu_cr0(const struct vcpu *v);
u64 vcpu_cr3(const struct vcpu *v);
u64 vcpu_cr4(const struct vcpu *v);

// The guest's current privilege level: 0 or 3 in practice (SS's DPL).
unsigned vcpu_cpl(const struct vcpu *v);

// EFER.LMA.
bool vcpu_long_mode(const struct vcpu *v);

// 64, 32 or 16: the operand size mode of the code segment.
unsigned vcpu_code_bits(const struct vcpu *v);

// Fills in all that a walk of the guest's tables (walk.h) depends on, as the VMCS has it now.
void vcpu_walk_context(const struct vcpu *v, struct walk_context *w);
