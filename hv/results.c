// See results.h.
#include <arch/lib.h>

#include "results.h"
#include "vm.h"

// Printable ASCII that ends in a NUL, at least one character, none that JSON must escape.
static bool name_is_good(const char *name, size_t size)
{
    size_t length = 0;
    for (; length < size && name[length]; length++) {
        char c = name[length];
        if (c < ' ' || c > '~' || c == '"' || c == '\\')
            return false;
    }
    return length > 0 && length < size;
}

s64 results_add(struct vm *vm, const struct penumbra_result *result)
{
    struct results *r = &vm->results;
    if (!vm->compare)
        return PENUMBRA_OFF;
    if (r->count == RESULTS || !name_is_good(result->workload, sizeof(result->workload)))
        return PENUMBRA_ARGUMENT;
    r->rows[r->count++] = *result;
    return 0;
}

struct penumbra_result *results_find(struct results *results, const char *workload)
{
    for (unsigned i = 0; i < results->count; i++) {
        if (!strcmp(results->rows[i].workload, workload))
            return &results->rows[i];
    }
    return NULL;
}

// The numbers are a guest's: whatever they are, nothing here depends on them.
static void pool_row(struct penumbra_result *all, const struct penumbra_result *run)
{
    u64 repetitions = all->repetitions + run->repetitions;
    if (!repetitions)
        return;
    all->median = (all->median * all->repetitions + run->median * run->repetitions) / repetitions;
    all->repetitions = repetitions;
    all->lowest = run->lowest < all->lowest ? run->lowest : all->lowest;
    all->highest = run->highest > all->highest ? run->highest : all->highest;
    all->exits += run->exits;
}

void results_pool(struct results *all, const struct results *run)
{
    for (unsigned i = 0; i < run->count; i++) {
        const struct penumbra_result *row = &run->rows[i];
        struct penumbra_result *known = results_find(all, row->workload);
        if (!known && all->count < RESULTS)
            all->rows[all->count++] = *row;
        else if (known && !known->repetitions)
            *known = *row;
        else if (known && row->repetitions && row->iterations == known->iterations)
            pool_row(known, row);
    }
}
