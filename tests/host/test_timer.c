// The timer measurement, on made-up machines.
// link: arch/timer_rate.c
#include "support.h"

#include <arch/io.h>
#include <arch/timer.h>

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

// A machine in which reading takes time, and the processor may be away at any read.
static struct {
    u64 ns; // since it began
    u64 tsc_hz, apic_hz;
    u64 read_ns; // what reading the reference takes; it is read anywhere within
    u64 (*away)(void);
    struct cpuid crystal; // CPUID leaf 15H
    u32 leaves;
    unsigned said;
} host;

#define PM_FS  279365115u
#define PIT_FS 838095344u

static u64 counted(u64 hz)
{
    return (u64)((unsigned __int128)host.ns * hz / 1000000000u);
}

u64 rdtsc(void)
{
    host.ns += 10 + host.away();
    return counted(host.tsc_hz);
}

struct cpuid cpuid(u32 leaf, u32 subleaf)
{
    (void)subleaf;
    assert_true(leaf == 0 || (leaf == 0x15 && host.leaves >= leaf));
    return leaf ? host.crystal : (struct cpuid){host.leaves, 0, 0, 0};
}

static u64 mask(unsigned bits)
{
    return ~0ull >> (64 - bits);
}

static u64 read_counter(const void *of)
{
    const struct timer_counter *c = of;
    u64 before = random_below(host.read_ns + 1);
    host.ns += before + host.away();
    u64 value = (u64)((unsigned __int128)host.ns * 1000000u / c->period_fs);
    host.ns += host.read_ns - before + host.away();
    return (0xfffff000u + value) & mask(c->bits); // soon at its end
}

static u64 read_constant(const void *of)
{
    (void)of;
    host.ns += host.read_ns;
    return 0xffffff;
}

static u64 read_to_and_fro(const void *of)
{
    static u64 value;
    (void)of;
    host.ns += host.read_ns;
    return value++ & 1;
}

static u64 read_at_random(const void *of)
{
    (void)of;
    host.ns += host.read_ns;
    return random_u64() & 0xffffff;
}

static u64 apic_started;
static void start_apic(void)
{
    apic_started = host.ns;
}

// One-shot: it stays at its end.
static u64 read_apic(const void *of)
{
    (void)of;
    host.ns += 50 + host.away();
    u64 counts = counted(host.apic_hz) - (u64)((unsigned __int128)apic_started * host.apic_hz / 1000000000u);
    return counts < 0xffffffff ? counts : 0xffffffff;
}

static u64 never_away(void)
{
    return 0;
}

// Every 10 ms or so, for up to 100: the PIT comes round in 55.
static u64 often_away(void)
{
    return random_below(40000) ? 0 : random_below(100000000);
}

// Every 3 ms or so, for as long: two on one processor.
static u64 half_the_time_away(void)
{
    return random_below(12000) ? 0 : random_below(6000000);
}

// In the middle of nearly every second reading.
static u64 away_in_readings(void)
{
    return random_below(4) ? 0 : random_below(100000);
}

// In each sample once, for just as long as the PIT takes to come round.
static u64 away_a_round(void)
{
    static u64 last;
    if (host.ns - last < 18000000)
        return 0;
    last = host.ns + 54925417;
    return 54925417;
}

// Never two reads in a row.
static u64 hardly_there(void)
{
    return 40000000 + random_below(40000000);
}

static const struct timer_counter apic = {.start = start_apic, .read = read_apic, .bits = 32};
static struct timer_counter pm_timer = {"ACPI timer", NULL, read_counter, &pm_timer, 24, PM_FS, 0};
static struct timer_counter hpet = {"HPET", NULL, read_counter, &hpet, 32, 69841279, 0};
static struct timer_counter pit = {"PIT", NULL, read_counter, &pit, 16, PIT_FS, 0};

static void say(unsigned samples)
{
    host.said++;
    assert_in_range(samples, 1, 500);
}

static void make_host(u64 tsc_hz, u64 apic_hz)
{
    host.ns = random_below(1000000000);
    host.tsc_hz = tsc_hz;
    host.apic_hz = apic_hz;
    host.read_ns = 1000;
    host.away = never_away;
    host.leaves = host.said = 0;
}

static struct timer_rates measure(const struct timer_counter *references, unsigned count, bool believed)
{
    struct timer_rates rates;
    memset(&rates, 0xcc, sizeof(rates));
    assert_int_equal(timer_rates_measure(&rates, references, count, &apic, say), believed ? 0 : ERR_ABSENT);
    return rates;
}

