// bench: measures workloads that stress what a monitor makes dearer: system calls, processes, memory. Each
// workload runs in a process of its own, so that none sees what another left; one line of JSON each, in TSC
// cycles (instructions, in an emulator whose TSC counts them). Reads the command line; the other files choose
// (choice.c), measure, print, or are the workloads.
#include "choice.h"
#include "meter.h"
#include "../penumbra/monitor.h"
#include "report.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT_MAX = 1000000, REPETITIONS = 5, ROUNDS = 6 }; // with less rounds no interval of 95 % can be told
#define ROUND_FACTOR 0.5 // what one guest measures in pairs differs by little

struct options {
    struct plan plan;
    struct choice choice;
    const char *folder; // of programs
    char *modes;        // as -m has them
    const char *line;   // where the machine below says what it counts
    bool list;
};

static void usage(void)
{
    fputs(
        "usage: bench [-r REPETITIONS] [-i FACTOR] [-t SECONDS] [-p FOLDER] [-m MODE/MODE...] [-s SEED]\n"
        "             [-w SIZE/SIZE...] [-z PAGE/PAGE...] [-c LINE] [NAME|GROUP...]\n"
        "       runs the default workloads, or those named; of a group all\n"
        "       bench -l   lists names, groups, iterations of a repetition, and what one is\n"
        "  -r   5 without it, 6 with -m; fewer where one takes long   -i   multiplies the iterations (1; 0.5 with -m)\n"
        "  -t   a workload that takes longer, in each mode, is killed (300; 0: none is)\n"
        "  -p   every program in this folder is a workload (/prog)\n"
        "  -m   in these modes of the monitor by turns, as often as -r says in each (ept/trace,vpid=off);\n"
        "       without it in those of a comparison by switching (compare.how=)\n"
        "  -s   the turns' order is at random by this number (1)\n"
        "  -w   the working set of workloads that have one to choose, in multiples of 4K (64M/1G; 16M)\n"
        "  -z   its pages (4K/2M/1G; 4K)\n"
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

static void sizes_take(const char *text, struct sizes *sizes)
{
    if (!sizes_parse(text, sizes))
        usage();
}

static void pages_take(const char *text, struct sizes *pages)
{
    sizes_take(text, pages);
    for (unsigned i = 0; i < pages->count; i++)
        if (pages->bytes[i] != PAGE && pages->bytes[i] != PAGE_2M && pages->bytes[i] != PAGE_1G)
            usage();
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
    else if (letter == 'w')
        sizes_take(optarg, &options->choice.sets);
    else if (letter == 'z')
        pages_take(optarg, &options->choice.pages);
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

static void workloads_choose(struct choice *choice, char *const *names, int count)
{
    if (count == 0)
        choice_add(choice, NULL);
    for (int i = 0; i < count; i++)
        choice_add(choice, names[i]);
    choice_check(choice);
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

static unsigned workloads_run(struct options *options)
{
    struct plan *plan = &options->plan;
    const struct choice *choice = &options->choice;
    unsigned failed = 0;
    meter_open(options->line);
    if (meter_refusal())
        fprintf(stderr, "bench: no counters: %s\n", monitor_error_words(meter_refusal()));
    report_begin(plan);
    modes_choose(plan, options->modes);
    for (unsigned i = 0; i < choice->count; i++) {
        const struct measurement *m = workload_measure(&choice->workloads[i], plan);
        report_workload(&choice->workloads[i], plan, m);
        failed += any_failed(plan, m);
    }
    report_end(choice->count, failed);
    return failed;
}

int main(int count, char **words)
{
    struct options options = {.plan = {.limit = 300, .seed = 1}, .folder = "/prog"};
    for (int letter; (letter = getopt(count, words, "lr:i:t:p:m:s:w:z:c:")) != -1;)
        option_take(&options, letter);
    choice_begin(options.folder);
    if (options.list) {
        choice_list();
        return 0;
    }
    workloads_choose(&options.choice, words + optind, count - optind);
    options.modes = modes_asked(options.modes);
    if (options.plan.repetitions == 0)
        options.plan.repetitions = options.modes ? ROUNDS : REPETITIONS;
    if (options.plan.factor == 0)
        options.plan.factor = options.modes ? ROUND_FACTOR : 1;
    return workloads_run(&options) == 0 ? 0 : 1;
}
