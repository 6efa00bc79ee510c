// The interval timer against a slow one, which counts tick by tick as Intel's 8254 data sheet tells: counter,
// output and null count of each channel after each tick, under random control words, counts and gates; and
// the edges of channel 0's output, as they are foretold. Then what kernels do with it.

// link: hv/devices/pit.c
#include "support.h"

#include "hv/devices/pit.h"

struct slow {
    unsigned mode, count, next, counter, left;
    bool loaded, triggered, gate, out, expired;
};

static struct pit pit;
static struct slow slow[PIT_CHANNELS];
static u64 now;

static void slow_begin(struct slow *s)
{
    s->counter = s->mode == 3 ? s->count & ~1u : s->count;
    s->left = (s->count + 1) / 2; // ticks of this half in mode 3
    s->expired = false;
    s->out = s->mode != 0 && s->mode != 1;
}

static void slow_load(struct slow *s, unsigned count)
{
    if (s->loaded && (s->mode == 2 || s->mode == 3 || ((s->mode == 1 || s->mode == 5) && s->triggered))) {
        s->next = count;
        return;
    }
    s->count = count;
    s->next = 0;
    s->loaded = true;
    s->triggered = false;
    slow_begin(s);
    if (s->mode == 1)
        s->out = true;
}

static void slow_mode(struct slow *s, unsigned mode)
{
    *s = (struct slow){.mode = mode, .gate = s->gate, .out = mode != 0};
}

static void slow_take_next(struct slow *s)
{
    s->count = s->next ? s->next : s->count;
    s->next = 0;
}

static void slow_gate(struct slow *s, bool gate)
{
    bool rises = gate && !s->gate;
    s->gate = gate;
    if (!rises || !s->loaded || s->mode == 0 || s->mode == 4)
        return;
    slow_take_next(s);
    s->triggered = true;
    slow_begin(s);
}

static void slow_tick(struct slow *s)
{
    bool one_shot = s->mode == 1 || s->mode == 5;
    if (!s->loaded || (one_shot ? !s->triggered : !s->gate))
        return;
    if (s->mode == 2) {
        s->counter--;
        if (s->counter == 0) {
            slow_take_next(s);
            s->counter = s->count;
        }
        s->out = s->counter != 1;
    } else if (s->mode == 3) {
        s->counter -= 2;
        if (--s->left == 0) {
            s->out = !s->out;
            if (s->out)
                slow_take_next(s);
            s->counter = s->count & ~1u;
            s->left = s->out ? (s->count + 1) / 2 : s->count / 2;
        }
    } else {
        s->counter = (s->counter - 1) & 0xffff;
        bool ends = s->counter == 0 && !s->expired;
        s->expired |= ends;
        if (s->mode >= 4)
            s->out = !ends;
        else if (ends)
            s->out = true;
    }
}

static bool slow_output(const struct slow *s)
{
    return s->out || ((s->mode == 2 || s->mode == 3) && s->loaded && !s->gate);
}

static unsigned in(unsigned port)
{
    return pit_read(&pit, port, now);
}

static void out(unsigned port, unsigned value)
{
    pit_write(&pit, port, (u8)value, now);
}

static void check_channel(unsigned i)
{
    const struct slow *s = &slow[i];
    out(PIT_CONTROL, 0xc0 | 2u << i); // status and count
    unsigned status = in(i), count = in(i);
    count |= in(i) << 8;
    assert_int_equal(status & 0x80, slow_output(s) ? 0x80 : 0);
    assert_int_equal(status & 0x40, !s->loaded || s->next ? 0x40 : 0);
    assert_int_equal(status & 0x3f, 0x30 | s->mode << 1);
    if (s->loaded)
        assert_int_equal(count, s->counter & 0xffff);
}

static unsigned a_count(void)
{
    return random_below(4) ? (unsigned)random_below(12) + 2 : 2 + (unsigned)random_below(0xfffe);
}

static void random_step(void)
{
    unsigned i = (unsigned)random_below(PIT_CHANNELS);
    unsigned count = a_count(), mode = (unsigned)random_below(6);
    switch (random_below(8)) {
    case 0:
        out(PIT_CONTROL, i << 6 | 0x30 | mode << 1);
        slow_mode(&slow[i], mode);
        break;
    case 1:
        if (slow[i].mode == 0 && slow[i].loaded) // its first byte stops it
            return;
        out(i, count & 0xff);
        out(i, count >> 8);
        slow_load(&slow[i], count);
        break;
    case 2:
        mode = (unsigned)random_below(2);
        pit_port61_write(&pit, (u8)mode, now);
        slow_gate(&slow[2], mode);
        break;
    default:
        break;
    }
}

