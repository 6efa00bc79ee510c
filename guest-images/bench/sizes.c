// See sizes.h.
#include "sizes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char UNITS[] = "KMGT", JOINTS[] = "/,";

// 0: it is none.
static size_t size_parse(const char *text)
{
    char *end;
    unsigned long long number = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(UNITS, *end) : NULL;
    if (*text < '0' || *text > '9' || !unit || (end[1] != '\0' && !strchr(JOINTS, end[1])))
        return 0;
    unsigned shift = 10 * (unsigned)(unit - UNITS + 1);
    return number < 1ull << (62 - shift) ? (size_t)number << shift : 0;
}

bool sizes_parse(const char *text, struct sizes *sizes)
{
    sizes->count = 0;
    for (const char *word = text, *joint; word; word = joint ? joint + 1 : NULL) {
        size_t bytes = size_parse(word);
        joint = strpbrk(word, JOINTS);
        if (bytes == 0 || bytes % PAGE != 0 || sizes->count == SIZES_MAX)
            return false;
        sizes->bytes[sizes->count++] = bytes;
    }
    return true;
}

void sizes_sweep(size_t most, struct sizes *sizes)
{
    sizes->count = 0;
    for (size_t power = PAGE; power <= most && sizes->count + 2 <= SIZES_MAX; power *= 2) {
        sizes->bytes[sizes->count++] = power;
        if (power / 2 * 3 % PAGE == 0 && power / 2 * 3 <= most)
            sizes->bytes[sizes->count++] = power / 2 * 3;
    }
}

// The process itself, its page tables, and what the kernel wants to keep free.
enum { SET_SHARE = 8, SET_REST = 8 * MIB };

size_t set_needs(size_t bytes)
{
    return bytes + bytes / SET_SHARE + SET_REST;
}

size_t set_most(size_t available)
{
    return available < SET_REST ? 0 : (available - SET_REST) / (SET_SHARE + 1) * SET_SHARE;
}

const char *size_words(size_t bytes, char *text)
{
    unsigned unit = 0;
    for (bytes /= 1024; bytes % 1024 == 0 && bytes && UNITS[unit + 1]; unit++)
        bytes /= 1024;
    snprintf(text, SIZE_BYTES, "%zu%c", bytes, UNITS[unit]);
    return text;
}