static void assert_within(u64 value, u64 expected, u64 part)
{
    u64 apart = value > expected ? value - expected : expected - value;
    if (apart > expected / part)
        fail_msg("%lu is not %lu", value, expected);
}

static void assert_measured(const struct timer_counter *reference, u64 part)
{
    struct timer_rates rates = measure(reference, 1, true);
    assert_within(rates.tsc_hz, host.tsc_hz, part);
    assert_within(rates.apic_hz, host.apic_hz, part);
    assert_string_equal(rates.reference, reference->name);
    assert_string_equal(rates.vain, "");
}

static void each_reference(void **state)
{
    (void)state;
    const struct timer_counter *references[] = {&pm_timer, &hpet, &pit};
    for (unsigned round = 0; round < 30; round++) {
        for (unsigned i = 0; i < ARRAY_SIZE(references); i++) {
            make_host(10000000 + random_below(6000000000ull), 10000000 + random_below(5000000000ull));
            u64 begin = host.ns;
            assert_measured(references[i], 8000);
            assert_true(host.ns - begin < 125000000); // five samples of 20 ms
            assert_int_equal(host.said, 0);
        }
    }
}

// The counter comes round within a sample; an HPET of 100 MHz does it each 43 s.
static void counters_wrap(void **state)
{
    (void)state;
    struct timer_counter fast = {"HPET", NULL, read_counter, &fast, 32, 10000000, 0};
    make_host(3000000000ull, 24000000);
    for (unsigned i = 0; i < 500; i++) {
        host.ns = 42900000000ull + random_below(100000000);
        assert_measured(&fast, 8000);
    }
}

// Reading takes a tenth of a millisecond, as where two hypervisors are below: samples get longer.
static void slow_readings(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        make_host(2500000000ull, 1000000000);
        host.read_ns = 100000;
        assert_measured(&pm_timer, 1000);
        assert_measured(&hpet, 1000);
    }
    make_host(2500000000ull, 1000000000);
    host.read_ns = 3000000; // and here no longer than half of a round of the PIT
    struct timer_rates rates = measure(&pit, 1, false);
    assert_string_equal(rates.vain, "PIT: its samples differ");
}

static void busy_host(void **state)
{
    (void)state;
    const struct timer_counter *references[] = {&pm_timer, &hpet, &pit};
    u64 (*const away[])(void) = {often_away, half_the_time_away, away_in_readings};
    for (unsigned round = 0; round < 36; round++) {
        make_host(1000000000 + random_below(4000000000ull), 24000000);
        host.away = away[round / 3 % 3];
        assert_measured(references[round % 3], 1000);
    }
}

// One of five is clean, mostly: then samples need not be long.
static void readings_are_tight(void **state)
{
    (void)state;
    make_host(3000000000ull, 24000000);
    host.away = away_in_readings;
    u64 begin = host.ns;
    for (unsigned i = 0; i < 20; i++)
        assert_measured(&hpet, 1000);
    assert_true(host.ns - begin < 3000000000);
}

static void rounds_are_not_lost(void **state)
{
    (void)state;
    make_host(3000000000ull, 24000000);
    host.away = away_a_round;
    struct timer_rates rates = measure(&pit, 1, false);
    assert_string_equal(rates.vain, "PIT: its samples differ");
    assert_measured(&pm_timer, 8000);
}

static void hopeless_host(void **state)
{
    (void)state;
    make_host(3000000000ull, 24000000);
    host.away = hardly_there;
    u64 begin = host.ns;
    struct timer_rates rates = measure(&pm_timer, 1, false);
    assert_string_equal(rates.vain, "ACPI timer: its samples differ");
    assert_in_range(host.said, 5, 10);
    assert_true(host.ns - begin < 60000000000); // it has an end
}

// The first that works; of the others it is said why not.
static void next_reference(void **state)
{
    (void)state;
    struct timer_counter references[] = {pm_timer, hpet, pit};
    references[0].read = read_constant;
    references[1].period_fs = 0;
    make_host(3000000000ull, 24000000);
    struct timer_rates rates = measure(references, 3, true);
    assert_string_equal(rates.reference, "PIT");
    assert_string_equal(rates.vain, "ACPI timer: stands still, HPET: not there");
    references[0].read = read_to_and_fro;
    references[1].period_fs = hpet.period_fs;
    references[1].read = read_at_random;
    rates = measure(references, 3, true);
    assert_string_equal(rates.reference, "PIT");
    assert_string_equal(rates.vain, "ACPI timer: stands still, HPET: its samples differ");
    assert_within(rates.tsc_hz, 3000000000ull, 8000);
}

