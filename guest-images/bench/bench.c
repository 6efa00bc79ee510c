// bench: measures workloads that stress what a monitor makes dearer: system calls, processes, memory. Each
// workload runs in a process of its own, so that none sees what another left; one line of JSON each, in TSC
// cycles (instructions, in an emulator whose TSC counts them). Does not know the workloads: the table
// workloads.def and the other files do.
#include "bench.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPETITIONS_MAX = 1000, WARM_UP_SHARE = 4, HUGE_PAGE = 2 * MIB };

static const struct workload workloads[] = {
#define WORKLOAD(...) {__VA_ARGS__},
#include "workloads.def"
#undef WORKLOAD
};
enum { WORKLOADS = sizeof workloads / sizeof *workloads };

void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    _exit(1);
}

unsigned char *memory_map(size_t bytes, bool huge)
{
    size_t room = bytes + HUGE_PAGE;
    unsigned char *memory = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    memory += -(uintptr_t)memory % HUGE_PAGE;
    if (madvise(memory, bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) != 0)
        die("madvise");
    return memory;
}

void child_wait(pid_t child)
{
    int status;
    if (child < 0)
        die("fork");
    if (waitpid(child, &status, 0) != child)
        die("waitpid");
    errno = ECHILD;
    if (status != 0)
        die("a child failed");
}

static uint64_t tsc_read(void)
{
    uint32_t low, high;
    __asm__ volatile("lfence\n\trdtsc\n\tlfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static int cycles_compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static double cycles_median(const uint64_t *cycles, unsigned count)
{
    static uint64_t sorted[REPETITIONS_MAX];
    memcpy(sorted, cycles, count * sizeof *cycles);
    qsort(sorted, count, sizeof *sorted, cycles_compare);
    return ((double)sorted[(count - 1) / 2] + (double)sorted[count / 2]) / 2;
}

static void result_print(const struct workload *w, unsigned long iterations, const uint64_t *cycles,
                         unsigned count)
{
    printf("{\"bench\":\"%s\",\"iterations\":%lu,\"cycles\":[", w->name, iterations);
    for (unsigned i = 0; i < count; i++)
        printf("%s%llu", i ? "," : "", (unsigned long long)cycles[i]);
    printf("],\"median_per_iteration\":%.1f}\n", cycles_median(cycles, count) / (double)iterations);
}

static void workload_measure(const struct workload *w, unsigned repetitions, double factor)
{
    static uint64_t cycles[REPETITIONS_MAX];
    double wanted = (double)w->iterations * factor;
    unsigned long iterations = wanted < 1 ? 1 : (unsigned long)wanted;
    if (w->setup)
        w->setup(w->argument);
    w->run(iterations < WARM_UP_SHARE ? 1 : iterations / WARM_UP_SHARE);
    for (unsigned i = 0; i < repetitions; i++) {
        uint64_t before = tsc_read();
        w->run(iterations);
        cycles[i] = tsc_read() - before;
    }
    if (w->finish)
        w->finish();
    result_print(w, iterations, cycles, repetitions);
}

static bool workload_run(const struct workload *w, unsigned repetitions, double factor)
{
    int status;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        workload_measure(w, repetitions, factor);
        fflush(stdout);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        die("fork");
    if (status != 0)
        printf("{\"bench\":\"%s\",\"error\":\"wait status %d\"}\n", w->name, status);
    return status == 0;
}

static void workloads_list(void)
{
    for (unsigned i = 0; i < WORKLOADS; i++)
        printf("%-10s %7lu  %s%s\n", workloads[i].name, workloads[i].iterations, workloads[i].what,
               workloads[i].by_name_only ? " (only when named)" : "");
}

static const struct workload *workload_find(const char *name)
{
    for (unsigned i = 0; i < WORKLOADS; i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    fprintf(stderr, "bench: no workload %s; bench -l lists them\n", name);
    exit(2);
}

static void usage(void)
{
    fprintf(stderr, "usage: bench [-r REPETITIONS] [-i FACTOR] [NAME...]   FACTOR multiplies the iterations\n"
                    "       bench -l   lists names, iterations of a repetition, and what one is\n");
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

int main(int count, char **words)
{
    unsigned repetitions = 3;
    double factor = 1;
    bool good = true;
    for (int option; (option = getopt(count, words, "lr:i:")) != -1;) {
        if (option == 'l') {
            workloads_list();
            return 0;
        } else if (option == 'r') {
            repetitions = (unsigned)number_parse(optarg, 1, REPETITIONS_MAX);
        } else if (option == 'i') {
            factor = number_parse(optarg, 0.0001, 10000);
        } else {
            usage();
        }
    }
    for (int i = optind; i < count; i++)
        workload_find(words[i]);
    for (int i = optind; i < count; i++)
        good &= workload_run(workload_find(words[i]), repetitions, factor);
    for (unsigned i = 0; optind == count && i < WORKLOADS; i++)
        if (!workloads[i].by_name_only)
            good &= workload_run(&workloads[i], repetitions, factor);
    return good ? 0 : 1;
}
