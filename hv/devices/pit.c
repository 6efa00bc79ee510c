// See pit.h. Intel's 8254 data sheet. Pure: also on the host.
#include "pit.h"

#include <arch/lib.h>

// The control word, and the status that is read back.
#define CHANNEL_OF(v)      ((v) >> 6)
#define ACCESS_OF(v)       ((v) >> 4 & 3)
#define MODE_OF(v)         ((v) >> 1 & 7)
#define READ_BACK          3
#define READ_BACK_NO_COUNT BIT(5)
#define READ_BACK_NO_STATE BIT(4)
#define STATUS_OUT         0x80
#define STATUS_NULL        0x40 // the count that was written does not count yet

#define ACCESS_LATCH 0
#define ACCESS_LOW   1
#define ACCESS_HIGH  2

#define PORT61_GATE    0x01
#define PORT61_SPEAKER 0x02
#define PORT61_REFRESH 0x10
#define PORT61_OUT     0x20
#define REFRESH_TICKS  18

static bool repeats(const struct pit_channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool waits_for_gate(const struct pit_channel *c)
{
    return c->mode == 1 || c->mode == 5;
}

static u64 elapsed(const struct pit_channel *c, u64 now)
{
    return c->running ? now - c->started : c->elapsed;
}

// Modes 2 and 3 take a new count when the one before has ended.
static void settle(struct pit_channel *c, u64 now)
{
    u64 ticks = elapsed(c, now);
    if (!c->next || !repeats(c) || !c->running || ticks < c->count)
        return;
    c->started += c->count;
    c->count = c->next;
    c->next = 0;
}

// In mode 3 the counter goes down by two, twice for each period; of an odd count the first half has one tick
// more.
static u64 mode3_counter(u64 count, u64 ticks)
{
    u64 in_period = ticks % count, half = (count + 1) / 2;
    return (count & ~1ull) - 2 * (in_period < half ? in_period : in_period - half);
}

static u64 counter(const struct pit_channel *c, u64 now)
{
    u64 ticks = elapsed(c, now), wrap = c->bcd ? 10000 : 0x10000;
    if (!c->loaded)
        return 0;
    if (c->mode == 3)
        return mode3_counter(c->count, ticks);
    if (c->mode == 2)
        return c->count - ticks % c->count;
    return (c->count + wrap - ticks % wrap) % wrap;
}

static u16 to_bcd(u64 value)
{
    return (u16)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10);
}

static u16 counter_shown(const struct pit_channel *c, u64 now)
{
    u64 value = counter(c, now);
    return c->bcd ? to_bcd(value) : (u16)value;
}

static u32 count_written(const struct pit_channel *c, u16 value)
{
    u32 count =
        !c->bcd ? value
                : (value >> 12) * 1000u + (value >> 8 & 15) * 100u + (value >> 4 & 15) * 10u + (value & 15);
    if (!count)
        return c->bcd ? 10000 : 0x10000;
    return repeats(c) && count == 1 ? 2 : count; // 1 is not allowed there
}

static bool output(const struct pit_channel *c, u64 now)
{
    u64 ticks = elapsed(c, now);
    if (!c->loaded)
        return c->mode != 0;
    switch (c->mode) {
    case 0:
        return ticks >= c->count;
    case 1:
        return !c->running || ticks >= c->count;
    case 2:
        return !c->gate || ticks % c->count != c->count - 1;
    case 3:
        return !c->gate || ticks % c->count < (c->count + 1) / 2;
    default:
        return ticks != c->count;
    }
}

static void begin(struct pit_channel *c, u64 now)
{
    c->running = c->gate && !waits_for_gate(c);
    c->started = now;
    c->elapsed = 0;
    c->loaded = true;
}

static void load(struct pit_channel *c, u32 count, u64 now)
{
    if (c->loaded && (repeats(c) || (waits_for_gate(c) && c->running))) {
        c->next = count;
        if (repeats(c) && c->running) // the period that settle waits for
            c->started = now - elapsed(c, now) % c->count;
        return;
    }
    c->count = count;
    c->next = 0;
    begin(c, now);
}

static void write_count(struct pit_channel *c, u8 value, u64 now)
{
    if (c->access == ACCESS_LOW) {
        load(c, count_written(c, value), now);
    } else if (c->access == ACCESS_HIGH) {
        load(c, count_written(c, (u16)(value << 8)), now);
    } else if (c->high_next_write) {
        c->high_next_write = false;
        load(c, count_written(c, (u16)(value << 8 | c->low_byte)), now);
    } else {
        c->high_next_write = true;
        c->low_byte = value;
        if (c->mode == 0)
            c->loaded = c->running = false; // the first byte stops the counting
    }
}

