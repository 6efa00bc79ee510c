// The MSRs of which guest and monitor each have their own: IA32_EFER, IA32_PAT and, if the guest is counted
// (arch/pmu.h), IA32_PERF_GLOBAL_CTRL, which many processors and emulators do not have. Where VM entry and
// exit switch such an MSR by a control, its values are VMCS fields; where the processor has no such control,
// they are entries of the lists of MSRs that VM entry and exit load (SDM vol. 3, 25.7.2 and 25.8.2). It
// decides once which; nobody else touches these fields or lists. The guest's value in a list does not follow
// what the guest writes without an exit: so writes of a listed MSR must exit, and whoever handles them calls
// msr_switch_set.
#pragma once

#include <arch/vmx.h>

enum switched_msr { SWITCHED_EFER, SWITCHED_PAT, SWITCHED_PERF_CTRL, SWITCHED_MSRS };

// As the processor reads it (SDM vol. 3, table 25-15).
struct msr_entry {
    u32 index;
    u32 reserved;
    u64 value;
};

struct msr_switch {
    bool listed[SWITCHED_MSRS];     // not by a control
    u32 entry_controls;             // for those that are not listed
    u32 exit_controls;              //
    unsigned switched;              // the first so many are switched: all, or all but the last
    unsigned count;                 // entries of each list
    struct msr_entry *guest, *host; // loaded at entry and at exit, in the order of enum switched_msr
};

// Decides, for a processor with these capabilities; `counting`: SWITCHED_PERF_CTRL is switched too. `page`:
// 4096 bytes of machine memory for the lists, reached through phys_base; they stay there.
void msr_switch_make(struct msr_switch *m, const struct vmx_caps *caps, bool counting, void *page);

// Writes the lists' addresses, their lengths, and the monitor's own values, which are the processor's present
// ones, to the current VMCS. The guest's values are unknown until msr_switch_set.
void msr_switch_setup(struct msr_switch *m);

// The guest's value of an MSR that is switched, from the next VM entry on. IA32_EFER: LMA and, under CR0.PG,
// LME must be as "IA-32e mode guest" is. The value must be one that WRMSR takes: else VM entry fails.
void msr_switch_set(struct msr_switch *m, enum switched_msr msr, u64 value);
