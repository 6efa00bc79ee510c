// See rtc.h. Names are those of the MC146818 data sheet. Pure: also on the host.
#include "rtc.h"

#include <arch/lib.h>

#define A_DIVIDER     0x26 // 32.768 kHz, periodic rate 1024 Hz
#define B_WRITABLE    (RTC_B_SET | RTC_B_BINARY | RTC_B_24H)
#define C_UF          0x10
#define D_VRT         0x80
#define HOURS_PM      0x80
#define UPDATE_TICKS  2228 // UIP rises 244 us before the update, which takes 1984 us
#define SECONDS_A_DAY 86400u

// What PC firmware keeps in CMOS RAM.
#define CMOS_EQUIPMENT     0x14
#define CMOS_BASE_KIB      0x15
#define CMOS_EXTENDED_KIB  0x17 // from 1M
#define CMOS_CHECKED       0x10 // to CMOS_CHECKSUM: bytes whose sum is there, the high byte first
#define CMOS_CHECKSUM      0x2e
#define CMOS_EXTENDED_KIB2 0x30 // the same again
#define CMOS_ABOVE_16M     0x34 // in units of 64 KiB
#define CMOS_ABOVE_4G      0x5b // likewise, 3 bytes
#define EQUIPMENT_FPU      0x02
#define BASE_KIB           640u

static const u8 time_registers[] = {RTC_SECONDS, RTC_MINUTES, RTC_HOURS, RTC_WEEKDAY,
                                    RTC_DAY,     RTC_MONTH,   RTC_YEAR,  RTC_CENTURY};

static bool is_time(unsigned reg)
{
    for (size_t i = 0; i < ARRAY_SIZE(time_registers); i++) {
        if (time_registers[i] == reg)
            return true;
    }
    return false;
}

static unsigned from_code(u8 value, u8 b)
{
    return b & RTC_B_BINARY ? value : (value >> 4) * 10u + (value & 15);
}

static u8 to_code(u64 value, u8 b)
{
    return (u8)(b & RTC_B_BINARY ? value : value / 10 << 4 | value % 10);
}

static unsigned hours_read(u8 value, u8 b)
{
    if (b & RTC_B_24H)
        return from_code(value, b);
    return from_code((u8)(value & ~HOURS_PM), b) % 12 + (value & HOURS_PM ? 12 : 0);
}

static u8 hours_code(u64 hours, u8 b)
{
    if (b & RTC_B_24H)
        return to_code(hours, b);
    return to_code((hours + 11) % 12 + 1, b) | (hours >= 12 ? HOURS_PM : 0);
}

// Days are counted from 1 March of year -400, so that leap days end years, and no year is below zero.
#define YEAR_OFFSET      400u
#define DAYS_400_YEARS   146097u
#define DAYS_TO_MONTH(m) ((153 * (m) + 2) / 5) // m: months after March

static u64 days_of(u64 year, u64 month, u64 day)
{
    u64 from_march = (month + 9) % 12;
    u64 y = year + YEAR_OFFSET - (month <= 2), in_era = y % 400;
    return y / 400 * DAYS_400_YEARS + in_era * 365 + in_era / 4 - in_era / 100 + DAYS_TO_MONTH(from_march) +
           day - 1;
}

static u64 years_of(u64 day_of_era)
{
    return (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (DAYS_400_YEARS - 1)) / 365;
}

static void date_write(u8 *byte, u64 days, u8 b)
{
    u64 of_era = days % DAYS_400_YEARS, years = years_of(of_era);
    u64 of_year = of_era - (365 * years + years / 4 - years / 100);
    u64 from_march = (5 * of_year + 2) / 153;
    u64 month = from_march < 10 ? from_march + 3 : from_march - 9;
    u64 year = days / DAYS_400_YEARS * 400 + years + (month <= 2) - YEAR_OFFSET;
    byte[RTC_WEEKDAY] = to_code((days + 3) % 7 + 1, b); // that 1 March was a Wednesday
    byte[RTC_DAY] = to_code(of_year - DAYS_TO_MONTH(from_march) + 1, b);
    byte[RTC_MONTH] = to_code(month, b);
    byte[RTC_YEAR] = to_code(year % 100, b);
    byte[RTC_CENTURY] = to_code(year / 100 % 100, b);
}

u64 rtc_seconds(const u8 byte[RTC_CENTURY + 1])
{
    u8 b = byte[RTC_B];
    u64 year = from_code(byte[RTC_CENTURY], b) * 100u + from_code(byte[RTC_YEAR], b);
    u64 month = from_code(byte[RTC_MONTH], b), day = from_code(byte[RTC_DAY], b);
    u64 days = days_of(year, month < 1 ? 1 : month > 12 ? 12 : month, day ? day : 1);
    return days * SECONDS_A_DAY + hours_read(byte[RTC_HOURS], b) * 3600u +
           from_code(byte[RTC_MINUTES], b) * 60u + from_code(byte[RTC_SECONDS], b);
}