static void apic_timer_stands_still(void **state)
{
    (void)state;
    make_host(3000000000ull, 0);
    struct timer_rates rates = measure(&pm_timer, 1, true);
    assert_within(rates.tsc_hz, 3000000000ull, 8000);
    assert_int_equal(rates.apic_hz, 0);
}

static void make_crystal(u32 eax, u32 ebx, u32 ecx)
{
    host.leaves = 0x16;
    host.crystal = (struct cpuid){eax, ebx, ecx, 0};
}

static void crystal(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        u32 numerator = 10 + (u32)random_below(400), denominator = 1 + (u32)random_below(5);
        u64 hz = random_below(2) ? 24000000 : 38400000;
        make_host(hz * numerator / denominator, hz);
        make_crystal(denominator, numerator, (u32)hz);
        struct timer_counter c = timer_crystal(&apic);
        assert_measured(&c, 8000);
    }
}

// A processor that leaves something open; one without the leaf.
static void no_crystal(void **state)
{
    (void)state;
    make_host(3000000000ull, 24000000);
    for (unsigned i = 0; i < 4; i++) {
        make_crystal(i != 0, i != 1 ? 125 : 0, i != 2 ? 24000000 : 0);
        host.leaves = i != 3 ? 0x15 : 0x14;
        struct timer_counter c = timer_crystal(&apic);
        assert_string_equal(measure(&c, 1, false).vain, "CPUID leaf 15H: not there");
    }
}

// Bochs: a 3.5 GHz processor of 24 MHz by CPUID, whose TSC and local APIC timer both count instructions.
static void crystal_lies(void **state)
{
    (void)state;
    struct timer_counter references[] = {pm_timer, hpet, pit, {0}};
    make_host(50000000, 50000000);
    make_crystal(2, 292, 24000000);
    references[3] = timer_crystal(&apic);
    struct timer_rates rates = measure(references, 4, true);
    assert_string_equal(rates.reference, "ACPI timer");
    assert_within(rates.tsc_hz, 50000000, 8000);
    for (unsigned i = 0; i < 3; i++) {
        references[i].read = read_at_random;
        references[i].bits = 24;
    }
    rates = measure(references, 4, false);
    assert_string_equal(
        rates.vain,
        "ACPI timer: its samples differ, HPET: its samples differ, PIT: its samples differ, CPUID leaf 15H: the ratio of the two timers is another one");
}

static u64 believe(u64 a, u64 b, u64 c, u64 d, u64 e)
{
    u64 samples[] = {a, b, c, d, e};
    return timer_believe(samples, ARRAY_SIZE(samples));
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
    u64 many[TIMER_RATES_MOST];
    assert_int_equal(believe(1000000, 2000000, 3000000, 4000000, 5000000), 0);
    assert_int_equal(believe(100000, 100000, 200000, 300000, 400000), 0);
    assert_int_equal(believe(0, 0, 0, 0, 0), 0);
    assert_int_equal(believe(0, 0, 0, 100000, 100000), 0);
    for (unsigned i = 0; i < TIMER_RATES_MOST; i++)
        many[i] = i % 2 ? 100000 : 1000 * (i + 1);
    assert_int_equal(timer_believe(many, TIMER_RATES_MOST), 0); // half of them agree
    many[0] = 100000;
    assert_int_equal(timer_believe(many, TIMER_RATES_MOST), 100000);
    assert_int_equal(timer_believe(many, 0), 0);
    assert_int_equal(timer_believe(many, 2), 0);
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
        cmocka_unit_test(each_reference),
        cmocka_unit_test(counters_wrap),
        cmocka_unit_test(slow_readings),
        cmocka_unit_test(busy_host),
        cmocka_unit_test(readings_are_tight),
        cmocka_unit_test(rounds_are_not_lost),
        cmocka_unit_test(hopeless_host),
        cmocka_unit_test(next_reference),
        cmocka_unit_test(apic_timer_stands_still),
        cmocka_unit_test(crystal),
        cmocka_unit_test(no_crystal),
        cmocka_unit_test(crystal_lies),
        cmocka_unit_test(median_is_believed),
        cmocka_unit_test(disagreement_is_not_believed),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
