// A processor for files that use privileged instructions: the VMCS as a table, model-specific registers, CR2.
// What hardware would refuse fails the test: a value too wide for its VMCS field, a write of an
// exit-information field, an MSR that does not exist.
#pragma once

#include <arch/types.h>
#include <arch/vmcs.h>

// Forgets everything: all VMCS fields 0, no MSRs.
void fake_cpu_reset(void);

// Sets a VMCS field as the processor does on a VM exit: also one that VMWRITE must not touch.
void fake_vmcs_set(enum vmcs_field field, u64 value);
// What that was, whatever has been written since; the field as it is where it was never set so.
u64 fake_vmcs_left(enum vmcs_field field);

// The checks of VM entry on events for the guest and on what they must fit (SDM vol. 3, 27.2.1.3, 27.3.1.4
// and 27.3.1.5): fails the test where the processor would not enter, but not for guest state that it would
// not have left either.
void fake_entry_check(void);

// What happened to MSRs. `refuses`: WRMSR of a value raises #GP. `reads`: what RDMSR gives of what is there.
void fake_msr_set(u32 msr, u64 value); // makes it exist
u64 fake_msr(u32 msr);
extern bool (*fake_msr_refuses)(u32 msr, u64 value);
extern u64 (*fake_msr_reads)(u32 msr, u64 value);

struct fake_msr_write {
    u32 msr;
    u64 value;
};
#define FAKE_MSR_WRITES 512
extern struct fake_msr_write fake_msr_writes[FAKE_MSR_WRITES];
extern unsigned fake_msr_write_count;

// The processor's CPUID; NULL: all zeros.
struct cpuid;
extern struct cpuid (*fake_cpuid)(u32 leaf, u32 subleaf);

// VMREADs and VMWRITEs of fields that KVM does not shadow (arch/vmcs.def): each would be an exit to it.
extern unsigned fake_dear;

// What timer_counts_instructions says.
extern bool fake_counts_instructions;

extern u64 fake_tsc; // goes on by 100 at each reading
extern u64 fake_cr3;
extern unsigned fake_wbinvd, fake_cr3_writes; // how often
extern u32 fake_pkru;
extern u64 fake_cr4; // as processor_start leaves it on a processor with everything
extern unsigned fake_cr4_writes;
extern u64 fake_cr2, fake_xcr0, fake_dr6, fake_breakpoints[4];
extern unsigned fake_invept, fake_invvpid; // how often
