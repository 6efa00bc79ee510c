// Reads the host's counters for arch/timer.h: PM timer or PIT as the reference, TSC and local APIC timer as
// what is measured. The arithmetic is in timer_rate.c.
#include <arch/timer.h>

#include <arch/io.h>
#include <arch/phys.h>

#include "timer_rate.h"

#define SAMPLE_TICKS (PM_TIMER_HZ / 50) // 20 ms
#define STUCK_READS  1000000u           // a reference that reads the same so often does not run

// Local APIC, SDM vol. 3, 11.5.4 and 11.12.1.2: offset in the page; MSR 800H + offset / 16.
#define IA32_APIC_BASE      0x1bu
#define IA32_APIC_BASE_EXTD BIT(10)
#define IA32_APIC_BASE_EN   BIT(11)
#define X2APIC_MSR(offset)  (0x800u + (offset) / 16)
#define APIC_LVT_TIMER      0x320u
#define APIC_INITIAL_COUNT  0x380u
#define APIC_CURRENT_COUNT  0x390u
#define APIC_DIVIDE         0x3e0u
#define APIC_DIVIDE_BY_1    0xbu
#define APIC_LVT_MASKED     BIT(16)
#define APIC_COUNT_FROM     0xffffffffu

// PIT channel 2: its gate is bit 0 of port B, bit 1 lets it through to the speaker.
#define PIT_CHANNEL2          0x42
#define PIT_COMMAND           0x43
#define PIT_CHANNEL2_MODE0    0xb0 // low then high byte
#define PIT_CHANNEL2_LATCH    0x80
#define PIT_GATE              0x01
#define PIT_SPEAKER           0x02
#define PM_TICKS_PER_PIT_TICK 3u

// A counter to measure against. `restart` may be NULL; a count lasts at least 50 ms.
struct reference {
    void (*restart)(void);
    u64 (*read)(const struct acpi *acpi);
    unsigned bits;
    unsigned pm_ticks; // per count
};

static u64 read_pm_timer(const struct acpi *acpi)
{
    const struct acpi_register *r = &acpi->pm_timer;
    return r->space == ACPI_IO ? inl((u16)r->address) : *(volatile u32 *)phys_ptr(r->address);
}

static void restart_pit(void)
{
    outb(PORT_B, (u8)((inb(PORT_B) & ~PIT_SPEAKER) | PIT_GATE));
    outb(PIT_COMMAND, PIT_CHANNEL2_MODE0);
    outb(PIT_CHANNEL2, 0xff);
    outb(PIT_CHANNEL2, 0xff);
}

// It counts down.
static u64 read_pit(const struct acpi *acpi)
{
    (void)acpi;
    outb(PIT_COMMAND, PIT_CHANNEL2_LATCH);
    u16 low = inb(PIT_CHANNEL2);
    return (u16) - (low | inb(PIT_CHANNEL2) << 8);
}

static u64 apic_mode(void)
{
    return rdmsr(IA32_APIC_BASE) & (IA32_APIC_BASE_EN | IA32_APIC_BASE_EXTD);
}

static volatile u32 *apic_page_register(u32 offset)
{
    u64 hpa = align_down(rdmsr(IA32_APIC_BASE) & (BIT(52) - 1), PAGE_SIZE);
    return phys_ptr(hpa + offset);
}

static void apic_write(u32 offset, u32 value)
{
    if (apic_mode() & IA32_APIC_BASE_EXTD)
        wrmsr(X2APIC_MSR(offset), value);
    else
        *apic_page_register(offset) = value;
}

static u32 apic_read(u32 offset)
{
    return apic_mode() & IA32_APIC_BASE_EXTD ? (u32)rdmsr(X2APIC_MSR(offset)) : *apic_page_register(offset);
}

static void apic_timer_start(void)
{
    apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED); // one-shot
    apic_write(APIC_DIVIDE, APIC_DIVIDE_BY_1);
    apic_write(APIC_INITIAL_COUNT, APIC_COUNT_FROM);
}

struct reading {
    u64 reference;
    u64 tsc;
    u64 apic;
};

static struct reading read_all(const struct acpi *acpi, const struct reference *r, bool apic)
{
    struct reading now;
    now.reference = r->read(acpi);
    now.tsc = rdtsc();
    now.apic = apic ? APIC_COUNT_FROM - apic_read(APIC_CURRENT_COUNT) : 0;
    return now;
}

// Waits until the reference has gone on by SAMPLE_TICKS. False if it stands still.
static bool wait_for(const struct acpi *acpi, const struct reference *r, u64 start)
{
    u64 last = start;
    for (unsigned same = 0; same < STUCK_READS; same++) {
        u64 now = r->read(acpi);
        if (timer_elapsed(start, now, r->bits) * r->pm_ticks >= SAMPLE_TICKS)
            return true;
        if (now != last)
            same = 0;
        last = now;
    }
    return false;
}

static bool take_sample(const struct acpi *acpi, const struct reference *r, bool apic, u64 *tsc_hz,
                        u64 *apic_hz)
{
    if (r->restart)
        r->restart();
    if (apic)
        apic_timer_start();
    struct reading start = read_all(acpi, r, apic);
    if (!wait_for(acpi, r, start.reference))
        return false;
    struct reading end = read_all(acpi, r, apic);
    u64 ticks = timer_elapsed(start.reference, end.reference, r->bits) * r->pm_ticks;
    *tsc_hz = timer_rate(end.tsc - start.tsc, ticks);
    *apic_hz = timer_rate(end.apic - start.apic, ticks);
    return true;
}

static int measure_against(const struct acpi *acpi, const struct reference *r, struct timer_rates *rates)
{
    bool apic = apic_mode() & IA32_APIC_BASE_EN;
    u64 tsc_hz[TIMER_SAMPLES], apic_hz[TIMER_SAMPLES];
    bool runs = true;
    for (unsigned i = 0; runs && i < TIMER_SAMPLES; i++)
        runs = take_sample(acpi, r, apic, &tsc_hz[i], &apic_hz[i]);
    if (apic)
        apic_write(APIC_INITIAL_COUNT, 0);
    if (!runs)
        return ERR_ABSENT;
    rates->tsc_hz = timer_believe(tsc_hz);
    rates->apic_hz = apic ? timer_believe(apic_hz) : 0;
    return rates->tsc_hz && (rates->apic_hz || !apic) ? 0 : ERR_INVALID;
}

int timer_measure(const struct acpi *acpi, struct timer_rates *rates)
{
    const struct reference pm_timer = {NULL, read_pm_timer, acpi->pm_timer_bits, 1};
    const struct reference pit = {restart_pit, read_pit, 16, PM_TICKS_PER_PIT_TICK};
    int error = ERR_ABSENT;
    rates->by_pit = false;
    if (acpi->pm_timer.address && acpi->pm_timer.space <= ACPI_IO)
        error = measure_against(acpi, &pm_timer, rates);
    if (error == ERR_ABSENT) {
        rates->by_pit = true;
        error = measure_against(acpi, &pit, rates);
    }
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