static void latch_count(struct pit_channel *c, u64 now)
{
    if (!c->count_latched)
        c->latched_count = counter_shown(c, now);
    c->count_latched = true;
}

static void latch_status(struct pit_channel *c, u64 now)
{
    if (!c->status_latched)
        c->latched_status =
            (u8)((output(c, now) ? STATUS_OUT : 0) | (!c->loaded || c->next ? STATUS_NULL : 0) |
                 c->access << 4 | c->mode << 1 | c->bcd);
    c->status_latched = true;
}

static void set_mode(struct pit_channel *c, u8 control)
{
    u8 mode = MODE_OF(control);
    bool gate = c->gate;
    *c = (struct pit_channel){
        .mode = mode > 5 ? mode - 4 : mode, .access = ACCESS_OF(control), .bcd = control & 1, .gate = gate};
}

static void read_back(struct pit *p, u8 command, u64 now)
{
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        if (!(command & BIT(i + 1)))
            continue;
        if (!(command & READ_BACK_NO_COUNT))
            latch_count(&p->channel[i], now);
        if (!(command & READ_BACK_NO_STATE))
            latch_status(&p->channel[i], now);
    }
}

static void settle_all(struct pit *p, u64 now)
{
    for (unsigned i = 0; i < PIT_CHANNELS; i++)
        settle(&p->channel[i], now);
}

void pit_write(struct pit *p, unsigned port, u8 value, u64 now)
{
    settle_all(p, now);
    if (port != PIT_CONTROL)
        write_count(&p->channel[port], value, now);
    else if (CHANNEL_OF(value) == READ_BACK)
        read_back(p, value, now);
    else if (ACCESS_OF(value) == ACCESS_LATCH)
        latch_count(&p->channel[CHANNEL_OF(value)], now);
    else
        set_mode(&p->channel[CHANNEL_OF(value)], value);
}

// The byte that is next, and whether that was the last one of a word.
static u8 read_byte(struct pit_channel *c, u16 value, bool *last)
{
    bool high = c->access == ACCESS_HIGH || (c->access > ACCESS_HIGH && c->high_next_read);
    *last = c->access <= ACCESS_HIGH || high;
    c->high_next_read = !*last;
    return (u8)(high ? value >> 8 : value);
}

u8 pit_read(struct pit *p, unsigned port, u64 now)
{
    if (port == PIT_CONTROL)
        return 0xff; // it can only be written
    struct pit_channel *c = &p->channel[port];
    bool last;
    settle_all(p, now);
    if (c->status_latched) {
        c->status_latched = false;
        return c->latched_status;
    }
    u8 byte = read_byte(c, c->count_latched ? c->latched_count : counter_shown(c, now), &last);
    if (last)
        c->count_latched = false;
    return byte;
}

// The gate holds modes 0 and 4 up, starts modes 1 and 5, and starts modes 2 and 3 anew.
static void set_gate(struct pit_channel *c, bool gate, u64 now)
{
    bool rises = gate && !c->gate;
    u64 ticks = elapsed(c, now);
    c->gate = gate;
    if (!c->loaded)
        return;
    if (!gate && !waits_for_gate(c)) {
        c->elapsed = ticks;
        c->running = false;
    } else if (rises) {
        if (c->next) {
            c->count = c->next;
            c->next = 0;
        }
        c->started = c->mode == 0 || c->mode == 4 ? now - ticks : now;
        c->running = true;
    }
}

u8 pit_port61_read(struct pit *p, u64 now)
{
    struct pit_channel *c = &p->channel[2];
    settle_all(p, now);
    return (c->gate ? PORT61_GATE : 0) | (p->speaker ? PORT61_SPEAKER : 0) |
           (now / REFRESH_TICKS % 2 ? PORT61_REFRESH : 0) | (output(c, now) ? PORT61_OUT : 0);
}

void pit_port61_write(struct pit *p, u8 value, u64 now)
{
    settle_all(p, now);
    p->speaker = value & PORT61_SPEAKER;
    set_gate(&p->channel[2], value & PORT61_GATE, now);
}

u64 pit_next_edge(struct pit *p, u64 after)
{
    struct pit_channel *c = &p->channel[0];
    settle(c, after);
    if (!c->loaded || !c->running)
        return PIT_NEVER;
    if (repeats(c))
        return after < c->started ? c->started + c->count
                                  : after + c->count - (after - c->started) % c->count;
    u64 edge = c->started + c->count + (c->mode == 4);
    return edge > after ? edge : PIT_NEVER;
}

void pit_init(struct pit *p, u64 now)
{
    memset(p, 0, sizeof(*p));
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        struct pit_channel *c = &p->channel[i];
        c->mode = 3;
        c->access = 3;
        c->gate = i != 2;
        load(c, 0x10000, now);
    }
}
