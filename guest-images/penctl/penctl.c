// penctl: talks to Penumbra from a shell in the guest: its counters, its mode, marks in its trace, and raw
// calls for tests. Also an example of hv/vmcall.h: look by CPUID first (monitor.c), then each command is one
// call. The monitor must run with vmcall=user, for this is a program of user mode.
#include "../penumbra/monitor.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum status { DONE, NO_MONITOR, USAGE, REFUSED };

_Noreturn static void usage(void)
{
    fputs(
        "usage: penctl mode                   the monitor's parameters in effect\n"
        "       penctl mode WORD...           another mode, as in compare=: penctl mode trace vpid=off\n"
        "       penctl counters [-j] [-a]     its counters: as JSON, with those that are 0\n"
        "       penctl stat [-c] [S [TIMES]]  what of them has grown, every S seconds (1), until Ctrl-C or so often; -c: CSV\n"
        "       penctl reset                  counters begin again at 0\n"
        "       penctl mark NUMBER            a mark in the trace of exits\n"
        "       penctl trace                  prints the trace on the monitor's console\n"
        "       penctl stop [STATUS]          ends the guest\n"
        "       penctl feed N SECONDS         for tests of mmu=auto: reads memory, and says that N thousandths were walks\n"
        "       penctl call NUMBER [ARG...]   any call, with up to 3 arguments; prints its result, an error by name\n"
        "Exit status: 0 done, 1 no Penumbra here, 2 wrong usage, 3 the monitor gave an error.\n",
        stderr);
    exit(USAGE);
}

static uint64_t number_parse(const char *text)
{
    char *end;
    errno = 0;
    uint64_t number = strtoull(text, &end, 0);
    if (end == text || *end != '\0' || errno != 0)
        usage();
    return number;
}

// For each call: its result, or the end of this program.
static int64_t checked(int64_t result)
{
    if (result >= 0)
        return result;
    fprintf(stderr, "penctl: %s\n", monitor_error_words(result));
    exit(REFUSED);
}

static enum status mode_change(char **words)
{
    static char text[512], answer[512];
    size_t length = 0;
    for (; *words; words++)
        length += (size_t)snprintf(text + length, length < sizeof text ? sizeof text - length : 0, "%s%s",
                                   length ? "," : "", *words);
    if (monitor_mode_switch(text, 0, answer, sizeof answer) == 0)
        return DONE;
    fprintf(stderr, "penctl: %s\n", answer);
    return REFUSED;
}

static enum status mode_command(char **words)
{
    static char text[4096];
    if (*words)
        return mode_change(words);
    memset(text, 1, sizeof text); // touched: the monitor writes only memory that is there
    checked(penumbra_call(PENUMBRA_MODE, (uintptr_t)text, sizeof text, 0));
    puts(text);
    return DONE;
}

static void counter_print(const struct penumbra_counter *counter, uint64_t value, bool json, bool first)
{
    if (json)
        printf("%s\"%s\":%" PRIu64, first ? "" : ",", counter->name, value);
    else
        printf("%-40s %20" PRIu64 " %s\n", counter->name, value, counter->unit);
}

// What there is to count; for the program's whole life.
struct counters {
    size_t count;
    struct penumbra_counter *table;
};

static uint64_t *values_allocate(size_t count)
{
    uint64_t *values = calloc(count + 1, sizeof *values);
    if (!values)
        abort();
    return values;
}

static struct counters counters_learn(void)
{
    struct counters c = {.count = (size_t)checked(monitor_counters_learn(NULL, 0))};
    c.table = calloc(c.count + 1, sizeof *c.table);
    if (!c.table)
        abort();
    checked(monitor_counters_learn(c.table, c.count));
    return c;
}

static void counters_print(bool json, bool all)
{
    struct counters c = counters_learn();
    uint64_t *values = values_allocate(c.count);
    bool first = true;
    checked(monitor_counters_read(values, c.count));
    fputs(json ? "{" : "", stdout);
    for (size_t i = 0; i < c.count; i++) {
        if (!all && values[i] == 0)
            continue;
        counter_print(&c.table[i], values[i], json, first);
        first = false;
    }
    fputs(json ? "}\n" : "", stdout);
}

static enum status counters_command(char **words)
{
    bool json = false, all = false;
    for (; *words; words++) {
        if (strcmp(*words, "-j") == 0)
            json = true;
        else if (strcmp(*words, "-a") == 0)
            all = true;
        else
            usage();
    }
    counters_print(json, all);
    return DONE;
}

// What the counters are at a time, in seconds.
struct moment {
    double at;
    uint64_t *values;
};

