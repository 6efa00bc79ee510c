// From cycles of the time stamp counter to ticks of a slower clock and back, without overflow: for clocks up
// to 4 MHz, and a TSC up to 8 GHz.
#pragma once

#include <arch/types.h>

static inline u64 clock_ticks(u64 cycles, u64 tsc_hz, u64 rate)
{
    return cycles / tsc_hz * rate + cycles % tsc_hz * rate / tsc_hz;
}

// The first cycle at which clock_ticks has come to `ticks`.
static inline u64 clock_cycles(u64 ticks, u64 tsc_hz, u64 rate)
{
    return ticks / rate * tsc_hz + (ticks % rate * tsc_hz + rate - 1) / rate;
}
