// See meter.h. A reading is one array of numbers: page faults first, then the monitor's counters. The order
// of a pair is faults, counters, the workload, counters, faults, so that the counters hold nothing of /proc.
#include "meter.h"
#include "bench.h"
#include "../penumbra/monitor.h"
#include "statistics.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct reading {
    uint64_t faults;
    uint64_t counters[METER_MAX];
};

static int vmstat;
static size_t counters;
static struct penumbra_counter *counter_table;
static int64_t refusal;
static struct reading start, end, cost;

void meter_open(void)
{
    vmstat = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
    if (vmstat < 0)
        die("/proc/vmstat");
    if (monitor_interface() != PENUMBRA_INTERFACE)
        return;
    int64_t count = monitor_counters_learn(&counter_table);
    if (count > METER_MAX)
        fail("the monitor has %lld counters, there is room for %d", (long long)count, METER_MAX);
    counters = count > 0 ? (size_t)count : 0;
    refusal = count < 0 ? count : 0;
}

bool meter_monitored(void)
{
    return counters > 0;
}

int64_t meter_refusal(void)
{
    return refusal;
}

size_t meter_counters(void)
{
    return counters;
}

const struct penumbra_counter *meter_counter(size_t index)
{
    return &counter_table[index];
}

static uint64_t faults_read(void)
{
    static char text[4 * PAGE];
    size_t length = 0;
    for (ssize_t got; (got = pread(vmstat, text + length, sizeof text - 1 - length, (off_t)length)) > 0;)
        length += (size_t)got;
    text[length] = '\0';
    const char *line = strstr(text, "\npgfault ");
    if (!line)
        fail("/proc/vmstat has no pgfault");
    return strtoull(line + strlen("\npgfault "), NULL, 10);
}

static void counters_read(struct reading *reading)
{
    int64_t result = counters ? monitor_counters_read(reading->counters, counters) : 0;
    if (result < 0)
        fail("%s", monitor_error_words(result));
}

static void reading_begin(struct reading *reading)
{
    reading->faults = faults_read();
    counters_read(reading);
}

static void reading_end(struct reading *reading)
{
    counters_read(reading);
    reading->faults = faults_read();
}

static void difference(struct reading *result, const struct reading *less)
{
    result->faults = counted_between(start.faults, end.faults, less->faults);
    for (size_t c = 0; c < counters; c++)
        result->counters[c] = counted_between(start.counters[c], end.counters[c], less->counters[c]);
}

// The first pair of readings touches what the second finds touched: the cost is that of the second.
void meter_start(void)
{
    static const struct reading nothing;
    for (int i = 0; i < 2; i++) {
        reading_begin(&start);
        reading_end(&end);
        difference(&cost, &nothing);
    }
    reading_begin(&start);
}

uint64_t meter_stop(uint64_t *values)
{
    static struct reading counted;
    reading_end(&end);
    difference(&counted, &cost);
    for (size_t c = 0; c < counters; c++)
        values[c] = counter_table[c].kind == PENUMBRA_GAUGE ? end.counters[c] : counted.counters[c];
    return counted.faults;
}

void meter_tell(const struct penumbra_result *result)
{
    if (meter_monitored())
        monitor_result_tell(result);
}
