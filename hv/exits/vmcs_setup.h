// The parts of the VMCS that do not depend on how memory is virtualised: controls, host state, the guest's
// first state.
#pragma once

#include <hv/vcpu.h>

#include "cpuid.h"
#include "guest_start.h"

// Instructions that raise #UD, whatever CPUID says, unless a secondary control is set: it is set where the
// guest's CPUID has the feature.
struct vmcs_instruction {
    u32 control;
    enum cpuid_feature feature;
};
#define VMCS_INSTRUCTIONS 3
extern const struct vmcs_instruction vmcs_instructions[VMCS_INSTRUCTIONS];

// What the processor lacks for any mode, as one sentence, or NULL.
const char *vmcs_missing(const struct vmx_caps *caps);

// Fills controls and host state of the current VMCS. After cpuid_make and the MSR bitmap.
void vmcs_setup(struct vcpu *v);

// Fills the current VMCS for a guest of the monitor's own (own_guest.h), with `pin` beside NMI exiting.
// vmcs_start_own: where it is to go on, with RFLAGS.
void vmcs_setup_own(const struct vmx_caps *caps, u32 pin, u64 msr_bitmap_hpa);
void vmcs_start_own(const u8 *code, u64 rflags);

// Fills the guest state. After mmu_init.
void vmcs_start_guest(struct vcpu *v, const struct guest_start *start);
