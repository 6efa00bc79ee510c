// The local APIC timer: one-shot, periodic, masked, TSC deadline. How fast it counts is not checked, only
// that it does and how often it fires. Neighbours: interrupts.h (where these are listed), hlt.c (waking up by
// it).
#include "cpu.h"
#include "lapic.h"
#include "interrupts.h"

#define VECTOR 0x81

static void start_timer(u32 mode, u32 count)
{
    irq_catch(VECTOR);
    lapic_write(LAPIC_TIMER_DIVIDE, 0xB); // by 1
    lapic_write(LAPIC_LVT_TIMER, mode | VECTOR);
    lapic_write(LAPIC_TIMER_INITIAL, count);
}

static void stop_timer(void)
{
    lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | VECTOR);
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    irq_window();
}

static void pass_time(unsigned loops)
{
    for (unsigned i = 0; i < loops; i++)
        asm volatile("pause");
}

void test_timer_one_shot(void)
{
    start_timer(0, 0x7fffffff); // longer than a change of the monitor's mode takes
    u32 first = lapic_read(LAPIC_TIMER_CURRENT), second = lapic_read(LAPIC_TIMER_CURRENT);
    if (first > 0x7fffffff || second >= first)
        fail("current count: expected to fall from %u, got %u, %u", 0x7fffffff, first, second);
    start_timer(0, 20000);
    expect("fires", irq_wait(VECTOR, 1), 1);
    pass_time(30000);
    irq_window();
    expect("once", irq_count[VECTOR], 1);
    expect("current count", lapic_read(LAPIC_TIMER_CURRENT), 0);
    expect("initial count", lapic_read(LAPIC_TIMER_INITIAL), 20000);
    stop_timer();
}

void test_timer_periodic(void)
{
    start_timer(LVT_TIMER_PERIODIC, 5000);
    expect("ten times", irq_wait(VECTOR, 10), 1);
    stop_timer();
    unsigned count = irq_count[VECTOR];
    pass_time(20000);
    irq_window();
    expect("stopped", irq_count[VECTOR], count);
}

void test_timer_masked(void)
{
    start_timer(LVT_MASKED, 1000);
    pass_time(5000);
    irq_window();
    expect("masked", irq_count[VECTOR], 0);
    stop_timer();
}

// SDM 3A 10.5.4.1: armed by a nonzero write, disarmed by zero; a deadline in the past fires at once.
void test_timer_deadline(void)
{
    if (!(cpuid_read(1, 0).ecx >> 24 & 1))
        return;
    start_timer(LVT_TIMER_DEADLINE, 0);
    u64 deadline = tsc_read() + 30000;
    msr_write(IA32_TSC_DEADLINE, deadline);
    expect("armed", msr_read(IA32_TSC_DEADLINE), deadline);
    expect("fires", irq_wait(VECTOR, 1), 1);
    if (tsc_read() < deadline)
        fail("deadline: expected at %lx or later, got %lx", deadline, tsc_read());
    msr_write(IA32_TSC_DEADLINE, tsc_read() - 1000);
    expect("in the past", irq_wait(VECTOR, 2), 1);
    msr_write(IA32_TSC_DEADLINE, tsc_read() + 30000);
    msr_write(IA32_TSC_DEADLINE, 0);
    pass_time(40000);
    irq_window();
    expect("disarmed", irq_count[VECTOR], 2);
    stop_timer();
}
