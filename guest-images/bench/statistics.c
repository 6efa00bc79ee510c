// See statistics.h. Pure functions, tested on the host (tests/host/test_bench.c).
#include "statistics.h"
#include <stdlib.h>

static int value_compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

void values_sort(uint64_t *values, size_t count)
{
    qsort(values, count, sizeof *values, value_compare);
}

double values_median(const uint64_t *sorted, size_t count)
{
    return ((double)sorted[(count - 1) / 2] + (double)sorted[count / 2]) / 2;
}

uint64_t counted_between(uint64_t before, uint64_t after, uint64_t cost)
{
    uint64_t counted = after > before ? after - before : 0;
    return counted > cost ? counted - cost : 0;
}
