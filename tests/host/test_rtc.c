// The real-time clock. Dates: the C library's timegm and gmtime. The registers in time: a slow clock that
// counts every second up, with the carries written out, under random accesses in all four ways of writing.

// link: hv/devices/rtc.c
#include "support.h"

#include "hv/devices/rtc.h"

#include <time.h>

#define SECOND ((u64)RTC_HZ)

static struct rtc rtc;
static u64 now;

static u8 in(unsigned reg)
{
    rtc_write(&rtc, 0, (u8)reg, now);
    return rtc_read(&rtc, 1, now);
}

static void out(unsigned reg, u8 value)
{
    rtc_write(&rtc, 0, (u8)reg, now);
    rtc_write(&rtc, 1, value, now);
}

static unsigned bcd(unsigned value)
{
    return value / 10 * 16 + value % 10;
}

static void start(time_t at)
{
    struct tm t;
    u8 byte[RTC_REGISTERS] = {0};
    gmtime_r(&at, &t);
    byte[RTC_B] = RTC_B_24H;
    byte[RTC_SECONDS] = (u8)bcd((unsigned)t.tm_sec);
    byte[RTC_MINUTES] = (u8)bcd((unsigned)t.tm_min);
    byte[RTC_HOURS] = (u8)bcd((unsigned)t.tm_hour);
    byte[RTC_DAY] = (u8)bcd((unsigned)t.tm_mday);
    byte[RTC_MONTH] = (u8)bcd((unsigned)t.tm_mon + 1);
    byte[RTC_YEAR] = (u8)bcd((unsigned)t.tm_year % 100);
    byte[RTC_CENTURY] = (u8)bcd((unsigned)(t.tm_year + 1900) / 100);
    now = 0;
    rtc_init(&rtc, rtc_seconds(byte), 64 * MIB, 0);
}

static void expect_time(time_t at)
{
    struct tm t;
    gmtime_r(&at, &t);
    assert_int_equal(in(RTC_SECONDS), bcd((unsigned)t.tm_sec));
    assert_int_equal(in(RTC_MINUTES), bcd((unsigned)t.tm_min));
    assert_int_equal(in(RTC_HOURS), bcd((unsigned)t.tm_hour));
    assert_int_equal(in(RTC_WEEKDAY), t.tm_wday + 1);
    assert_int_equal(in(RTC_DAY), bcd((unsigned)t.tm_mday));
    assert_int_equal(in(RTC_MONTH), bcd((unsigned)t.tm_mon + 1));
    assert_int_equal(in(RTC_YEAR), bcd((unsigned)t.tm_year % 100));
    assert_int_equal(in(RTC_CENTURY), bcd((unsigned)(t.tm_year + 1900) / 100));
}

// Each day of 1900 to 2299, at some second.
static void every_day(void **state)
{
    (void)state;
    random_start();
    struct tm first = {.tm_year = 0, .tm_mon = 0, .tm_mday = 1};
    time_t day = timegm(&first);
    for (unsigned i = 0; i < 400 * 366; i++, day += 86400) {
        time_t at = day + (time_t)random_below(86400);
        start(at);
        expect_time(at);
        now += random_below(200 * 86400) * SECOND;
        expect_time(at + (time_t)(now / SECOND));
    }
}

struct calendar {
    unsigned year, month, day, weekday, hour, minute, second;
};

static unsigned days_of_month(const struct calendar *c)
{
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (c->year % 4 == 0 && c->year % 100 != 0) || c->year % 400 == 0;
    return c->month == 2 && leap ? 29 : days[c->month - 1];
}

static void tick(struct calendar *c)
{
    if (++c->second < 60)
        return;
    c->second = 0;
    if (++c->minute < 60)
        return;
    c->minute = 0;
    if (++c->hour < 24)
        return;
    c->hour = 0;
    c->weekday = c->weekday % 7 + 1;
    if (++c->day <= days_of_month(c))
        return;
    c->day = 1;
    if (++c->month <= 12)
        return;
    c->month = 1;
    c->year++;
}

static unsigned coded(unsigned value, u8 b)
{
    return b & RTC_B_BINARY ? value : bcd(value);
}

