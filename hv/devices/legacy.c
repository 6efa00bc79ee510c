// See legacy.h. The models are pure (pit.c, pic.c, rtc.c): here they get their time, which is the TSC's, and
// the way to the processor. An interrupt of the 8259s comes as ExtINT: it is injected, since the local APIC,
// which is the guest's, can be asked only for vectors that it serves itself.
#include <arch/io.h>

#include "clock.h"
#include "due.h"
#include "event.h"
#include "guest_ports.h"
#include "legacy.h"
#include "../vm.h"

#define TIMER_INPUT     0     // of the 8259s
#define TIMER_PIN       0     // of the IOAPIC: the MADT has no overrides
#define MOST_INTERRUPTS 10000 // of the timer in a second: a guest that programs more still gets on
#define LINT0_LOOKS     1000  // in a second

// Since the start. A guest that sets the TSC back makes the clocks stand still.
static u64 time_of(struct vcpu *v, u64 rate)
{
    struct legacy *l = &v->vm->legacy;
    u64 now = rdtsc();
    l->last = (s64)(now - l->last) > 0 ? now : l->last;
    return clock_ticks(l->last - l->started, v->vm->tsc_hz, rate);
}

void legacy_init(struct vcpu *v, u64 second)
{
    struct legacy *l = &v->vm->legacy;
    const struct guest_map *map = &v->vm->map;
    l->started = l->last = rdtsc();
    l->seen = 0;
    rtc_init(&l->rtc, second, map->low_end, map->high_end ? map->high_end - GUEST_HIGH_RAM : 0);
    pit_init(&l->pit, 0);
    pic_init(&l->pic);
}

void legacy_open_timer(struct vcpu *v)
{
    pic_write(&v->vm->legacy.pic, 0, 1, 0xff & ~BIT(TIMER_INPUT));
}

// Several edges since the last look are one interrupt, as they are while it is masked.
static void tell_edges(struct vcpu *v)
{
    struct legacy *l = &v->vm->legacy;
    u64 now = time_of(v, PIT_HZ);
    bool rose = pit_next_edge(&l->pit, l->seen) <= now;
    l->seen = now;
    for (unsigned level = rose ? 2 : 0; level--;) {
        pic_set_line(&l->pic, TIMER_INPUT, level);
        ioapic_set_line(&v->vm->ioapic, TIMER_PIN, level);
    }
}

static bool reaches_processor(struct vcpu *v)
{
    return pic_output(&v->vm->legacy.pic) && apic_takes_extint(v);
}

void legacy_attend(struct vcpu *v)
{
    tell_edges(v);
    event_interrupt_window(v, reaches_processor(v));
    due_arm(v, legacy_wait(v));
}

void legacy_interrupt(struct vcpu *v)
{
    tell_edges(v);
    if (reaches_processor(v) && event_takes_interrupt(v))
        event_interrupt(v, pic_acknowledge(&v->vm->legacy.pic));
    legacy_attend(v);
}

// For limit= it is enough that there was an exit: the time is looked at before the next entry.
enum verdict exit_preemption_timer(struct vcpu *v)
{
    legacy_interrupt(v);
    return VERDICT_RESUME;
}

enum verdict exit_interrupt_window(struct vcpu *v)
{
    event_nmi_by_interrupt_window(v);
    legacy_interrupt(v);
    return VERDICT_RESUME;
}

// The guest opens its local APIC's LINT0 without an exit: an interrupt that waits for it is looked after.
u64 legacy_wait(struct vcpu *v)
{
    struct legacy *l = &v->vm->legacy;
    u64 hz = v->vm->tsc_hz;
    if (pic_output(&l->pic) && !apic_takes_extint(v))
        return hz / LINT0_LOOKS;
    if (!pic_listens(&l->pic, TIMER_INPUT) && !ioapic_listens(&v->vm->ioapic, TIMER_PIN))
        return ~0ull;
    u64 edge = pit_next_edge(&l->pit, l->seen);
    if (edge == PIT_NEVER)
        return ~0ull;
    u64 at = clock_cycles(edge, hz, PIT_HZ), now = l->last - l->started, soonest = hz / MOST_INTERRUPTS;
    return at > now + soonest ? at - now : soonest;
}

void legacy_set_line(struct vcpu *v, unsigned input, bool level)
{
    struct pic *pic = &v->vm->legacy.pic;
    pic_set_line(pic, input, level);
    if (pic_output(pic))
        legacy_attend(v);
}

u64 legacy_pit_read(struct vcpu *v, const struct device_access *a)
{
    struct pit *pit = &v->vm->legacy.pit;
    u64 now = time_of(v, PIT_HZ);
    return a->at == GUEST_PORT_B ? pit_port61_read(pit, now) : pit_read(pit, a->at & 3, now);
}

enum verdict legacy_pit_write(struct vcpu *v, const struct device_access *a)
{
    struct legacy *l = &v->vm->legacy;
    tell_edges(v);
    if (a->at == GUEST_PORT_B)
        pit_port61_write(&l->pit, (u8)a->value, l->seen);
    else
        pit_write(&l->pit, a->at & 3, (u8)a->value, l->seen);
    legacy_attend(v);
    return VERDICT_SKIP;
}

u64 legacy_pic_read(struct vcpu *v, const struct device_access *a)
{
    tell_edges(v);
    u8 value = pic_read(&v->vm->legacy.pic, a->at >= GUEST_PIC2_PORT, a->at & 1);
    legacy_attend(v);
    return value;
}

enum verdict legacy_pic_write(struct vcpu *v, const struct device_access *a)
{
    tell_edges(v);
    pic_write(&v->vm->legacy.pic, a->at >= GUEST_PIC2_PORT, a->at & 1, (u8)a->value);
    legacy_attend(v);
    return VERDICT_SKIP;
}

u64 legacy_rtc_read(struct vcpu *v, const struct device_access *a)
{
    return rtc_read(&v->vm->legacy.rtc, a->at & 1, time_of(v, RTC_HZ));
}

enum verdict legacy_rtc_write(struct vcpu *v, const struct device_access *a)
{
    rtc_write(&v->vm->legacy.rtc, a->at & 1, (u8)a->value, time_of(v, RTC_HZ));
    return VERDICT_SKIP;
}
