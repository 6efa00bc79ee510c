// The host's counters for arch/timer.h: ACPI PM timer, HPET, PIT, local APIC timer. What is made of their
// readings is in timer_rate.c.
#include <arch/timer.h>

#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/local_apic.h>
#include <arch/phys.h>

#include "timer_rate.h"

// Periods in 10^-15 s. ACPI 6.5, 4.8.2.1: 3.579545 MHz; the PIT counts at a third of it.
#define PM_TIMER_FS 279365115u
#define PIT_FS      838095344u

// IA-PC HPET specification 1.0a, 2.3: offsets; 2.3.4: a period is at most 100 ns.
#define HPET_PERIOD       0x04u // in 10^-15 s
#define HPET_CONFIG       0x10u
#define HPET_COUNTER      0xf0u
#define HPET_ENABLE       1u
#define HPET_PERIOD_MOST  100000000u
#define HPET_PERIOD_LEAST 100000u // a counter of 10 GHz

// Local APIC, SDM vol. 3, 11.5.4.
#define APIC_LVT_TIMER     0x320u
#define APIC_INITIAL_COUNT 0x380u
#define APIC_CURRENT_COUNT 0x390u
#define APIC_DIVIDE        0x3e0u
#define APIC_DIVIDE_BY_1   0xbu
#define APIC_LVT_MASKED    BIT(16)
#define APIC_COUNT_FROM    0xffffffffu

// PIT channel 2: its gate is bit 0 of port B, bit 1 lets it through to the speaker.
#define PIT_CHANNEL2       0x42
#define PIT_COMMAND        0x43
#define PIT_CHANNEL2_MODE0 0xb0 // low then high byte
#define PIT_CHANNEL2_LATCH 0x80
#define PIT_GATE           0x01
#define PIT_SPEAKER        0x02

static u64 read_pm_timer(const void *of)
{
    const struct acpi_register *r = of;
    return r->space == ACPI_IO ? inl((u16)r->address) : *(volatile u32 *)phys_ptr(r->address);
}

static struct timer_counter pm_timer(const struct acpi *acpi)
{
    const struct acpi_register *r = &acpi->pm_timer;
    return (struct timer_counter){
        .name = "ACPI timer",
        .read = read_pm_timer,
        .of = r,
        .bits = acpi->pm_timer_bits,
        .period_fs = r->address && r->space <= ACPI_IO ? PM_TIMER_FS : 0,
    };
}

static volatile u32 *hpet_register(const struct acpi *acpi, u32 offset)
{
    return phys_ptr(acpi->hpet_hpa + offset);
}

static u64 read_hpet(const void *of)
{
    return *hpet_register(of, HPET_COUNTER);
}

// One that nothing is behind reads as ones.
static struct timer_counter hpet(const struct acpi *acpi)
{
    u32 period_fs = acpi->hpet_hpa ? *hpet_register(acpi, HPET_PERIOD) : 0;
    bool possible = period_fs >= HPET_PERIOD_LEAST && period_fs <= HPET_PERIOD_MOST;
    return (struct timer_counter){
        .name = "HPET",
        .read = read_hpet,
        .of = acpi,
        .bits = 32, // of 64 at most
        .period_fs = possible ? period_fs : 0,
    };
}

// The count is there after the next tick: reading a port takes longer.
static void start_pit(void)
{
    outb(PORT_B, (u8)((inb(PORT_B) & ~PIT_SPEAKER) | PIT_GATE));
    outb(PIT_COMMAND, PIT_CHANNEL2_MODE0);
    outb(PIT_CHANNEL2, 0xff);
    outb(PIT_CHANNEL2, 0xff);
    inb(PORT_B);
}

// It counts down.
static u64 read_pit(const void *of)
{
    (void)of;
    outb(PIT_COMMAND, PIT_CHANNEL2_LATCH);
    u16 low = inb(PIT_CHANNEL2);
    return (u16) - (low | inb(PIT_CHANNEL2) << 8);
}

static void start_apic(void)
{
    bool x2apic = local_apic_is_x2apic();
    local_apic_write(x2apic, APIC_LVT_TIMER, APIC_LVT_MASKED); // one-shot
    local_apic_write(x2apic, APIC_DIVIDE, APIC_DIVIDE_BY_1);
    local_apic_write(x2apic, APIC_INITIAL_COUNT, APIC_COUNT_FROM);
}

// It counts down.
static u64 read_apic(const void *of)
{
    (void)of;
    return APIC_COUNT_FROM - local_apic_read(local_apic_is_x2apic(), APIC_CURRENT_COUNT);
}

// The HPET may be switched off: then it counts for as long as this takes.
int timer_measure(const struct acpi *acpi, struct timer_rates *rates, timer_progress *progress)
{
    const struct timer_counter apic = {.start = start_apic, .read = read_apic, .bits = 32};
    const struct timer_counter references[] = {
        pm_timer(acpi),
        hpet(acpi),
        {.name = "PIT", .start = start_pit, .read = read_pit, .bits = 16, .period_fs = PIT_FS},
        timer_crystal(&apic),
    };
    u32 off = acpi->hpet_hpa ? ~*hpet_register(acpi, HPET_CONFIG) & HPET_ENABLE : 0;
    if (off)
        *hpet_register(acpi, HPET_CONFIG) |= HPET_ENABLE;
    int error = timer_rates_measure(rates, references, ARRAY_SIZE(references), &apic, progress);
    if (off)
        *hpet_register(acpi, HPET_CONFIG) &= ~HPET_ENABLE;
    local_apic_write(local_apic_is_x2apic(), APIC_INITIAL_COUNT, 0);
    return error;
}

#define LOOPS 4096u

static u64 loop_plain(void)
{
    u64 start = rdtsc();
    u32 left = LOOPS;
    __asm__ volatile("1: dec %0\n jnz 1b" : "+r"(left) : : "cc");
    return rdtsc() - start;
}

static u64 loop_dividing(void)
{
    u64 start = rdtsc();
    u32 left = LOOPS;
    __asm__ volatile("1: mov $1, %%eax\n xor %%edx, %%edx\n div %0\n dec %0\n jnz 1b"
                     : "+r"(left)
                     :
                     : "eax", "edx", "cc");
    return rdtsc() - start;
}

bool timer_counts_instructions(void)
{
    u64 plain = loop_plain(), dividing = loop_dividing();
    return timer_is_instructions(plain, 2 * LOOPS) && timer_is_instructions(dividing, 5 * LOOPS);
}
