// See results.h.
#include <arch/lib.h>
#include <hv/log.h>

#include "results.h"
#include "../vm.h"

// What can stand in any table, in JSON and Markdown, and is no line of the monitor's: letters, digits and a
// few others.
static bool is_name_character(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c && strchr("_-.+@", c));
}

// At least one character, and a NUL behind them.
static bool name_is_good(const char *name, size_t size)
{
    size_t length = 0;
    while (length < size && is_name_character(name[length]))
        length++;
    return length > 0 && length < size && !name[length];
}

// Said once: a guest may report for ever.
static s64 refuse(struct results *r, const char *why)
{
    if (!r->refused)
        log_warn("a result of the guest is not in the table at the end: %s", why);
    r->refused = true;
    return PENUMBRA_ARGUMENT;
}

s64 results_add(struct vm *vm, const struct penumbra_result *result)
{
    struct results *r = &vm->results;
    if (!vm->compare)
        return PENUMBRA_OFF;
    if (r->count == RESULTS)
        return refuse(r, "there is no room for more");
    if (!name_is_good(result->workload, sizeof(result->workload)))
        return refuse(
            r,
            "the name of its workload is empty, too long, or has other characters than letters, digits and _-.+@");
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
