// See repeat.h. In several modes a round is one repetition in each, in an order at random there and back. All
// else is the same: the process, its memory, the kernel's caches. After each change the workload is warmed up
// as at the start, which fills the tables of that mode. What takes too long is done less often.
#include "repeat.h"
#include "../penumbra/monitor.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WARM_UP_SHARE = 4, TRIAL_CYCLES = 200000, FILLING_CYCLES = 20000000 };

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

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// Whether another repetition, which takes as long as the last one, can be done within the limit.
static bool another_fits(const struct plan *plan, double spent, double last)
{
    return plan->limit == 0 || spent + last < plan->limit;
}

static void plain_repeat(const struct workload *w, const struct plan *plan, struct measurement *m)
{
    double began = seconds(), last = 0;
    warm_up(w, m->iterations);
    meter_start();
    while (m->repetitions < plan->repetitions &&
           (m->repetitions == 0 || another_fits(plan, seconds() - began, last))) {
        last = -seconds();
        m->cycles[m->repetitions++] = run_timed(w, m->iterations);
        last += seconds();
    }
    m->faults = meter_stop(m->counters);
}

static void mode_enter(const char *mode, unsigned limit)
{
    char answer[512];
    if (monitor_mode_switch(mode, limit, answer, sizeof answer) != 0)
        fail("mode %s: %s", mode, answer);
}

// One mode while a workload is measured.
struct turn {
    uint64_t cost;      // cycles of a repetition with all its iterations, as it was tried
    unsigned rounds;    // in which it is measured
    double spent, last; // seconds: in all, and the last round
};

static struct measurement *visited; // for who is told that it takes too long
static char over_limit[64];

static void visit_over(int signal)
{
    (void)signal;
    memcpy(visited->failure, over_limit, sizeof over_limit);
    _exit(0);
}

// In a mode in which the guest hardly gets on it cannot leave it either: the monitor does.
static void visit_begin(const struct workload *w, const struct plan *plan, unsigned mode,
                        struct measurement *m)
{
    snprintf(over_limit, sizeof over_limit, "over its limit of %u s", plan->limit);
    visited = m;
    signal(SIGALRM, visit_over);
    alarm(plan->limit);
    mode_enter(plan->mode[mode], plan->limit);
    if (w->touch)
        w->touch();
}

static void visit_end(struct turn *turn, double began)
{
    alarm(0);
    turn->last = seconds() - began;
    turn->spent += turn->last;
}

// The first iteration fills caches and tables, and counts if it takes long against that. Then more and more,
// until they take long against what disturbs them.
static uint64_t cost_measure(const struct workload *w, unsigned long wanted)
{
    uint64_t cycles = run_timed(w, 1);
    if (cycles >= FILLING_CYCLES)
        return cycles * wanted;
    for (unsigned long iterations = 1;; iterations *= 2) {
        if (iterations > wanted)
            iterations = wanted;
        cycles = run_timed(w, iterations);
        if (iterations == wanted || cycles >= TRIAL_CYCLES)
            return cycles * wanted / iterations;
    }
}

static void mode_try(const struct workload *w, const struct plan *plan, unsigned mode, struct measurement *m,
                     struct turn *turn)
{
    double began = seconds();
    visit_begin(w, plan, mode, m);
    turn->cost = cost_measure(w, m->iterations);
    visit_end(turn, began);
}

// What a repetition takes in each mode says how many iterations, and how many rounds, a slow one gets.
static void modes_try(const struct workload *w, const struct plan *plan, struct measurement *results,
                      struct turn *turns)
{
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < plan->modes; i++) {
        if (*results[i].failure)
            continue;
        mode_try(w, plan, i, &results[i], &turns[i]);
        least = turns[i].cost < least ? turns[i].cost : least;
    }
    for (unsigned i = 0; i < plan->modes; i++) {
        unsigned long wanted = results[i].iterations;
        results[i].iterations = modes_iterations(wanted, turns[i].cost, least);
        turns[i].rounds =
            *results[i].failure
                ? 0
                : modes_rounds(plan->repetitions, turns[i].cost * results[i].iterations / wanted, least);
    }
}

static void counters_add(struct measurement *m, const uint64_t *counted)
{
    for (size_t c = 0; c < meter_counters(); c++)
        m->counters[c] =
            counted[c] +
            (meter_counter(c)->kind == PENUMBRA_GAUGE ? 0 : m->counters[c]); // a gauge is as it is now
}

// A single iteration is a whole program, and is not warmed up; nor is what is so slow that filling tables is
// little against it.
static void mode_repeat(const struct workload *w, struct measurement *m, bool warm)
{
    static uint64_t counted[METER_MAX];
    if (warm)
        warm_up(w, m->iterations);
    meter_start();
    m->cycles[m->repetitions++] = run_timed(w, m->iterations);
    m->faults += meter_stop(counted);
    counters_add(m, counted);
}

static void turn_take(const struct workload *w, const struct plan *plan, unsigned mode, struct measurement *m,
                      struct turn *turn)
{
    bool first = m->repetitions == 0, slow = turn->rounds < plan->repetitions;
    if (m->repetitions == turn->rounds || (!first && !another_fits(plan, turn->spent, turn->last)))
        return;
    double began = seconds();
    visit_begin(w, plan, mode, m);
    mode_repeat(w, m, w->iterations > 1 && !slow);
    visit_end(turn, began);
}

// Set up and ended in the first mode, whatever was measured last.
static void rounds_repeat(const struct workload *w, const struct plan *plan, struct measurement *results)
{
    static struct turn turns[MODES_MAX];
    unsigned order[MODES_MAX];
    modes_try(w, plan, results, turns);
    for (unsigned round = 0; round < plan->repetitions; round++) {
        modes_order(order, plan->modes, round, plan->seed);
        for (unsigned i = 0; i < plan->modes; i++) {
            struct measurement *m = &results[order[i]];
            m->positions[m->repetitions] = (uint8_t)i;
            turn_take(w, plan, order[i], m, &turns[order[i]]);
        }
    }
    mode_enter(plan->mode[0], 0);
}

// Its measurements know how many operations an iteration has when it has been set up.
static void set_up(struct workload *own, const struct plan *plan, struct measurement *results)
{
    if (own->setup)
        own->setup(own);
    for (unsigned i = 0; i < plan_measurements(plan); i++)
        results[i].operations = own->operations;
}

void workload_repeat(const struct workload *w, const struct plan *plan, struct measurement *results)
{
    struct workload own = *w;
    double wanted = (double)w->iterations * plan->factor;
    for (unsigned i = 0; i < plan_measurements(plan); i++) {
        memset(results[i].cycles, 0, sizeof results[i].cycles); // touched: no page fault while it is measured
        results[i].iterations = wanted < 1 ? 1 : (unsigned long)wanted;
    }
    if (plan->modes)
        mode_enter(plan->mode[0], 0);
    set_up(&own, plan, results);
    if (plan->modes)
        rounds_repeat(w, plan, results);
    else
        plain_repeat(w, plan, results);
    if (w->finish)
        w->finish();
}
