// Takes the place of arch/include/arch/world.h in the host tests: who enters a guest brings a world_switch of
// his own, in C.
#pragma once

#define world_switch world_switch_in_assembly
#include_next <arch/world.h>
#undef world_switch

enum world_result world_switch(struct world *w);
