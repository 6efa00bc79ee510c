// The pure half of the timer measurement: see timer_rate.h. timer.c reads the counters.
#include "timer_rate.h"

u64 timer_elapsed(u64 start, u64 end, unsigned bits)
{
    return (end - start) & (~0ull >> (64 - bits));
}

u64 timer_rate(u64 counts, u64 pm_ticks)
{
    if (!pm_ticks || counts > BIT(38)) // 2^38 * PM_TIMER_HZ is below 2^60
        return 0;
    return (counts * PM_TIMER_HZ + pm_ticks / 2) / pm_ticks;
}

static void sort(u64 *values, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        for (unsigned k = i; k > 0 && values[k - 1] > values[k]; k--) {
            u64 larger = values[k - 1];
            values[k - 1] = values[k];
            values[k] = larger;
        }
    }
}

u64 timer_believe(u64 samples[TIMER_SAMPLES])
{
    sort(samples, TIMER_SAMPLES);
    u64 median = samples[TIMER_SAMPLES / 2];
    unsigned agree = 0;
    for (unsigned i = 0; i < TIMER_SAMPLES; i++) {
        u64 apart = samples[i] > median ? samples[i] - median : median - samples[i];
        if (apart <= median / TIMER_TOLERANCE)
            agree++;
    }
    return agree >= TIMER_AGREEMENT ? median : 0;
}

bool timer_is_instructions(u64 ticks, u64 instructions)
{
    return ticks >= instructions && ticks < instructions + instructions / 50;
}
