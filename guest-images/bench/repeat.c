// See repeat.h. In several modes a round is one repetition in each, in an order at random there and back. All
// else is the same: the process, its memory, the kernel's caches. After each change the workload is warmed up
// as at the start, which fills the tables of that mode.
#include "repeat.h"
#include "../penumbra/monitor.h"
#include <string.h>

enum { WARM_UP_SHARE = 4, TRIALS = 2 };

static uint64_t tsc_read(void)
{
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static uint64_t run_timed(const struct workload *w, unsigned long iterations)
{
    uint64_t before = tsc_read();
    w->run(iterations);
    return tsc_read() - before;
}

static void warm_up(const struct workload *w, unsigned long iterations)
{
    w->run(iterations < WARM_UP_SHARE ? 1 : iterations / WARM_UP_SHARE);
}

static void plain_repeat(const struct workload *w, unsigned repetitions, struct measurement *m)
{
    warm_up(w, m->iterations);
    meter_start();
    for (unsigned i = 0; i < repetitions; i++)
        m->cycles[i] = run_timed(w, m->iterations);
    m->faults = meter_stop(m->counters);
}

static void mode_enter(const char *mode)
{
    char answer[512];
    if (monitor_mode_switch(mode, answer, sizeof answer) != 0)
        fail("mode %s: %s", mode, answer);
}

// What one iteration takes in each mode says how many iterations a slow one gets.
static void modes_try(const struct workload *w, const struct plan *plan, struct measurement *results)
{
    uint64_t cost[MODES_MAX], least = UINT64_MAX;
    for (unsigned i = 0; i < plan->modes; i++) {
        mode_enter(plan->mode[i]);
        for (int trial = 0; trial < TRIALS; trial++) // the first fills caches and tables
            cost[i] = run_timed(w, 1);
        least = cost[i] < least ? cost[i] : least;
    }
    for (unsigned i = 0; i < plan->modes; i++)
        results[i].iterations = modes_iterations(results[i].iterations, cost[i], least);
}

static void counters_add(struct measurement *m, const uint64_t *counted)
{
    for (size_t c = 0; c < meter_counters(); c++)
        m->counters[c] =
            counted[c] +
            (meter_counter(c)->kind == PENUMBRA_GAUGE ? 0 : m->counters[c]); // a gauge is as it is now
}

static void mode_repeat(const struct workload *w, const char *mode, struct measurement *m, unsigned round)
{
    static uint64_t counted[METER_MAX];
    mode_enter(mode);
    warm_up(w, m->iterations);
    meter_start();
    m->cycles[round] = run_timed(w, m->iterations);
    m->faults += meter_stop(counted);
    counters_add(m, counted);
}

static void rounds_repeat(const struct workload *w, const struct plan *plan, struct measurement *results)
{
    unsigned order[MODES_MAX];
    modes_try(w, plan, results);
    for (unsigned round = 0; round < plan->repetitions; round++) {
        modes_order(order, plan->modes, round, plan->seed);
        for (unsigned i = 0; i < plan->modes; i++) {
            results[order[i]].positions[round] = (uint8_t)i;
            mode_repeat(w, plan->mode[order[i]], &results[order[i]], round);
        }
    }
}

void workload_repeat(const struct workload *w, const struct plan *plan, struct measurement *results)
{
    double wanted = (double)w->iterations * plan->factor;
    unsigned measurements = plan->modes ? plan->modes : 1;
    for (unsigned i = 0; i < measurements; i++) {
        memset(results[i].cycles, 0, sizeof results[i].cycles); // touched: no page fault while it is measured
        results[i].iterations = wanted < 1 ? 1 : (unsigned long)wanted;
    }
    if (w->setup)
        w->setup(w->argument);
    if (plan->modes)
        rounds_repeat(w, plan, results);
    else
        plain_repeat(w, plan->repetitions, results);
    if (w->finish)
        w->finish();
    for (unsigned i = 0; i < measurements; i++)
        results[i].repetitions = plan->repetitions;
}
