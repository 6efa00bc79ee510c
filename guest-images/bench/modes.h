// In which order the modes are measured, and how long each: pure functions, tested on the host
// (tests/host/test_bench.c). Who changes the mode is repeat.c.
#pragma once
#include <stdint.h>

enum { MODES_MAX = 16 };

// Fills `order` with the numbers of so many modes, at random by the seed: there in one round, numbered from
// 0, and back in the next, so that what drifts cancels.
void modes_order(unsigned *order, unsigned modes, unsigned round, uint64_t seed);

// How many iterations a mode gets that takes `cost` for one, where the fastest takes `least`: all that are
// wanted, or as many as take some times as long as the fastest's, at least 1.
unsigned long modes_iterations(unsigned long wanted, uint64_t cost, uint64_t least);
