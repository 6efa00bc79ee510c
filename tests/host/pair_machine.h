// The machine of test_strategies: one guest's memory twice, side by side. Both sides have the same pages by
// gfn, at machine frames of their own, under a p2m of their own. It has the part of shadow_machine.h that
// shadow_tables.c and a random guest ask for, over both sides: guest_memory and expected_entry look at side
// 0, memory_init and place_change do both, memory_check and memory_check_all compare them. Neighbours:
// pair_monitor.h runs instructions on both.
#pragma once

#include "shadow_machine.h"

#define SIDES 2u

extern struct guest_places pair_places[SIDES];

// Each side has pieces as large as its `largest`.
void pair_make(const unsigned largest[SIDES]);
void pair_gone(void);

// `bytes` at gpa, within one page, are the same on both sides.
void pair_check(u64 gpa, unsigned bytes);
