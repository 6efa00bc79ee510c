// See timer_rate.h.
#include <arch/io.h>
#include <arch/lib.h>

#include "timer_rate.h"

#define READS        5u      // of which the tightest counts
#define IDLE_READS   100000u // a counter that gets no further in so many does not run
#define SAMPLES      5u      // of them, and of all that are taken, more than half must agree
#define AGREEMENT    3u
#define TOLERANCE    1000u // to one part in so many
#define TIGHT        32u   // both readings of a sample: to one part in so many
#define AWAY         64u   // so many times what a reading takes, and longer
#define TRIES        500u
#define SAMPLE_NS    20000000u
#define SECOND_NS    1000000000ull
#define MOST_NS      (10 * SECOND_NS) // for one reference
#define SECOND_FS    1000000000000000ull
#define FS_PER_NS    1000000u
#define LEAF_CRYSTAL 0x15u

struct reading {
    u64 value;
    u64 tsc;   // in the middle of it
    u64 width; // TSC ticks that it took
};

struct passed {
    u64 tsc, counts;
};

// The rates of a sample; 0: it is spoilt.
struct sample {
    u64 ns; // that it took
    u64 tsc_hz;
    u64 apic_hz;
};

u64 timer_elapsed(u64 start, u64 end, unsigned bits)
{
    return (end - start) & (~0ull >> (64 - bits));
}

// value * times / by, rounded; 0 if nothing can be said.
static u64 scale(u64 value, u64 times, u64 by)
{
    if (!by || !times || value > (~0ull - by / 2) / times)
        return 0;
    return (value * times + by / 2) / by;
}

static struct reading read_tightly(const struct timer_counter *c)
{
    struct reading best = {.width = ~0ull};
    for (unsigned i = 0; i < READS; i++) {
        u64 before = rdtsc();
        u64 value = c->read(c->of);
        u64 width = rdtsc() - before;
        if (width < best.width)
            best = (struct reading){value, before + width / 2, width};
    }
    return best;
}

static u64 elapsed_ns(const struct timer_counter *c, u64 start, u64 now)
{
    return scale(timer_elapsed(start, now, c->bits), c->period_fs, FS_PER_NS);
}

// A sample is so long that the reading at its begin is nothing against it, as far as the counter lasts.
static bool is_long_enough(const struct timer_counter *c, const struct reading *start, u64 value)
{
    u64 half = BIT(c->bits - 1), ns = elapsed_ns(c, start->value, value);
    return ns >= SAMPLE_NS && (rdtsc() - start->tsc >= TOLERANCE * start->width || ns >= SECOND_NS ||
                               timer_elapsed(start->value, value, c->bits) >= half);
}

// Waits for the end of a sample. `here`: what went by between reads from one to the next of which the
// processor was with us. False if the counter stands still, or runs to and fro.
static bool wait_for(const struct timer_counter *c, const struct reading *start, struct passed *here)
{
    struct reading last = *start;
    u64 furthest = 0;
    for (unsigned idle = 0; idle < IDLE_READS; idle++) {
        u64 value = c->read(c->of), tsc = rdtsc(), elapsed = timer_elapsed(start->value, value, c->bits);
        if (tsc - last.tsc <= AWAY * start->width) {
            here->tsc += tsc - last.tsc;
            here->counts += timer_elapsed(last.value, value, c->bits);
        }
        last.tsc = tsc;
        last.value = value;
        if (is_long_enough(c, start, value))
            return true;
        if (elapsed > furthest) {
            furthest = elapsed;
            idle = 0;
        }
    }
    return false;
}

static void start(const struct timer_counter *c)
{
    if (c->start)
        c->start();
}

static bool is_tight(const struct reading *begin, const struct reading *end)
{
    return (begin->width + end->width) / 2 <= (end->tsc - begin->tsc) / TIGHT;
}

// While the processor was away a counter may have come round unseen. How far it went altogether is told by
// how far it goes in so many ticks of the TSC while the processor is here.
static bool came_round(const struct timer_counter *c, u64 ticks, const struct passed *here)
{
    u64 counts = scale(ticks, here->counts, here->tsc);
    return !counts || counts > BIT(c->bits) - 1;
}

