// The guest's paging state: CR0, CR3, CR4 and EFER. Checks what the guest writes where it exits, and is the
// one place that writes to the VMCS what differs between the modes (hv/mmu.h, struct mmu_needs).
#pragma once

#include "verdict.h"

// Puts the whole state into the VMCS. For the start of the guest, when there is no state before it.
void paging_start(struct vcpu *v, const struct paging_regs *regs);

// Puts what the back end wants now into the VMCS again, as v->refresh and v->refresh_controls say.
void paging_refresh(struct vcpu *v);

// A write of EFER that exited. False: #GP.
bool paging_write_efer(struct vcpu *v, u64 value);
