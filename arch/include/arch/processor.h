// What a guest leaves behind in the processor beyond the VMCS, and its removal before the next guest.
#pragma once

#include <arch/types.h>

// Sets what guests own without the VMCS switching it to its values after reset: XCR0, x87, SSE, AVX and all
// other state of XSAVE, DR0 to DR3, DR6, CR2 (SDM vol. 3, table 10-1). Between two guests, in root operation.
// MSRs and the local APIC are somebody else's.
void processor_reset(void);