static unsigned coded_hour(unsigned hour, u8 b)
{
    static const u8 twelve[] = {12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    return b & RTC_B_24H ? coded(hour, b) : coded(twelve[hour % 12], b) | (hour < 12 ? 0 : 0x80);
}

static void expect_calendar(const struct calendar *c, u8 b)
{
    assert_int_equal(in(RTC_SECONDS), coded(c->second, b));
    assert_int_equal(in(RTC_MINUTES), coded(c->minute, b));
    assert_int_equal(in(RTC_HOURS), coded_hour(c->hour, b));
    assert_int_equal(in(RTC_WEEKDAY), c->weekday);
    assert_int_equal(in(RTC_DAY), coded(c->day, b));
    assert_int_equal(in(RTC_MONTH), coded(c->month, b));
    assert_int_equal(in(RTC_YEAR), coded(c->year % 100, b));
    assert_int_equal(in(RTC_CENTURY), coded(c->year / 100, b));
}

static void set_calendar(const struct calendar *c, u8 b)
{
    out(RTC_B, b | RTC_B_SET);
    out(RTC_SECONDS, (u8)coded(c->second, b));
    out(RTC_MINUTES, (u8)coded(c->minute, b));
    out(RTC_HOURS, (u8)coded_hour(c->hour, b));
    out(RTC_DAY, (u8)coded(c->day, b));
    out(RTC_MONTH, (u8)coded(c->month, b));
    out(RTC_YEAR, (u8)coded(c->year % 100, b));
    out(RTC_CENTURY, (u8)coded(c->year / 100, b));
    now += 5 * SECOND; // it stands still
    assert_int_equal(in(RTC_SECONDS), coded(c->second, b));
    assert_false(in(RTC_A)&RTC_A_UIP);
    out(RTC_B, b);
}

// 1 January 2000 was a Saturday; the slow clock counts from there to a day that is drawn.
static void random_settings(void **state)
{
    (void)state;
    random_start();
    struct calendar c = {2000, 1, 1, 7, 0, 0, 0};
    start(0);
    for (unsigned round = 0; round < 3000; round++) {
        static const u8 ways[] = {0, RTC_B_BINARY, RTC_B_24H, RTC_B_BINARY | RTC_B_24H};
        u8 b = ways[random_below(4)];
        for (u64 jump = random_below(20); jump; jump--) {
            c.hour = 23; // to the next day by the carries, not by steps of a second
            c.minute = c.second = 59;
            tick(&c);
        }
        c.hour = (unsigned)random_below(24);
        c.minute = (unsigned)random_below(60);
        c.second = (unsigned)random_below(60);
        set_calendar(&c, b);
        expect_calendar(&c, b);
        u64 part = 0; // of the second that is shown
        for (unsigned step = 0; step < 20; step++) {
            u64 passes = random_below(3 * SECOND);
            now += passes;
            for (part += passes; part >= SECOND; part -= SECOND)
                tick(&c);
            expect_calendar(&c, b);
        }
    }
}

// A kernel that has seen UIP clear has 244 us; one that waits for it to rise waits a second at most.
static void update_in_progress(void **state)
{
    (void)state;
    start(1000000000);
    unsigned rises = 0, high = 0;
    bool before = false;
    u8 second = in(RTC_SECONDS);
    u64 clear = 0; // since then, at the last look
    for (now = 0; now < 5 * SECOND; now += 61) {
        bool uip = in(RTC_A)&RTC_A_UIP;
        rises += uip && !before;
        high += uip;
        before = uip;
        if (in(RTC_SECONDS) != second) {
            assert_true(now - clear >= 244); // nobody was told that it is at rest less than that ago
            second = in(RTC_SECONDS);
        }
        if (!uip)
            clear = now;
    }
    assert_int_equal(rises, 5);
    assert_in_range(high * 61, 5 * 2000, 5 * 2500);
}

static void update_ended(void **state)
{
    (void)state;
    start(0);
    assert_int_equal(in(RTC_C), 0);
    now += SECOND;
    assert_int_equal(in(RTC_C), 0x10);
    assert_int_equal(in(RTC_C), 0);
    now += 10 * SECOND;
    assert_int_equal(in(RTC_C), 0x10);
    assert_int_equal(in(RTC_C), 0);
}

static void registers(void **state)
{
    (void)state;
    start(0);
    assert_int_equal(rtc_read(&rtc, 0, now), 0xff);
    assert_int_equal(in(RTC_A), 0x26);
    assert_int_equal(in(RTC_B), 0x02);
    assert_int_equal(in(RTC_D), 0x80);
    out(RTC_B, 0x7a); // interrupts are not offered
    assert_int_equal(in(RTC_B), 0x02);
    out(RTC_D, 0);
    assert_int_equal(in(RTC_D), 0x80);
    out(0x0f, 0x0a);
    assert_int_equal(in(0x0f), 0x0a);
    assert_int_equal(in(0x8f), 0x0a); // bit 7 masks NMIs and selects nothing
}

static unsigned word(unsigned at)
{
    return in(at) | (unsigned)in(at + 1) << 8;
}

static void memory_size(void **state)
{
    (void)state;
    static const struct {
        u64 low, high;
        unsigned extended, above_16m, above_4g;
    } rows[] = {
        {16 * MIB, 0, 15 * 1024, 0, 0},
        {64 * MIB, 0, 63 * 1024, 48 * 16, 0},
        {512 * MIB, 0, 0xffff, 496 * 16, 0},
        {3 * GIB, 5 * GIB, 0xffff, 3056 * 16, 5 * 16 * 1024},
        {3 * GIB, 1021 * GIB, 0xffff, 3056 * 16, 1021 * 16 * 1024},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        unsigned sum = 0;
        rtc_init(&rtc, 0, rows[i].low, rows[i].high);
        assert_int_equal(word(0x15), 640);
        assert_int_equal(word(0x17), rows[i].extended);
        assert_int_equal(word(0x30), rows[i].extended);
        assert_int_equal(word(0x34), rows[i].above_16m);
        assert_int_equal(word(0x5b) | in(0x5d) << 16, rows[i].above_4g);
        for (unsigned at = 0x10; at < 0x2e; at++)
            sum += in(at);
        assert_int_equal(in(0x2e) << 8 | in(0x2f), sum);
    }
}

// Whatever the guest writes: every register can be read, and the time goes on.
static void any_bytes(void **state)
{
    (void)state;
    random_start();
    start(0);
    for (unsigned i = 0; i < 300000; i++) {
        now += random_below(4) ? random_below(1000) : random_below(1ull << 40);
        if (random_below(2))
            out((unsigned)random_below(256), (u8)random_below(256));
        else
            in((unsigned)random_below(256));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_day),          cmocka_unit_test(random_settings),
        cmocka_unit_test(update_in_progress), cmocka_unit_test(update_ended),
        cmocka_unit_test(registers),          cmocka_unit_test(memory_size),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