static void time_write(u8 *byte, u64 second)
{
    u8 b = byte[RTC_B];
    u64 of_day = second % SECONDS_A_DAY;
    byte[RTC_SECONDS] = to_code(of_day % 60, b);
    byte[RTC_MINUTES] = to_code(of_day / 60 % 60, b);
    byte[RTC_HOURS] = hours_code(of_day / 3600, b);
    date_write(byte, second / SECONDS_A_DAY, b);
}

static bool is_set(const struct rtc *r)
{
    return r->byte[RTC_B] & RTC_B_SET;
}

static u64 seconds_since(const struct rtc *r, u64 now)
{
    return (now - r->since) / RTC_HZ;
}

static void show(struct rtc *r, u64 now)
{
    if (!is_set(r))
        time_write(r->byte, r->second + seconds_since(r, now));
}

// The clock goes on from what the registers show.
static void take(struct rtc *r, u64 since)
{
    r->second = rtc_seconds(r->byte);
    r->since = since;
    r->updates = 0;
}

static void put_word(u8 *to, u64 value)
{
    u64 word = value < 0xffff ? value : 0xffff;
    to[0] = (u8)word;
    to[1] = (u8)(word >> 8);
}

static void memory_write(u8 *byte, u64 low_bytes, u64 high_bytes)
{
    u64 extended = low_bytes / KIB - KIB, above_4g = high_bytes / (64 * KIB);
    put_word(byte + CMOS_BASE_KIB, BASE_KIB);
    put_word(byte + CMOS_EXTENDED_KIB, extended);
    put_word(byte + CMOS_EXTENDED_KIB2, extended);
    put_word(byte + CMOS_ABOVE_16M, low_bytes > 16 * MIB ? (low_bytes - 16 * MIB) / (64 * KIB) : 0);
    put_word(byte + CMOS_ABOVE_4G, above_4g & 0xffff);
    byte[CMOS_ABOVE_4G + 2] = (u8)(above_4g >> 16);
}

void rtc_init(struct rtc *r, u64 second, u64 low_bytes, u64 high_bytes)
{
    unsigned sum = 0;
    memset(r, 0, sizeof(*r));
    r->second = second;
    r->byte[RTC_A] = A_DIVIDER;
    r->byte[RTC_B] = RTC_B_24H;
    r->byte[RTC_D] = D_VRT;
    r->byte[CMOS_EQUIPMENT] = EQUIPMENT_FPU;
    memory_write(r->byte, low_bytes, high_bytes);
    for (unsigned at = CMOS_CHECKED; at < CMOS_CHECKSUM; at++)
        sum += r->byte[at];
    r->byte[CMOS_CHECKSUM] = (u8)(sum >> 8);
    r->byte[CMOS_CHECKSUM + 1] = (u8)sum;
}

static u8 read_a(const struct rtc *r, u64 now)
{
    bool updating = !is_set(r) && (now - r->since) % RTC_HZ >= RTC_HZ - UPDATE_TICKS;
    return r->byte[RTC_A] | (updating ? RTC_A_UIP : 0);
}

// An update has ended since the last time.
static u8 read_c(struct rtc *r, u64 now)
{
    u64 updates = is_set(r) ? r->updates : seconds_since(r, now);
    bool ended = updates != r->updates;
    r->updates = updates;
    return ended ? C_UF : 0;
}

u8 rtc_read(struct rtc *r, unsigned offset, u64 now)
{
    if (offset == 0)
        return 0xff; // the index can only be written
    if (r->index == RTC_A)
        return read_a(r, now);
    if (r->index == RTC_C)
        return read_c(r, now);
    if (is_time(r->index))
        show(r, now);
    return r->byte[r->index];
}

// While SET is 1 the registers stand still; then the clock goes on from what they say.
static void write_b(struct rtc *r, u8 value, u64 now)
{
    bool was_set = is_set(r);
    show(r, now);
    r->byte[RTC_B] = value & B_WRITABLE;
    if (was_set && !is_set(r))
        take(r, now);
}

static void write_time(struct rtc *r, u8 value, u64 now)
{
    u64 part = (now - r->since) % RTC_HZ;
    show(r, now);
    r->byte[r->index] = value;
    if (!is_set(r))
        take(r, now - part);
}

void rtc_write(struct rtc *r, unsigned offset, u8 value, u64 now)
{
    if (offset == 0)
        r->index = value & (RTC_REGISTERS - 1); // bit 7 masks NMIs, of which this machine has none
    else if (r->index == RTC_B)
        write_b(r, value, now);
    else if (is_time(r->index))
        write_time(r, value, now);
    else if (r->index == RTC_A)
        r->byte[RTC_A] = (u8)(value & ~RTC_A_UIP);
    else if (r->index != RTC_C && r->index != RTC_D)
        r->byte[r->index] = value;
}
