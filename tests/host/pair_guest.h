// The guest of test_strategies: random, and disciplined. It invalidates what it has changed, as SDM vol. 3,
// 4.10.4.2 requires, before it uses an address that the change concerns: at once, or after many stores. Then
// no access of it has more than one legal result, and two machines can be compared. What it leaves out, since
// engines may differ there within the architecture: an implicit access at CPL 0 to 2 with RFLAGS.AC, which
// may set accessed and dirty bits before it faults (../../shadow/README.md; SDM vol. 3, 4.8 lets a processor
// set accessed bits for such an access). Neighbours: pair_monitor.h runs it; shadow_tables.h makes its
// tables.
#pragma once

#include <arch/types.h>

extern struct guest_counts {
    u64 stores, invalidations, p2m_changes, unpaged, relinked, large;
} guest_counts;

// How often each step comes, and how large the world is, for one run. Makes the tables. Before pair_start.
void guest_begin(void);

void guest_step(void);