static void against_the_slow_one(void **state)
{
    (void)state;
    random_start();
    now = random_below(1ull << 50);
    pit_init(&pit, now);
    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        out(PIT_CONTROL, i << 6 | 0x30);
        slow[i].gate = i != 2;
        slow_mode(&slow[i], 0);
    }
    for (unsigned round = 0; round < 300000; round++) {
        random_step();
        for (unsigned i = 0; i < PIT_CHANNELS; i++)
            check_channel(i);
        u64 edge = pit_next_edge(&pit, now);
        for (u64 ticks = random_below(16); ticks; ticks--) {
            bool before = slow_output(&slow[0]);
            for (unsigned i = 0; i < PIT_CHANNELS; i++)
                slow_tick(&slow[i]);
            now++;
            bool rises = slow_output(&slow[0]) && !before;
            if (rises || edge == now)
                assert_int_equal(edge, now);
            if (rises)
                edge = pit_next_edge(&pit, now);
        }
    }
}

// Linux measures the TSC so: mode 0, one byte after the other, and looks at the output in port 61H.
static void channel_2_by_port_61(void **state)
{
    (void)state;
    now = 5;
    pit_init(&pit, now);
    assert_int_equal(pit_port61_read(&pit, now) & 0x0f, 0);
    pit_port61_write(&pit, 1, now);
    out(PIT_CONTROL, 0xb0);
    out(2, 0x00);
    out(2, 0x10);
    assert_int_equal(pit_port61_read(&pit, now + 0xfff) & 0x2f, 0x01);
    assert_int_equal(pit_port61_read(&pit, now + 0x1000) & 0x2f, 0x21);
    unsigned toggles = 0;
    for (u64 tick = 0; tick < 1800; tick++)
        toggles += (pit_port61_read(&pit, tick) ^ pit_port61_read(&pit, tick + 1)) >> 4 & 1;
    assert_int_equal(toggles, 100);
}

static void bcd_and_bytes(void **state)
{
    (void)state;
    now = 0;
    pit_init(&pit, now);
    out(PIT_CONTROL, 0x35); // channel 0, a word, mode 2, BCD
    out(0, 0x00);
    out(0, 0x10); // 1000
    now = 1;
    out(PIT_CONTROL, 0); // latch
    now = 500;
    assert_int_equal(in(0), 0x99);
    assert_int_equal(in(0), 0x09);
    assert_int_equal(in(0), 0x00); // not latched any more
    assert_int_equal(in(0), 0x05);
    out(PIT_CONTROL, 0x54); // channel 1, the low byte, mode 2
    out(1, 18);
    now += 4;
    assert_int_equal(in(1), 14);
    assert_int_equal(in(1), 14);
    out(PIT_CONTROL, 0x64); // the high byte
    out(1, 1);
    now += 1;
    assert_int_equal(in(1), 0);
    assert_int_equal(in(PIT_CONTROL), 0xff);
}

static unsigned word(unsigned port)
{
    unsigned low = in(port);
    return low | in(port) << 8;
}

// What is latched stays until it is read: a second command before that is ignored.
static void latched_until_read(void **state)
{
    (void)state;
    now = 0;
    pit_init(&pit, now);
    out(PIT_CONTROL, 0x34); // channel 0, a word, mode 2
    out(0, 0xe8);
    out(0, 0x03); // 1000
    now = 1;
    out(PIT_CONTROL, 0xc2); // status and count
    now = 999;              // the tick in which the output is low
    out(PIT_CONTROL, 0xc2);
    out(PIT_CONTROL, 0x00); // the count alone
    assert_int_equal(in(0) & 0x80, 0x80);
    assert_int_equal(word(0), 999);
    assert_int_equal(word(0), 1);
}

// 8254, "Mode 0": the first byte stops the counting, and the output is low; the second one begins it anew.
static void mode_0_between_bytes(void **state)
{
    (void)state;
    now = 0;
    pit_init(&pit, now);
    pit_port61_write(&pit, 1, now);
    out(PIT_CONTROL, 0xb0); // channel 2, a word, mode 0
    out(2, 10);
    out(2, 0);
    now = 5;
    out(2, 0);
    now = 100;
    assert_int_equal(pit_port61_read(&pit, now) & 0x20, 0);
    out(2, 1); // 256
    assert_int_equal(pit_port61_read(&pit, now + 255) & 0x20, 0);
    assert_int_equal(pit_port61_read(&pit, now + 256) & 0x20, 0x20);
}

// Whatever is written: nothing divides by zero, and no edge lies in the past.
static void any_bytes(void **state)
{
    (void)state;
    random_start();
    now = 0;
    pit_init(&pit, now);
    for (unsigned i = 0; i < 500000; i++) {
        now += random_below(4) ? random_below(300) : random_below(1ull << 40);
        if (random_below(2))
            out((unsigned)random_below(4), (unsigned)random_below(256));
        else
            in((unsigned)random_below(4));
        if (!random_below(8))
            pit_port61_write(&pit, (u8)random_below(4), now);
        assert_true(pit_next_edge(&pit, now) > now);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_the_slow_one), cmocka_unit_test(channel_2_by_port_61),
        cmocka_unit_test(bcd_and_bytes),        cmocka_unit_test(latched_until_read),
        cmocka_unit_test(mode_0_between_bytes), cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
