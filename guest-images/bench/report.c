// See report.h. A line is written by one write(), and has left the serial port before the next workload
// begins: else the port's interrupts, which are exits, would be counted there.
#include "report.h"
#include "facts.h"
#include "json.h"
#include "../penumbra/monitor.h"
#include "statistics.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static void line_end(void)
{
    fputs("}\n", stdout);
    if (fflush(stdout) != 0)
        die("standard output");
    tcdrain(STDOUT_FILENO); // an error, if it is no terminal
}

static void monitor_print(void)
{
    bool there = monitor_interface() == PENUMBRA_INTERFACE;
    printf(",\"monitor\":\"%s\",\"interface\":%u", there ? PENUMBRA_SIGNATURE : "",
           there ? PENUMBRA_INTERFACE : 0);
    if (meter_refusal() == PENUMBRA_DENIED)
        json_member(stdout, "counters", "denied");
    else if (meter_refusal())
        json_member(stdout, "counters", monitor_error_words(meter_refusal()));
}

void report_begin(const struct plan *plan)
{
    static char buffer[1 << 14]; // more than any line
    memset(buffer, 0,
           sizeof buffer); // touched now: fork() copies as much after short lines as after long ones
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    fputs("{\"bench\":\"begin\"", stdout);
    monitor_print();
    json_member(stdout, "hypervisor", monitor_signature());
    facts_print();
    printf(",\"repetitions\":%u", plan->repetitions);
    line_end();
}

void report_refused(const char *mode, const char *why)
{
    fputs("{\"bench\":\"refused\"", stdout);
    json_member(stdout, "mode", mode);
    json_member(stdout, "error", why);
    line_end();
}

static void counters_print(const char *key, enum penumbra_kind kind, const uint64_t *values)
{
    const char *separator = "";
    printf(",\"%s\":{", key);
    for (size_t i = 0; i < meter_counters(); i++) {
        if (meter_counter(i)->kind != kind || values[i] == 0)
            continue;
        printf("%s\"%s\":%" PRIu64, separator, meter_counter(i)->name, values[i]);
        separator = ",";
    }
    putchar('}');
}

static uint64_t exits_of(const uint64_t *values)
{
    for (size_t i = 0; i < meter_counters(); i++)
        if (strcmp(meter_counter(i)->name, "exits") == 0)
            return values[i];
    return 0;
}

static void result_print(const struct measurement *m, double median)
{
    printf(",\"iterations\":%lu,\"cycles\":[", m->iterations);
    for (unsigned i = 0; i < m->repetitions; i++)
        printf("%s%" PRIu64, i ? "," : "", m->cycles[i]);
    printf("],\"median_per_iteration\":%.1f,\"guest_faults\":%" PRIu64, median / (double)m->iterations,
           m->faults);
    if (meter_counters() == 0)
        return;
    counters_print("counters", PENUMBRA_COUNT, m->counters);
    counters_print("gauges", PENUMBRA_GAUGE, m->counters);
}

static void result_report(const struct measurement *m, struct penumbra_result *told)
{
    static uint64_t sorted[REPETITIONS_MAX];
    memcpy(sorted, m->cycles, m->repetitions * sizeof *sorted);
    values_sort(sorted, m->repetitions);
    double median = values_median(sorted, m->repetitions);
    result_print(m, median);
    told->iterations = m->iterations;
    told->repetitions = m->repetitions;
    told->median = (uint64_t)median;
    told->lowest = sorted[0];
    told->highest = sorted[m->repetitions - 1];
    told->exits = exits_of(m->counters);
}

static void mode_print(const char *mode, const struct measurement *m)
{
    json_member(stdout, "mode", mode);
    fputs(",\"positions\":[", stdout);
    for (unsigned i = 0; i < m->repetitions; i++)
        printf("%s%u", i ? "," : "", m->positions[i]);
    putchar(']');
}

// What the workload is, whatever became of it.
static void workload_print(const struct workload *w, const struct measurement *m)
{
    json_member(stdout, "group", w->group);
    if (m->operations) {
        json_member(stdout, "operation", w->operation);
        printf(",\"operations\":%lu", m->operations);
    }
    if (w->bytes)
        printf(",\"working_set\":%zu,\"page\":%zu", w->bytes, w->page);
}

static void measurement_report(const struct workload *w, const char *mode, const struct measurement *m)
{
    struct penumbra_result told = {0};                            // no repetitions: failed
    snprintf(told.workload, sizeof told.workload, "%s", w->name); // it fits: programs.c
    printf("{\"bench\":\"%s\"", w->name);
    if (mode)
        mode_print(mode, m);
    if (*m->failure)
        json_member(stdout, "error", m->failure);
    else
        result_report(m, &told);
    workload_print(w, m);
    line_end();
    if (!mode)
        meter_tell(&told);
}

void report_workload(const struct workload *w, const struct plan *plan, const struct measurement *results)
{
    for (unsigned i = 0; i < plan_measurements(plan); i++)
        measurement_report(w, plan->mode[i], &results[i]);
}

void report_end(unsigned workloads, unsigned failed)
{
    printf("{\"bench\":\"end\",\"workloads\":%u,\"failed\":%u", workloads, failed);
    line_end();
}
