// Counts of VMCS accesses, by the processor that makes them (arch/vmcs.h).
#pragma once

#include <arch/types.h>

// How often a processor has read and written its VMCS: every exit's price in a nested machine. Volatile, as
// the compiler does not see the counting.
struct vmcs_counts {
    volatile u64 reads, writes;
};

// From now on this processor counts there: its GS base leads to `counts`, also after a VM exit if
// HOST_GS_BASE is vmcs_counts_base(). Before its first VMREAD.
void vmcs_count_in(struct vmcs_counts *counts);
u64 vmcs_counts_base(void);
