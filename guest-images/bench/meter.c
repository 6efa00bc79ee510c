// See meter.h. A reading is one array of numbers: page faults first, then counters. The order
// of a pair is faults, counters, the workload, counters, faults, so that the counters hold nothing of /proc.
//
// All that is large lies in shared memory, which fork() does not copy: the workloads that fork cost the same
// with counters and without.
#include "meter.h"
#include "bench.h"
#include "host.h"
#include "native.h"
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
static bool monitored;
static void (*values_read)(uint64_t *values); // of whoever counts
static size_t counters;
static int64_t refusal;
static struct {
    struct penumbra_counter table[METER_MAX];
    struct reading start, end, cost, counted;
} * shared;

static void monitor_values_read(uint64_t *values)
{
    int64_t result = monitor_counters_read(values, counters);
    if (result < 0)
        fail("%s", monitor_error_words(result));
}

static void monitor_learn(void)
{
    int64_t count = monitor_counters_learn(shared->table, METER_MAX);
    if (count > METER_MAX)
        fail("the monitor has %lld counters, there is room for %d", (long long)count, METER_MAX);
    counters = count > 0 ? (size_t)count : 0;
    monitored = count > 0;
    values_read = monitor_values_read;
    refusal = count < 0 ? count : 0;
}

static void native_learn(void)
{
    counters = native_counters_learn(NATIVE_EVENTS, shared->table, METER_MAX);
    values_read = native_counters_read;
}

static void host_learn(const char *line)
{
    counters = host_counters_learn(line, shared->table, METER_MAX);
    values_read = host_counters_read;
}

void meter_open(const char *line)
{
    vmstat = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
    if (vmstat < 0)
        die("/proc/vmstat");
    shared = memory_shared(sizeof *shared);
    if (monitor_interface() == PENUMBRA_INTERFACE)
        monitor_learn();
    else if (line)
        host_learn(line);
    else if (sysconf(_SC_NPROCESSORS_ONLN) == 1)
        native_learn();
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
    return &shared->table[index];
}

static uint64_t faults_read(void)
{
    static char text[4 * PAGE];
    static const char name[] = "\npgfault ";
    const char *line = NULL;
    size_t length = 0;
    while (!line || !strchr(line + 1, '\n')) { // each reading makes the kernel write all of it up to there
        ssize_t got = pread(vmstat, text + length, sizeof text - 1 - length, (off_t)length);
        if (got <= 0)
            fail("/proc/vmstat has no pgfault");
        length += (size_t)got;
        text[length] = '\0';
        line = strstr(text, name);
    }
    return strtoull(line + strlen(name), NULL, 10);
}

static void counters_read(struct reading *reading)
{
    if (counters)
        values_read(reading->counters);
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

// `result` may be `less`.
static void difference(struct reading *result, const struct reading *less)
{
    result->faults = counted_between(shared->start.faults, shared->end.faults, less->faults);
    for (size_t c = 0; c < counters; c++)
        result->counters[c] =
            counted_between(shared->start.counters[c], shared->end.counters[c], less->counters[c]);
}

// The first pair of readings touches what the second finds touched: the cost is that of the second.
void meter_start(void)
{
    for (int i = 0; i < 2; i++) {
        reading_begin(&shared->start);
        reading_end(&shared->end);
        memset(&shared->cost, 0, sizeof shared->cost);
        difference(&shared->cost, &shared->cost);
    }
    reading_begin(&shared->start);
}

uint64_t meter_stop(uint64_t *values)
{
    reading_end(&shared->end);
    difference(&shared->counted, &shared->cost);
    for (size_t c = 0; c < counters; c++)
        values[c] =
            shared->table[c].kind == PENUMBRA_GAUGE ? shared->end.counters[c] : shared->counted.counters[c];
    return shared->counted.faults;
}

void meter_tell(const struct penumbra_result *result)
{
    if (monitored)
        monitor_result_tell(result);
}
