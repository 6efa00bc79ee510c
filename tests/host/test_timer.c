// The arithmetic of the timer measurement.
// link: arch/timer_rate.c
#include "support.h"

#include "arch/timer_rate.h"

static void elapsed_wraps_at_its_width(void **state)
{
    (void)state;
    assert_int_equal(timer_elapsed(5, 12, 24), 7);
    assert_int_equal(timer_elapsed(0xfffff0, 0x10, 24), 0x20);
    assert_int_equal(timer_elapsed(0xfffffff0, 0x10, 32), 0x20);
    assert_int_equal(timer_elapsed(0xfff0, 0x10, 16), 0x20);
    assert_int_equal(timer_elapsed(~0ull, 1, 64), 2);
    // What a timer of 24 bits gives in its upper byte does not matter.
    assert_int_equal(timer_elapsed(0xaa000005, 0x5500000c, 24), 7);
}

static void rate_is_counts_per_second(void **state)
{
    (void)state;
    assert_int_equal(timer_rate(3000000000ull, PM_TIMER_HZ), 3000000000ull);
    assert_int_equal(timer_rate(70000000, PM_TIMER_HZ / 50), 3500044001ull); // 71590 ticks, not 71590.9
    assert_int_equal(timer_rate(1, 2), (PM_TIMER_HZ + 1) / 2);
    assert_int_equal(timer_rate(1000, 0), 0);
    assert_int_equal(timer_rate(0, 1000), 0);
    assert_int_equal(timer_rate(~0ull, 1000), 0);
    assert_true(timer_rate(BIT(38), 1) / PM_TIMER_HZ == BIT(38));
}

static void rate_recovers_random_frequencies(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 100000; round++) {
        u64 hz = 1000000 + random_below(6000000000ull);
        u64 ticks = 60000 + random_below(200000);
        u64 rate = timer_rate((u64)((unsigned __int128)hz * ticks / PM_TIMER_HZ), ticks);
        u64 apart = rate > hz ? rate - hz : hz - rate;
        assert_true(apart <= PM_TIMER_HZ / 60000 + 1); // one count
    }
}

static u64 believe(u64 a, u64 b, u64 c, u64 d, u64 e)
{
    u64 samples[TIMER_SAMPLES] = {a, b, c, d, e};
    return timer_believe(samples);
}

static void median_is_believed(void **state)
{
    (void)state;
    assert_int_equal(believe(100000, 100001, 99999, 100002, 99998), 100000);
    assert_int_equal(believe(500000, 100001, 99999, 100000, 1), 100000); // two spoilt samples
    assert_int_equal(believe(100000, 100100, 99900, 5, 900000), 100000); // just within the tolerance
    assert_int_equal(believe(100000, 100101, 99900, 5, 900000), 0);      // just not
}

static void disagreement_is_not_believed(void **state)
{
    (void)state;
    assert_int_equal(believe(1000000, 2000000, 3000000, 4000000, 5000000), 0);
    assert_int_equal(believe(100000, 100000, 200000, 300000, 400000), 0);
    assert_int_equal(believe(0, 0, 0, 0, 0), 0);
    assert_int_equal(believe(0, 0, 0, 100000, 100000), 0);
}

// Loops of 4096 turns, of 2 and of 5 instructions, as timed on processors and in Bochs.
static void instructions(void **state)
{
    (void)state;
    static const struct {
        u64 plain, dividing;
        bool counts;
    } seen[] = {
        {8193, 20481, true},   // Bochs
        {2578, 15288, false},  // a Xeon of 2023, whose divider is fast: 3 instructions more take 3 ticks more
        {4100, 106500, false}, // a divider that is slow
        {8192, 49152, false},  // a TSC twice as fast as the core
        {3413, 20480, false},  {8191, 20480, false}, {8192, 20890, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(seen); i++) {
        bool counts =
            timer_is_instructions(seen[i].plain, 8192) && timer_is_instructions(seen[i].dividing, 20480);
        assert_int_equal(counts, seen[i].counts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instructions),
        cmocka_unit_test(elapsed_wraps_at_its_width),
        cmocka_unit_test(rate_is_counts_per_second),
        cmocka_unit_test(rate_recovers_random_frequencies),
        cmocka_unit_test(median_is_believed),
        cmocka_unit_test(disagreement_is_not_believed),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
