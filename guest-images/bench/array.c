// Workloads of plain arrays: updates at random places of a table (GUPS, as the HPC Challenge has it), and as
// the counter-example, which every prefetcher and page-walk cache likes, one access a page in order, and
// reading and writing one word after the other (STREAM's triad).
#include "bench.h"
#include "random.h"

enum { LINE = 64, SEED = 1 };

static uint64_t *gups_table;
static size_t gups_words;
static uint64_t gups_random = SEED;
static unsigned long gups_done;

void gups_setup(struct workload *own)
{
    gups_table = set_make(own);
    gups_words = own->bytes / sizeof *gups_table;
    for (size_t i = 0; i < gups_words; i++)
        gups_table[i] = i;
}

static void updates_make(uint64_t *random, unsigned long count)
{
    while (count--) {
        uint64_t number = random_next(random);
        gups_table[random_place(number, gups_words)] ^= number;
    }
}

void gups_run(unsigned long iterations)
{
    updates_make(&gups_random, iterations);
    gups_done += iterations;
}

// The same updates once more take all of them back.
void gups_finish(void)
{
    uint64_t random = SEED;
    updates_make(&random, gups_done);
    for (size_t i = 0; i < gups_words; i++)
        if (gups_table[i] != i)
            fail("an update was lost");
}

static unsigned char *stride_memory;
static size_t stride_pages;

static uint64_t *stride_word(size_t page)
{
    return (uint64_t *)(stride_memory + page * PAGE + page * LINE % PAGE);
}

void stride_setup(struct workload *own)
{
    stride_memory = set_make(own);
    stride_pages = own->operations = own->bytes / PAGE;
    for (size_t i = 0; i < stride_pages; i++)
        *stride_word(i) = i;
}

void stride_run(unsigned long iterations)
{
    while (iterations--) {
        uint64_t sum = 0;
        for (size_t i = 0; i < stride_pages; i++)
            sum += *(volatile uint64_t *)stride_word(i);
        if (sum != (uint64_t)stride_pages * (stride_pages - 1) / 2)
            fail("the pages' sum is wrong");
    }
}

static double *stream_a, *stream_b, *stream_c;
static size_t stream_words;

void stream_setup(struct workload *own)
{
    stream_words = own->operations = own->bytes / sizeof *stream_a / 3;
    stream_a = set_make(own);
    stream_b = stream_a + stream_words;
    stream_c = stream_b + stream_words;
    for (size_t i = 0; i < stream_words; i++) {
        stream_b[i] = (double)i;
        stream_c[i] = (double)(i % 1000);
    }
}

void stream_run(unsigned long iterations)
{
    while (iterations--) {
        for (size_t i = 0; i < stream_words; i++)
            stream_a[i] = stream_b[i] + 3 * stream_c[i];
        __asm__ volatile("" : : : "memory");
    }
}

void stream_finish(void)
{
    for (size_t i = 0; i < stream_words; i++)
        if (stream_a[i] != (double)(i + 3 * (i % 1000)))
            fail("the triad is wrong");
}
