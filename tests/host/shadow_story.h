// The random numbers of a run of test_shadow, what happened last in it, and its end by a failure. A run can
// be had again by its seed and number. Knows nothing of the engine. Neighbours: all shadow_*.c here use it.
#pragma once

#include <arch/types.h>

// `seed` is what the user gives; `parameters` describes the run in its first line, and stays the caller's.
void story_start(u64 seed, unsigned run, const char *parameters);

extern unsigned story_step;

u64 rnd(u64 limit); // below limit
bool chance(unsigned percent);
u64 maybe(u64 value, unsigned percent); // or 0

// One more line of what happens. Printed at once if VERBOSE is in the environment.
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

// The run has shown a fault: prints the last lines and how to repeat the run, and ends the test.
__attribute__((format(printf, 1, 2), noreturn)) void bad(const char *format, ...);
