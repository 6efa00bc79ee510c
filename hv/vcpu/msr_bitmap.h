// Which MSRs the guest reaches without an exit, where that changes while it runs or hangs on the processor.
#pragma once

#include <hv/vcpu.h>

// Whether the guest reaches EFER without an exit: it does when the VMCS holds exactly what it wrote.
void msr_efer_direct(struct vcpu *v, bool direct);

// Whether the guest writes IA32_PAT without an exit: it does where VM entry and exit switch it by a control.
void msr_pat_direct(struct vcpu *v, bool direct);

// Whether the guest reaches the x2APIC registers without an exit.
void msr_x2apic_direct(struct vcpu *v, bool direct);
