// The random numbers of a run of test_shadow or test_strategies, what happened last in it, and its end by a
// failure. A run can be had again by its seed and number. Knows nothing of the engine. Neighbours: all
// shadow_*.c and pair_*.c here use it.
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

// All runs, or the one that RUN in the environment names; RUNS and STEPS there come before what is given
// here. False: it was one.
bool story_runs(u64 runs, u64 steps, void (*run_one)(u64 seed, unsigned run, u64 steps));

// How often something has happened in all runs.
struct story_count {
    const char *what;
    const u64 *count;
    u64 least; // unless the user says how long the test runs
};
void story_counts(const struct story_count *counted, unsigned count);
