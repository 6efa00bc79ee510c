// See legacy.h. The models are pure (rtc.c): here they get their time, which is the TSC's.
#include <arch/io.h>

#include "clock.h"
#include "legacy.h"
#include "vm.h"

// Since the start. A guest that sets the TSC back makes the clocks stand still.
static u64 time_of(struct vcpu *v, u64 rate)
{
    struct legacy *l = &v->vm->legacy;
    u64 now = rdtsc();
    l->last = now > l->last ? now : l->last;
    return clock_ticks(l->last - l->started, v->vm->tsc_hz, rate);
}

void legacy_init(struct vcpu *v, u64 second)
{
    struct legacy *l = &v->vm->legacy;
    l->started = l->last = rdtsc();
    rtc_init(&l->rtc, second, v->vm->map.low_end,
             v->vm->map.high_end ? v->vm->map.high_end - GUEST_HIGH_RAM : 0);
}

u32 legacy_rtc_read(struct vcpu *v, u16 port)
{
    return rtc_read(&v->vm->legacy.rtc, port & 1, time_of(v, RTC_HZ));
}

enum verdict legacy_rtc_write(struct vcpu *v, u16 port, u32 value)
{
    rtc_write(&v->vm->legacy.rtc, port & 1, (u8)value, time_of(v, RTC_HZ));
    return VERDICT_SKIP;
}
