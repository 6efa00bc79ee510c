// What a PC has had since 1984, for guests that look for it: the real-time clock. Linux in ACPI's
// hardware-reduced mode reads the clock at its start, and nothing else of this. Ports come as offsets from
// the first of a row of devices.c, one byte at a time.
#pragma once

#include "exit.h"
#include "rtc.h"

struct legacy {
    struct rtc rtc;
    u64 started, last; // TSC: time 0 of the models, and the latest time that they were told
};

// All as firmware leaves it. `second` is the date and time as rtc_seconds gives them.
void legacy_init(struct vcpu *v, u64 second);

u32 legacy_rtc_read(struct vcpu *v, u16 port);
enum verdict legacy_rtc_write(struct vcpu *v, u16 port, u32 value);
