// A monitor for bench and penctl on the host, in the place of guest-images/penumbra/monitor.c: its mode is a
// line in the file FAKE_MODE, to which each change adds one; a program that bench runs can read there how
// slow it is to be. Each change is an exit.
#include "guest-images/penumbra/monitor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t *exits(void)
{
    static uint64_t count;
    return &count;
}

static void note(const char *what)
{
    FILE *file = fopen(getenv("FAKE_MODE"), "a");
    if (!file || fprintf(file, "%s\n", what) < 0 || fclose(file) != 0)
        abort();
}

const char *monitor_signature(void)
{
    return PENUMBRA_SIGNATURE;
}

uint32_t monitor_interface(void)
{
    return PENUMBRA_INTERFACE;
}

const char *monitor_error_name(int64_t result)
{
    return result < 0 ? "ERROR" : NULL;
}

const char *monitor_error_words(int64_t error)
{
    return error < 0 ? "an error" : "";
}

int64_t monitor_counters_learn(struct penumbra_counter *table, size_t room)
{
    static const struct penumbra_counter all[] = {{.name = "exits"},
                                                  {.name = "gauge", .kind = PENUMBRA_GAUGE}};
    memcpy(table, all, room < 2 ? 0 : sizeof all);
    return 2;
}

int64_t monitor_counters_read(uint64_t *values, size_t count)
{
    values[0] = *exits() += 1;
    values[1] = 7;
    return (int64_t)count;
}

int64_t monitor_mode_switch(const char *words, unsigned seconds, char *answer, size_t bytes)
{
    if (strstr(words, "refused")) {
        snprintf(answer, bytes, "this \"fake\" refuses %s", words);
        return PENUMBRA_ARGUMENT;
    }
    (void)seconds;
    note(words);
    return 0;
}

int64_t monitor_modes(char *text, size_t bytes)
{
    const char *modes = getenv("FAKE_MODES");
    return modes ? snprintf(text, bytes, "%s", modes) : PENUMBRA_OFF;
}

int64_t monitor_result_tell(const struct penumbra_result *result)
{
    note(result->workload);
    return 0;
}