static void moment_take(const struct counters *c, struct moment *m)
{
    struct timespec now;
    checked(monitor_counters_read(m->values, c->count));
    clock_gettime(CLOCK_MONOTONIC, &now);
    m->at = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

// The monitor's counts may have been set back meanwhile. Of a gauge: what it is.
static uint64_t grown(const struct penumbra_counter *counter, uint64_t before, uint64_t now)
{
    return counter->kind == PENUMBRA_GAUGE || now < before ? now : now - before;
}

static void grown_csv(const struct penumbra_counter *counter, uint64_t value, double at, double seconds)
{
    bool gauge = counter->kind == PENUMBRA_GAUGE;
    printf("%.3f,%s,%s,%" PRIu64 ",%.1f\n", at, counter->name, gauge ? "gauge" : "count", value,
           (double)value / (gauge ? 1 : seconds));
}

static void grown_print(const struct penumbra_counter *counter, uint64_t value, double seconds)
{
    if (counter->kind == PENUMBRA_GAUGE)
        counter_print(counter, value, false, false);
    else
        printf("%-40s %20" PRIu64 " %14.0f a second\n", counter->name, value, (double)value / seconds);
}

// What has changed between the two. `at`: the second one, from the beginning on.
static void interval_print(const struct counters *c, const struct moment *before, const struct moment *now,
                           double at, bool csv)
{
    double seconds = now->at - before->at;
    if (!csv)
        printf("--- after %.1f s\n", at);
    for (size_t i = 0; i < c->count; i++) {
        uint64_t value = grown(&c->table[i], before->values[i], now->values[i]);
        if (before->values[i] == now->values[i])
            continue;
        if (csv)
            grown_csv(&c->table[i], value, at, seconds);
        else
            grown_print(&c->table[i], value, seconds);
    }
    fflush(stdout);
}

static void stat_run(unsigned seconds, uint64_t times, bool csv)
{
    struct counters c = counters_learn();
    struct moment moments[2] = {{.values = values_allocate(c.count)}, {.values = values_allocate(c.count)}};
    moment_take(&c, &moments[0]);
    double began = moments[0].at;
    if (csv)
        puts("seconds,name,kind,grown,per_second");
    for (uint64_t i = 0; times == 0 || i < times; i++) {
        struct moment *before = &moments[i % 2], *now = &moments[(i + 1) % 2];
        sleep(seconds);
        moment_take(&c, now);
        interval_print(&c, before, now, now->at - began, csv);
    }
}

static enum status stat_command(char **words)
{
    bool csv = *words && strcmp(*words, "-c") == 0;
    words += csv;
    uint64_t seconds = *words ? number_parse(*words++) : 1;
    uint64_t times = *words ? number_parse(*words++) : 0;
    if (*words || seconds == 0 || seconds > 86400)
        usage();
    stat_run((unsigned)seconds, times, csv);
    return DONE;
}

static enum status reset_command(char **words)
{
    (void)words;
    checked(penumbra_call(PENUMBRA_RESET, 0, 0, 0));
    return DONE;
}

static enum status mark_command(char **words)
{
    checked(penumbra_call(PENUMBRA_MARK, number_parse(words[0]), 0, 0));
    return DONE;
}

static enum status trace_command(char **words)
{
    (void)words;
    int64_t exits = checked(penumbra_call(PENUMBRA_TRACE, 0, 0, 0));
    printf("%" PRId64 " exits are on the monitor's console\n", exits);
    return DONE;
}

static enum status stop_command(char **words)
{
    checked(penumbra_call(PENUMBRA_STOP, *words ? number_parse(*words) : 0, 0, 0));
    return DONE;
}

static uint64_t sum_of(const uint32_t *memory, size_t words)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < words; i++)
        sum += memory[i];
    return sum;
}

// A process that only computes, in its own address space: its memory always has the same sum.
static enum status feed_command(char **words)
{
    enum { WORDS = 1 << 18 };
    static uint32_t memory[WORDS];
    time_t ends = time(NULL) + (time_t)number_parse(words[1]);
    uint64_t passes = 0;
    for (uint32_t i = 0; i < WORDS; i++)
        memory[i] = i * 2654435761u;
    uint64_t sum = sum_of(memory, WORDS);
    checked(penumbra_call(PENUMBRA_FEED, number_parse(words[0]), 0, 0));
    for (; time(NULL) < ends; passes++) {
        if (sum_of(memory, WORDS) != sum) {
            puts("the sum has changed");
            return REFUSED;
        }
    }
    checked(penumbra_call(PENUMBRA_FEED, 0, 0, 0));
    printf("%" PRIu64 " passes of the same sum\n", passes);
    return DONE;
}

// The only one whose errors are results: they go to stdout, by name.
static enum status call_command(char **words)
{
    uint64_t numbers[4] = {0}; // the call, and its arguments
    for (size_t i = 0; *words; i++)
        numbers[i] = number_parse(*words++);
    int64_t result = penumbra_call(numbers[0], numbers[1], numbers[2], numbers[3]);
    if (monitor_error_name(result))
        puts(monitor_error_name(result));
    else
        printf("%" PRId64 "\n", result);
    return result < 0 ? REFUSED : DONE;
}

static const struct command {
    const char *name;
    int least, most; // words after the name
    enum status (*run)(char **words);
} commands[] = {
    {"mode", 0, 12, mode_command},  {"counters", 0, 2, counters_command}, {"stat", 0, 3, stat_command},
    {"reset", 0, 0, reset_command}, {"mark", 1, 1, mark_command},         {"trace", 0, 0, trace_command},
    {"stop", 0, 1, stop_command},   {"feed", 2, 2, feed_command},         {"call", 1, 4, call_command},
};

static const struct command *command_find(const char *name, int words)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0 && words >= commands[i].least && words <= commands[i].most)
            return &commands[i];
    usage();
}

static void monitor_require(void)
{
    uint32_t interface = monitor_interface();
    const char *signature = monitor_signature();
    if (interface == PENUMBRA_INTERFACE)
        return;
    if (interface != 0)
        fprintf(stderr, "penctl: this Penumbra has interface %" PRIu32 ", this penctl knows %u\n", interface,
                PENUMBRA_INTERFACE);
    else
        fprintf(stderr, "penctl: no Penumbra here: CPUID shows %s\n", *signature ? signature : "no monitor");
    exit(NO_MONITOR);
}

int main(int count, char **words)
{
    if (count < 2)
        usage();
    const struct command *command = command_find(words[1], count - 2);
    monitor_require();
    return (int)command->run(words + 2);
}
