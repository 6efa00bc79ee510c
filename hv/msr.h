// RDMSR and WRMSR exits: what the table (msr_table.h) leaves to code.
#pragma once

#include "exit.h"

// Whether the guest reaches EFER without an exit: it does when the VMCS holds exactly what it wrote.
void msr_efer_direct(struct vcpu *v, bool direct);

// Whether the guest writes IA32_PAT without an exit: it does where VM entry and exit switch it by a control.
void msr_pat_direct(struct vcpu *v, bool direct);

// Whether the guest reaches the x2APIC registers without an exit.
void msr_x2apic_direct(struct vcpu *v, bool direct);
