// See native.h. The events are one group, so that one read() has all.
#include "native.h"
#include "bench.h"
#include "proc.h"
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    const char *event, *name, *unit;
} rows[] = {{"aperf", "aperf", "cycles"}, {"mperf", "mperf", "TSC cycles"}, {"smi", "smis", ""}};

enum { ROWS = sizeof rows / sizeof *rows };

static int leader = -1;
static size_t count;

// The file says "event=0x01".
static int event_open(const char *events, const char *event)
{
    char file[256];
    snprintf(file, sizeof file, "%s/events/%s", events, event);
    const char *code = strchr(proc_text(file, ""), '=');
    if (!code)
        return -1;
    struct perf_event_attr attr = {.size = sizeof attr, .read_format = PERF_FORMAT_GROUP};
    attr.config = strtoull(code + 1, NULL, 0);
    snprintf(file, sizeof file, "%s/type", events);
    attr.type = (uint32_t)proc_number(file, "");
    return (int)syscall(SYS_perf_event_open, &attr, -1, 0, leader, PERF_FLAG_FD_CLOEXEC);
}

size_t native_counters_learn(const char *events, struct penumbra_counter *table, size_t room)
{
    for (size_t i = 0; i < ROWS && count < room; i++) {
        int opened = event_open(events, rows[i].event);
        if (opened < 0)
            continue;
        leader = leader < 0 ? opened : leader;
        struct penumbra_counter *c = &table[count++];
        memset(c, 0, sizeof *c);
        c->kind = PENUMBRA_COUNT;
        snprintf(c->name, sizeof c->name, "%s", rows[i].name);
        snprintf(c->unit, sizeof c->unit, "%s", rows[i].unit);
    }
    return count;
}

void native_counters_read(uint64_t *values)
{
    uint64_t group[1 + ROWS];
    size_t wanted = (1 + count) * sizeof *group;
    if (read(leader, group, sizeof group) != (ssize_t)wanted)
        die("perf events");
    memcpy(values, group + 1, count * sizeof *values);
}
