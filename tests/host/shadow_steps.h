// What the random guest of test_shadow does: accesses of each kind, stores to its tables of each form, with
// and without the invalidation that the architecture requires, switches of roots, changes of control
// registers; and the p2m under it. Neighbours: shadow_attempt.h runs and judges each instruction.
#pragma once

#include <arch/types.h>

// How often each step comes, and how large the world is, for one run. Makes the tables.
void steps_start(void);

void step_random(void);

// What the guest does while nobody sees it: stores to its tables, and to its control registers; pages of the
// p2m change.
void steps_unseen(void);
