// The interval timer, the 8259s and the real-time clock: what kernels do with them. Interrupts come as ExtINT
// through LINT0, as firmware leaves it. Neighbour: timer.c (the local APIC's own timer). Not tested: LINT0
// masked, which Bochs' 8259s do not look at (tests/host/test_devices.c does).
#include "cpu.h"
#include "lapic.h"

#define EXTINT 0x700
#define BASE   0xC0 // vectors of the 8259s
#define PIT_HZ 1193182

static void pic_start(u8 open)
{
    static const u8 words[][2] = {{0x11, 0x11}, {BASE, BASE + 8}, {4, 2}, {1, 1}};
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        outb(i ? 0x21 : 0x20, words[i][0]);
        outb(i ? 0xA1 : 0xA0, words[i][1]);
    }
    outb(0x21, (u8)~open);
    outb(0xA1, 0xFF);
    lapic_write(LAPIC_LVT_LINT0, EXTINT);
}

static void pic_stop(void)
{
    outb(0x21, 0xFF);
    lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
}

static void pit_start(u8 control, u16 count)
{
    unsigned channel = control >> 6;
    outb(0x43, control);
    outb((u16)(0x40 + channel), (u8)count);
    outb((u16)(0x40 + channel), (u8)(count >> 8));
}

static u16 pit_latched(unsigned channel)
{
    outb(0x43, (u8)(channel << 6));
    u8 low = inb((u16)(0x40 + channel));
    return (u16)(low | inb((u16)(0x40 + channel)) << 8);
}

static volatile unsigned ticks;
static void tick(struct regs *regs)
{
    (void)regs;
    ticks++;
    outb(0x20, 0x20);
}

static bool wait_ticks(unsigned count)
{
    asm volatile("sti");
    for (unsigned i = 0; i < 20000000 && ticks < count; i++)
        asm volatile("pause");
    asm volatile("cli");
    return ticks >= count;
}

static void test_pic_registers(void)
{
    pic_start(0x5A);
    expect("IMR", inb(0x21), 0xA5);
    expect("second IMR", inb(0xA1), 0xFF);
    outb(0x20, 0x0B);
    expect("ISR", inb(0x20), 0);
    pic_stop();
}

// Between two instructions a machine may be away for longer than is measured here: 10 and 55 ms, as while its
// monitor changes the mode (mmu.churn=). Not each time.
#define TRIES 10

static void test_pit_counts(void)
{
    u16 before = 0, after = 0;
    for (unsigned try = 0; try < TRIES && after >= before; try++) {
        pit_start(0x34, 0xFFFF);
        before = pit_latched(0);
        for (unsigned i = 0; i < 1000; i++)
            asm volatile("pause");
        after = pit_latched(0);
    }
    if (after >= before)
        fail("count: expected to fall from %x, got %x", before, after);
    outb(0x43, 0xE2);
    expect("status", inb(0x40) & 0x3F, 0x34);
    pit_start(0x30, 0xFFFF); // mode 0: the output is low until the end
    outb(0x43, 0xE2);
    expect("status in mode 0", inb(0x40) & 0xBF, 0x30);
}

// Channel 2 counts 10 ms. Its output, as soon as that has begun; false: it never rises.
static bool pit_output_at_begin(unsigned *output)
{
    outb(0x61, (inb(0x61) & ~2) | 1);
    pit_start(0xB0, PIT_HZ / 100);
    *output = inb(0x61) >> 5 & 1;
    unsigned polls = 0;
    while (!(inb(0x61) & 0x20) && polls < 20000000)
        polls++;
    outb(0x61, inb(0x61) & ~3);
    return polls < 20000000;
}

// As Linux measures the TSC.
static void test_pit_channel_2(void)
{
    unsigned output = 1;
    for (unsigned try = 0; try < TRIES && output; try++)
        expect("rises", pit_output_at_begin(&output), true);
    expect("output", output, 0);
}

static void test_pit_periodic(void)
{
    ticks = 0;
    trap_hook(BASE, tick);
    pic_start(1);
    pit_start(0x34, 2000);
    expect("twenty", wait_ticks(20), 1);
    pit_start(0x30, 1);
    wait_ticks(ticks + 1);
    pic_stop();
}

