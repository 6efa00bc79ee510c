// bench: measures workloads that stress what a monitor makes dearer: system calls, processes, memory. Each
// workload runs in a process of its own, so that none sees what another left; one line of JSON each, in TSC
// cycles (instructions, in an emulator whose TSC counts them). Chooses what is run, by the command line; the
// other files measure, print, or are the workloads.
#include "bench.h"
#include "meter.h"
#include "../penumbra/monitor.h"
#include "programs.h"
#include "report.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT_MAX = 1000000, REPETITIONS = 5, ROUNDS = 6 }; // with less rounds no interval of 95 % can be told
#define ROUND_FACTOR 0.5 // what one guest measures in pairs differs by little

enum {
    BUILT_IN = 0
#define WORKLOAD(...) +1
#include "workloads.def"
#undef WORKLOAD
};

static struct workload workloads[BUILT_IN + PROGRAMS_MAX] = {
#define WORKLOAD(...) {__VA_ARGS__},
#include "workloads.def"
#undef WORKLOAD
};
static size_t workload_count = BUILT_IN;
static const struct workload *chosen[BUILT_IN + PROGRAMS_MAX];
static unsigned chosen_count;

struct options {
    struct plan plan;
    const char *folder; // of programs
    char *modes;        // as -m has them
    const char *line;   // where the machine below says what it counts
    bool list;
};

static void usage(void)
{
    fputs(
        "usage: bench [-r REPETITIONS] [-i FACTOR] [-t SECONDS] [-p FOLDER] [-m MODE/MODE...] [-s SEED] [-c LINE] [NAME...]\n"
        "       runs all workloads, or those named\n"
        "       bench -l   lists names, iterations of a repetition, and what one is\n"
        "  -r   5 without it, 6 with -m; fewer where one takes long   -i   multiplies the iterations (1; 0.5 with -m)\n"
        "  -t   a workload that takes longer, in each mode, is killed (300; 0: none is)\n"
        "  -p   every program in this folder is a workload (/prog)\n"
        "  -m   in these modes of the monitor by turns, as often as -r says in each (ept/trace,vpid=off);\n"
        "       without it in those of a comparison by switching (compare.how=)\n"
        "  -s   the turns' order is at random by this number (1)\n"
        "  -c   where no Penumbra is, the machine below says what it counts over this serial line (/dev/ttyS1)\n"
        "Exit status: 0 all went well, 1 a workload failed, 2 wrong usage.\n",
        stderr);
    exit(2);
}

static double number_parse(const char *text, double low, double high)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= low && number <= high))
        usage();
    return number;
}

static unsigned count_parse(const char *text, unsigned low, unsigned high)
{
    double number = number_parse(text, low, high);
    if (number != (unsigned)number)
        usage();
    return (unsigned)number;
}

static void option_take(struct options *options, int letter)
{
    if (letter == 'l')
        options->list = true;
    else if (letter == 'p')
        options->folder = optarg;
    else if (letter == 'm')
        options->modes = optarg;
    else if (letter == 'c')
        options->line = optarg;
    else if (letter == 's')
        options->plan.seed = count_parse(optarg, 0, UINT32_MAX);
    else if (letter == 'r')
        options->plan.repetitions = count_parse(optarg, 1, REPETITIONS_MAX);
    else if (letter == 'i')
        options->plan.factor = number_parse(optarg, 0.0001, 10000);
    else if (letter == 't')
        options->plan.limit = count_parse(optarg, 0, LIMIT_MAX);
    else
        usage();
}

static void workloads_list(void)
{
    for (size_t i = 0; i < workload_count; i++)
        printf("%-10s %7lu  %s\n", workloads[i].name, workloads[i].iterations, workloads[i].what);
}

static const struct workload *workload_find(const char *name)
{
    for (size_t i = 0; i < workload_count; i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    fprintf(stderr, "bench: no workload %s; bench -l lists them\n", name);
    exit(2);
}

static void workloads_choose(char *const *names, int count)
{
    if (count > BUILT_IN + PROGRAMS_MAX)
        usage();
    for (int i = 0; i < count; i++)
        chosen[chosen_count++] = workload_find(names[i]);
    for (size_t i = 0; count == 0 && i < workload_count; i++)
        chosen[chosen_count++] = &workloads[i];
}

// NULL, or why it cannot be measured in this mode. Leaves the monitor in it.
static const char *mode_refusal(const struct plan *plan, const char *mode)
{
    static char answer[512];
    if (plan->modes == MODES_MAX)
        return "bench measures in no more modes";
    if (monitor_interface() != PENUMBRA_INTERFACE)
        return "no Penumbra is here";
    return monitor_mode_switch(mode, 0, answer, sizeof answer) == 0 ? NULL : answer;
}

// Without any that can be, all is measured in the mode that is.
static void modes_choose(struct plan *plan, char *modes)
{
    for (char *mode = modes ? strtok(modes, "/") : NULL; mode; mode = strtok(NULL, "/")) {
        const char *refusal = mode_refusal(plan, mode);
        if (refusal)
            report_refused(mode, refusal);
        else
            plan->mode[plan->modes++] = mode;
    }
}

// Those of the command line, or those of the monitor's comparison; NULL: neither has any.
static char *modes_asked(char *modes)
{
    static char text[2048];
    bool there = !modes && monitor_interface() == PENUMBRA_INTERFACE;
    return there && monitor_modes(text, sizeof text) > 0 ? text : modes;
}

static bool any_failed(const struct plan *plan, const struct measurement *results)
{
    for (unsigned i = 0; i < plan_measurements(plan); i++)
        if (*results[i].failure)
            return true;
    return false;
}

static unsigned workloads_run(struct plan *plan, char *modes, const char *line)
{
    unsigned failed = 0;
    meter_open(line);
    if (meter_refusal())
        fprintf(stderr, "bench: no counters: %s\n", monitor_error_words(meter_refusal()));
    report_begin(plan);
    modes_choose(plan, modes);
    for (unsigned i = 0; i < chosen_count; i++) {
        const struct measurement *m = workload_measure(chosen[i], plan);
        report_workload(chosen[i], plan, m);
        failed += any_failed(plan, m);
    }
    report_end(chosen_count, failed);
    return failed;
}

int main(int count, char **words)
{
    struct options options = {.plan = {.limit = 300, .seed = 1}, .folder = "/prog"};
    for (int letter; (letter = getopt(count, words, "lr:i:t:p:m:s:c:")) != -1;)
        option_take(&options, letter);
    workload_count = programs_append(options.folder, workloads, BUILT_IN);
    if (options.list) {
        workloads_list();
        return 0;
    }
    workloads_choose(words + optind, count - optind);
    options.modes = modes_asked(options.modes);
    if (options.plan.repetitions == 0)
        options.plan.repetitions = options.modes ? ROUNDS : REPETITIONS;
    if (options.plan.factor == 0)
        options.plan.factor = options.modes ? ROUND_FACTOR : 1;
    return workloads_run(&options.plan, options.modes, options.line) == 0 ? 0 : 1;
}
