// The state of a processor that is not in the VMCS: what firmware leaves in CR4 and IA32_EFER, what a guest
// leaves behind.
#pragma once

#include <arch/types.h>

// On each processor once, in 64-bit mode, before VMX operation: sets CR4 and IA32_EFER as the monitor wants
// them, whatever they were, and enables the execute-disable bit where firmware has disabled it. Before it
// nothing that is mapped may be no-execute. NULL, or one sentence with the remedy. After traps_init or
// traps_init_parked.
const char *processor_start(void);

// Sets what guests own without the VMCS switching it to its values after reset: XCR0, x87, SSE, AVX and all
// other state of XSAVE, DR0 to DR3, DR6, CR2 (SDM vol. 3, table 10-1). Between two guests, in root operation.
// MSRs and the local APIC are somebody else's.
void processor_reset(void);
