// See choice.h.
#include "choice.h"
#include "proc.h"
#include "programs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUILT_IN = 0
#define WORKLOAD(...) +1
#include "workloads.def"
#undef WORKLOAD
};

static struct workload table[BUILT_IN + PROGRAMS_MAX] = {
#define WORKLOAD(NAME, GROUP, RUN, ITERATIONS, WHAT, ...) \
    {.name = NAME, .group = GROUP, .run = RUN, .iterations = ITERATIONS, .what = WHAT, ##__VA_ARGS__},
#include "workloads.def"
#undef WORKLOAD
};
static size_t table_count = BUILT_IN;

void choice_begin(const char *folder)
{
    table_count = programs_append(folder, "programs", table, BUILT_IN);
    table_count = programs_append("/rows", "whole", table, table_count);
}

void choice_list(void)
{
    for (size_t i = 0; i < table_count; i++)
        printf("%-10s %-8s %7lu  %s%s%s\n", table[i].name, table[i].group, table[i].iterations, table[i].what,
               table[i].sized ? "; -w, -z" : "", table[i].asked ? "; where asked for" : "");
}

static void take(struct choice *choice, const struct workload *w)
{
    choice->workloads = reallocarray(choice->workloads, choice->count + 1, sizeof *w);
    if (!choice->workloads)
        die("memory");
    choice->workloads[choice->count++] = *w;
}

// Its name tells its size, and its pages where they are not of 4 KiB.
static void take_sized(struct choice *choice, const struct workload *w, size_t bytes, size_t page)
{
    struct workload sized = *w;
    char set[SIZE_BYTES], pages[SIZE_BYTES], *name;
    if (asprintf(&name, page == PAGE ? "%s@%s" : "%s@%s@%s", w->name, size_words(bytes, set),
                 size_words(page, pages)) < 0)
        die("memory");
    sized.name = name;
    sized.bytes = bytes;
    sized.page = page;
    take(choice, &sized);
}

// All sizes that fit; in both usual pages where none is asked for, in the larger ones from one of them on.
static void take_sweep(struct choice *choice, const struct workload *w)
{
    static const struct sizes usual = {2, {PAGE, PAGE_2M}};
    const struct sizes *pages = choice->pages.count ? &choice->pages : &usual;
    struct sizes sets = choice->sets;
    if (sets.count == 0)
        sizes_sweep(set_most(proc_number("/proc/meminfo", "MemAvailable") * 1024), &sets);
    for (unsigned p = 0; p < pages->count; p++)
        for (unsigned s = 0; s < sets.count; s++)
            if (sets.bytes[s] >= pages->bytes[p] || choice->sets.count)
                take_sized(choice, w, sets.bytes[s], pages->bytes[p]);
}

static void take_sizes(struct choice *choice, const struct workload *w)
{
    const struct sizes own_set = {1, {w->bytes}}, own_page = {1, {w->page}};
    const struct sizes *sets = choice->sets.count ? &choice->sets : &own_set;
    const struct sizes *pages = choice->pages.count ? &choice->pages : &own_page;
    for (unsigned p = 0; p < pages->count; p++)
        for (unsigned s = 0; s < sets->count; s++)
            take_sized(choice, w, sets->bytes[s], pages->bytes[p]);
}

static void choose(struct choice *choice, const struct workload *w)
{
    if (w->sweep)
        take_sweep(choice, w);
    else if (w->sized && (choice->sets.count || choice->pages.count))
        take_sizes(choice, w);
    else
        take(choice, w);
}

void choice_add(struct choice *choice, const char *name)
{
    bool found = false, by_name = false;
    for (size_t i = 0; name && i < table_count; i++)
        by_name |= strcmp(table[i].name, name) == 0;
    for (size_t i = 0; i < table_count; i++) {
        if (name ? strcmp(by_name ? table[i].name : table[i].group, name) != 0 : table[i].asked)
            continue;
        choose(choice, &table[i]);
        found = true;
    }
    if (found)
        return;
    fprintf(stderr, "bench: there is no workload or group %s; bench -l lists them\n", name);
    exit(2);
}

void choice_check(const struct choice *choice)
{
    bool any = choice->sets.count == 0 && choice->pages.count == 0;
    for (unsigned i = 0; i < choice->count; i++)
        any |= choice->workloads[i].sized;
    if (any)
        return;
    fputs("bench: none of these workloads has a working set to choose by -w or -z; bench -l lists them\n",
          stderr);
    exit(2);
}
