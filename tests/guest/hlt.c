// HLT: STI; HLT sleeps until an interrupt, also one that is pending already, and the interrupt comes behind
// it. A HLT that never wakes hangs the run; the time limit of whoever runs it shows that. Neighbours:
// interrupts.h, timer.c.
#include "cpu.h"
#include "lapic.h"
#include "interrupts.h"

#define VECTOR 0x91

static volatile u64 wake_rip;
static volatile unsigned wakes;

static void note_wake(struct regs *regs)
{
    wake_rip = regs->rip;
    wakes++;
    lapic_write(LAPIC_EOI, 0);
}

// How many interrupts have come when it is over.
static unsigned sleep_some(void)
{
    u64 behind;
    unsigned before = wakes;
    trap_hook(VECTOR, note_wake);
    asm volatile("lea 91f(%%rip), %0; sti; hlt; 91: cli" : "=&r"(behind)::"memory");
    expect("RIP behind HLT", wake_rip, behind);
    return wakes - before;
}

static void sleep_once(const char *what)
{
    expect(what, sleep_some(), 1);
}

static void start_timer(u32 mode, u32 count)
{
    wakes = 0;
    lapic_write(LAPIC_TIMER_DIVIDE, 0xB);
    lapic_write(LAPIC_LVT_TIMER, mode | VECTOR);
    lapic_write(LAPIC_TIMER_INITIAL, count);
}

static void stop_timer(void)
{
    lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | VECTOR);
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    irq_window();
}

void test_hlt_timer(void)
{
    start_timer(0, 50000);
    sleep_once("wakes");
    stop_timer();
}

void test_hlt_pending(void)
{
    wakes = 0;
    for (unsigned i = 0; i < 5; i++) {
        lapic_command(lapic_id(), 0x4000 | VECTOR);
        sleep_once("pending interrupt");
    }
}

void test_hlt_repeated(void)
{
    start_timer(LVT_TIMER_PERIODIC, 20000);
    for (unsigned i = 0; i < 20; i++) {
        if (!sleep_some()) // more than one, where the handler takes longer than the period
            fail("periodic: no interrupt");
    }
    stop_timer();
}

void test_hlt_deadline(void)
{
    if (!(cpuid_read(1, 0).ecx >> 24 & 1))
        return;
    start_timer(LVT_TIMER_DEADLINE, 0);
    for (unsigned i = 0; i < 5; i++) {
        u64 deadline = tsc_read() + 50000;
        msr_write(IA32_TSC_DEADLINE, deadline);
        sleep_once("deadline");
        if (tsc_read() < deadline)
            fail("woke: expected at %lx or later, got %lx", deadline, tsc_read());
    }
    stop_timer();
}
