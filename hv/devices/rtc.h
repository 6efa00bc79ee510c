// The guest's real-time clock and CMOS RAM behind ports 70H and 71H: an MC146818 with 128 bytes, whose time
// goes on by itself. There is no interrupt: the enable bits of register B read as 0; and the day of the week
// follows from the date. It knows neither the TSC nor the ports: the owner tells the time since rtc_init.
#pragma once

#include <arch/types.h>

#define RTC_REGISTERS 128u
#define RTC_HZ        1000000u // of the times that are passed

enum rtc_register {
    RTC_SECONDS = 0x00,
    RTC_MINUTES = 0x02,
    RTC_HOURS = 0x04,
    RTC_WEEKDAY = 0x06, // 1: Sunday
    RTC_DAY = 0x07,
    RTC_MONTH = 0x08,
    RTC_YEAR = 0x09,
    RTC_A = 0x0a,
    RTC_B = 0x0b,
    RTC_C = 0x0c,
    RTC_D = 0x0d,
    RTC_CENTURY = 0x32,
};
#define RTC_A_UIP    0x80
#define RTC_B_SET    0x80
#define RTC_B_BINARY 0x04
#define RTC_B_24H    0x02

struct rtc {
    u8 byte[RTC_REGISTERS]; // the time only while SET is 1
    u8 index;
    u64 second;  // since the begin of the calendar, at `since`
    u64 since;   // when that second began
    u64 updates; // that register C has told of
};

// The time that these registers show, in the way that register B among them says, in seconds of the calendar
// of struct rtc. Any bytes do; so many are there at least.
u64 rtc_seconds(const u8 byte[RTC_CENTURY + 1]);

// A clock that shows `second` at time 0, in BCD and with 24 hours, and what firmware would leave in CMOS of a
// machine with so much RAM from 0 and from 4G on.
void rtc_init(struct rtc *r, u64 second, u64 low_bytes, u64 high_bytes);

// The guest's access to port 70H + `offset` at the time `now`, which never goes back.
u8 rtc_read(struct rtc *r, unsigned offset, u64 now);
void rtc_write(struct rtc *r, unsigned offset, u8 value, u64 now);
