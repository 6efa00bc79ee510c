// The guest's interval timer: an 8254 behind ports 40H to 43H, and the bits of port 61H that gate channel 2
// and show its output. All six modes; a count counts from the tick in which it is written. It keeps no time:
// every call is told it, in ticks of PIT_HZ, and it never goes back.
#pragma once

#include <arch/types.h>

#define PIT_HZ       1193182u
#define PIT_CHANNELS 3u
#define PIT_CONTROL  3u // the port after those of the channels
#define PIT_NEVER    (~0ull)

struct pit_channel {
    u8 mode;   // 0 to 5
    u8 access; // of the control word: 1 low byte, 2 high byte, 3 one after the other
    bool bcd, gate;
    bool loaded;     // a count counts, or in modes 1 and 5 waits for the gate
    bool running;    // and is not held up by the gate
    u32 count, next; // the count in use, 1 to 65536; the one that follows it in modes 2 and 3, or 0
    u64 started;     // while it runs: when it began
    u64 elapsed;     // while it does not: ticks that it has counted
    u8 low_byte;     // written, and the high byte is to come
    bool high_next_write, high_next_read;
    bool count_latched, status_latched;
    u16 latched_count;
    u8 latched_status;
};

struct pit {
    struct pit_channel channel[PIT_CHANNELS];
    bool speaker; // bit 1 of port 61H
};

// As PC firmware leaves it: channel 0 in mode 3 from 65536, the others likewise idle; channel 2's gate is
// low.
void pit_init(struct pit *p, u64 now);

// The guest's access to port 40H + `port`, 0 to 3.
u8 pit_read(struct pit *p, unsigned port, u64 now);
void pit_write(struct pit *p, unsigned port, u8 value, u64 now);

// Port 61H: bit 0 gate of channel 2, bit 1 speaker, bit 4 toggles each 15 us (refresh), bit 5 output of
// channel 2.
u8 pit_port61_read(struct pit *p, u64 now);
void pit_port61_write(struct pit *p, u8 value, u64 now);

// The first tick after `after` at which the output of channel 0 rises, if nothing is written till then; or
// PIT_NEVER.
u64 pit_next_edge(struct pit *p, u64 after);
