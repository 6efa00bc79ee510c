// Guests that never end and spend nearly all of their time in exits: only the monitor can end them
// (tests/run/limit.t). Never run otherwise.
#include "cpu.h"

static void output(void)
{
    for (;;)
        outb(0x3f8, '.');
}

static void string_output(void)
{
    static u8 dots[4096];
    memset(dots, '.', sizeof(dots));
    for (;;) {
        const u8 *from = dots;
        u64 count = sizeof(dots);
        asm volatile("rep outsb" : "+c"(count), "+S"(from) : "d"((u16)0x3f8) : "memory");
    }
}

static void cpuid(void)
{
    for (;;)
        cpuid_read(0, 0);
}

// No exits at all.
static void spin(void)
{
    for (;;)
        asm volatile("pause");
}

// The TSC passes its end, 2^64, within the time that the guest has.
static void clock(void)
{
    msr_write(IA32_TSC, -BIT(20));
    spin();
}

#define ONE(name, run)                                        \
    static const struct test name##_tests[] = {{#name, run}}; \
    GROUP(group_endless_##name, "endless-" #name, name##_tests, false)
ONE(output, output);
ONE(string, string_output);
ONE(cpuid, cpuid);
ONE(spin, spin);
ONE(clock, clock);
