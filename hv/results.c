// See results.h.
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
