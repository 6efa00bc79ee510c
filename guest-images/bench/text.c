// Workloads of programs that read and write a file: sort and gzip, the guest's busybox, on lines of random
// numbers in tmpfs.
#include "bench.h"
#include "random.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT   "/tmp/bench.text"
#define SORTED "/tmp/bench.sorted"
#define PACKED "/tmp/bench.gz"

static uint64_t text_sum; // of the lines' numbers
static size_t text_lines;

static FILE *text_open(const char *name, const char *how)
{
    FILE *file = fopen(name, how);
    if (!file)
        die(name);
    return file;
}

void text_setup(struct workload *own)
{
    uint64_t random = 1;
    FILE *out = text_open(TEXT, "w");
    text_lines = own->argument;
    for (size_t i = 0; i < text_lines; i++) {
        uint64_t number = random_next(&random);
        fprintf(out, "%016llx line %zu\n", (unsigned long long)number, i);
        text_sum += number;
    }
    if (fclose(out) != 0)
        die(TEXT);
}

// Whether the lines are those of the text, in order if they should be.
static void lines_check(FILE *in, bool sorted)
{
    char line[128], before[128] = "";
    size_t lines = 0;
    uint64_t sum = 0;
    for (; fgets(line, sizeof line, in); lines++) {
        sum += strtoull(line, NULL, 16);
        if (sorted && strcmp(before, line) > 0)
            fail("lines are not sorted");
        strcpy(before, line);
    }
    if (lines != text_lines || sum != text_sum)
        fail("lines were lost");
}

void sort_run(unsigned long iterations)
{
    static char *const words[] = {"/usr/bin/sort", "-o", SORTED, TEXT, NULL};
    while (iterations--)
        program_run(words);
}

void sort_finish(void)
{
    FILE *in = text_open(SORTED, "r");
    lines_check(in, true);
    fclose(in);
}

void gzip_run(unsigned long iterations)
{
    static char *const words[] = {"/bin/sh", "-c", "exec /bin/gzip -c " TEXT " >" PACKED, NULL};
    while (iterations--)
        program_run(words);
}

void gzip_finish(void)
{
    FILE *in = popen("/bin/gzip -d -c <" PACKED, "r");
    if (!in)
        die("gzip");
    lines_check(in, false);
    if (pclose(in) != 0)
        fail("gzip cannot unpack what it has packed");
}
