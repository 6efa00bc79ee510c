// The little arithmetic on measurements that bench does itself; the report on the host does the rest.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Sorts the values, smallest first.
void values_sort(uint64_t *values, size_t count);

// The middle of sorted values; of an even number, the mean of the two in the middle. At least one value.
double values_median(const uint64_t *sorted, size_t count);

// What was counted between two readings, without what reading costs. Readings disturb by a little more or
// less each time, so what would be negative is 0.
uint64_t counted_between(uint64_t before, uint64_t after, uint64_t cost);
