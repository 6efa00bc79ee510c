// A guest of test_shadow that turns paging off for a while: it reads and writes its memory, page tables too,
// and turns paging on again. Neighbours: shadow_steps.h does it now and then.
#pragma once

// Paging off, some instructions, paging on.
void step_unpaged(void);
