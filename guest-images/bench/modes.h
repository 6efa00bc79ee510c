// In which order the modes are measured, and how long each: pure functions, tested on the host
// (tests/host/test_bench.c). Who changes the mode is repeat.c.
#pragma once
#include <stdint.h>

enum { MODES_MAX = 16 };

// Fills `order` with the numbers of so many modes, at random by the seed: there in one round, numbered from
// 0, and back in the next, so that what drifts cancels.
void modes_order(unsigned *order, unsigned modes, unsigned round, uint64_t seed);

// How many iterations a repetition has in a mode in which the wanted ones take `cost`, where they take
// `least` in the fastest: all of them, or as many as take some times as long as the fastest's, at least 1.
unsigned long modes_iterations(unsigned long wanted, uint64_t cost, uint64_t least);

// In how many of the rounds a mode is measured whose repetition takes `cost` even so: in all, or in as many
// as take no longer than all rounds of the slowest mode that has all. It takes 3 of them for an interval of
// 95 % beside the 6 of another mode: if there are fewer, it is 1.
unsigned modes_rounds(unsigned rounds, uint64_t cost, uint64_t least);
