// The arithmetic of arch/timer.h: from counter readings to rates, and from several rates to a believed one.
#pragma once

#include <arch/types.h>

#define PM_TIMER_HZ     3579545u // ACPI 6.5, 4.8.2.1; the PIT counts at a third of it
#define TIMER_SAMPLES   5u
#define TIMER_AGREEMENT 3u    // so many samples must agree ...
#define TIMER_TOLERANCE 1000u // ... to one part in so many

// How far a counter of so many bits (1 to 64) went from `start` to `end`, if it passed its end at most once.
u64 timer_elapsed(u64 start, u64 end, unsigned bits);

// The rate in Hz of a counter that made `counts` while the PM timer made `pm_ticks`, rounded. 0 if nothing
// can be said: no ticks, or more than 2^38 counts.
u64 timer_rate(u64 counts, u64 pm_ticks);

// The median of the samples, if TIMER_AGREEMENT of them, itself included, are within the tolerance of it and
// it is not 0; else 0. An SMI or a pause of the machine under us spoils single samples. Sorts `samples`.
u64 timer_believe(u64 samples[TIMER_SAMPLES]);

// Whether a stretch of so many instructions took just as many ticks, but for the two reads around it. Of two
// stretches of which one divides, this is true of both only where the counter counts instructions, whatever
// its rate.
bool timer_is_instructions(u64 ticks, u64 instructions);