// False if the reference does not run.
static bool take_sample(const struct timer_counter *reference, const struct timer_counter *apic,
                        struct sample *sample)
{
    struct passed here = {0, 0};
    *sample = (struct sample){0, 0, 0};
    start(reference);
    start(apic);
    struct reading apic_begin = read_tightly(apic), begin = read_tightly(reference);
    if (!wait_for(reference, &begin, &here))
        return false;
    struct reading end = read_tightly(reference), apic_end = read_tightly(apic);
    u64 ticks = end.tsc - begin.tsc, apic_ticks = apic_end.tsc - apic_begin.tsc;
    sample->ns = elapsed_ns(reference, begin.value, end.value);
    if (came_round(reference, ticks, &here) || !is_tight(&begin, &end) || !is_tight(&apic_begin, &apic_end))
        return true;
    sample->tsc_hz = scale(ticks, SECOND_NS, sample->ns);
    sample->apic_hz =
        scale(timer_elapsed(apic_begin.value, apic_end.value, apic->bits), sample->tsc_hz, apic_ticks);
    return true;
}

static void sort(u64 *values, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        for (unsigned k = i; k > 0 && values[k - 1] > values[k]; k--) {
            u64 larger = values[k - 1];
            values[k - 1] = values[k];
            values[k] = larger;
        }
    }
}

static bool is_near(u64 value, u64 to)
{
    u64 apart = value > to ? value - to : to - value;
    return apart <= to / TOLERANCE;
}

u64 timer_believe(const u64 *rates, unsigned count)
{
    u64 sorted[TIMER_RATES_MOST];
    memcpy(sorted, rates, count * sizeof(rates[0]));
    sort(sorted, count);
    u64 median = count ? sorted[count / 2] : 0;
    unsigned agree = 0;
    for (unsigned i = 0; i < count; i++)
        agree += is_near(sorted[i], median);
    return agree >= AGREEMENT && 2 * agree > count ? median : 0;
}

// The samples of one reference.
struct samples {
    unsigned count;
    u64 tsc_hz[TIMER_RATES_MOST], apic_hz[TIMER_RATES_MOST];
};

static void add(struct samples *all, const struct sample *sample, struct timer_rates *rates)
{
    if (!sample->tsc_hz)
        return;
    all->tsc_hz[all->count] = sample->tsc_hz;
    all->apic_hz[all->count++] = sample->apic_hz;
    if (all->count < SAMPLES)
        return;
    rates->tsc_hz = timer_believe(all->tsc_hz, all->count);
    rates->apic_hz = rates->tsc_hz ? timer_believe(all->apic_hz, all->count) : 0;
}

// NULL, or why it is no reference.
static const char *measure_against(const struct timer_counter *reference, const struct timer_counter *apic,
                                   struct timer_rates *rates, timer_progress *progress)
{
    struct samples all = {.count = 0};
    struct sample sample;
    u64 spent_ns = 0;
    rates->tsc_hz = rates->apic_hz = 0;
    if (!reference->period_fs)
        return "not there";
    for (unsigned i = 1; i <= TRIES && all.count < TIMER_RATES_MOST && spent_ns < MOST_NS; i++) {
        if (!take_sample(reference, apic, &sample))
            return "stands still";
        add(&all, &sample, rates);
        if (rates->apic_hz)
            break;
        if ((spent_ns + sample.ns) / SECOND_NS != spent_ns / SECOND_NS)
            progress(i);
        spent_ns += sample.ns;
    }
    if (!rates->tsc_hz)
        return "its samples differ";
    bool contradicts = reference->must_be_hz && !is_near(rates->tsc_hz, reference->must_be_hz);
    return contradicts ? "the ratio of the two timers is another one" : NULL;
}

int timer_rates_measure(struct timer_rates *rates, const struct timer_counter *references, unsigned count,
                        const struct timer_counter *apic, timer_progress *progress)
{
    size_t length = 0;
    *rates = (struct timer_rates){0};
    for (unsigned i = 0; i < count; i++) {
        const char *why = measure_against(&references[i], apic, rates, progress);
        rates->reference = references[i].name;
        if (!why)
            return 0;
        length += (size_t)fmt(rates->vain + length, sizeof(rates->vain) - length, "%s%s: %s",
                              length ? ", " : "", references[i].name, why);
    }
    return ERR_ABSENT;
}

// SDM vol. 2, CPUID leaf 15H: EBX / EAX is the TSC's rate in those of the crystal, ECX the crystal's in Hz.
struct timer_counter timer_crystal(const struct timer_counter *apic)
{
    struct timer_counter c = *apic;
    struct cpuid leaf = {0, 0, 0, 0};
    if (cpuid(0, 0).eax >= LEAF_CRYSTAL)
        leaf = cpuid(LEAF_CRYSTAL, 0);
    c.name = "CPUID leaf 15H";
    c.must_be_hz = scale(leaf.ecx, leaf.ebx, leaf.eax);
    c.period_fs = c.must_be_hz ? SECOND_FS / leaf.ecx : 0;
    return c;
}

bool timer_is_instructions(u64 ticks, u64 instructions)
{
    return ticks >= instructions && ticks < instructions + instructions / 50;
}