static void test_pit_once(void)
{
    ticks = 0;
    trap_hook(BASE, tick);
    pit_start(0x30, 0xFFFF);
    pic_start(1);
    pit_start(0x30, 3000);
    expect("comes", wait_ticks(1), 1);
    for (unsigned i = 0; i < 30000; i++)
        asm volatile("pause");
    irq_window();
    expect("once", ticks, 1);
    pic_stop();
}

static void test_pit_wakes_hlt(void)
{
    ticks = 0;
    trap_hook(BASE, tick);
    pit_start(0x30, 0xFFFF);
    pic_start(1);
    pit_start(0x30, 3000);
    asm volatile("sti; hlt; cli");
    expect("ticks", ticks, 1);
    pic_stop();
}

extern const u8 legacy_stepped[];
static volatile u64 step_rip, ticks_at_step;
static void step(struct regs *regs)
{
    step_rip = regs->rip;
    ticks_at_step = ticks;
    regs->rflags &= ~RFLAGS_TF;
    dr6_write(0xFFFF0FF0);
}

// The OUT that lets an interrupt in is stepped over: its trap comes first, then the interrupt.
static void test_pit_stepped(void)
{
    ticks = step_rip = 0;
    trap_hook(BASE, tick);
    trap_hook(DB, step);
    pic_start(0);
    pit_start(0x30, 100);
    while (outb(0x20, 0x0A), !(inb(0x20) & 1))
        continue;
    asm volatile("pushfq\n orl $0x300, (%%rsp)\n popfq\n outb %%al, $0x21\n"
                 ".globl legacy_stepped\nlegacy_stepped: nop\n nop\n cli"
                 :
                 : "a"(0xFE)
                 : "memory", "cc");
    expect("trap after OUT", step_rip, (u64)legacy_stepped);
    expect("ticks at the trap", ticks_at_step, 0);
    expect("ticks", ticks, 1);
    pic_stop();
}

static u8 cmos(u8 index)
{
    outb(0x70, index);
    return inb(0x71);
}

static void test_clock(void)
{
    expect("register D", cmos(0x0D), 0x80);
    expect("24 hours, BCD", cmos(0x0B) & 6, 2);
    while (cmos(0x0A) & 0x80)
        continue;
    u8 second = cmos(0), minute = cmos(2), hour = cmos(4), day = cmos(7), month = cmos(8);
    if (second > 0x59 || minute > 0x59 || hour > 0x23 || day < 1 || day > 0x31 || month < 1 || month > 0x12)
        fail("time: got %x:%x:%x, day %x, month %x", hour, minute, second, day, month);
    expect("century", cmos(0x32), 0x20);
}

// The day is not looked at: Bochs 2.7 computes the new time with a field of struct tm that it has not set
// (tm_isdst), so it may lose an hour. tests/host/test_rtc.c looks at every carry.
static void test_clock_set(void)
{
    u8 b = cmos(0x0B), values[] = {0x58, 0x59, 0x23, 0x28, 0x02, 0x28};
    static const u8 registers[] = {0, 2, 4, 7, 8, 9};
    outb(0x70, 0x0B);
    outb(0x71, b | 0x80);
    for (unsigned i = 0; i < ARRAY_SIZE(registers); i++) {
        outb(0x70, registers[i]);
        outb(0x71, values[i]);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
        expect("stands still", cmos(registers[i]), values[i]);
    outb(0x70, 0x0B);
    outb(0x71, b);
    for (unsigned i = 0; i < 50000000 && cmos(0) != 0; i++)
        continue;
    expect("seconds after a minute's end", cmos(0), 0);
    expect("minutes after an hour's end", cmos(2), 0);
}

static const struct test tests[] = {
    {"pic_registers", test_pic_registers}, {"pit_counts", test_pit_counts},
    {"pit_channel_2", test_pit_channel_2}, {"clock", test_clock},
    {"clock_set", test_clock_set},
};
GROUP(group_legacy, "legacy", tests, true);

// Under the monitor these need the VMX-preemption timer.
static const struct test ticks_tests[] = {
    {"periodic", test_pit_periodic},
    {"once", test_pit_once},
    {"wakes_hlt", test_pit_wakes_hlt},
    {"stepped", test_pit_stepped},
};
GROUP(group_ticks, "ticks", ticks_tests, true);
