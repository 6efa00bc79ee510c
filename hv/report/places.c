// See places.h.
#include <arch/lib.h>

#include "places.h"

#define PROBES 16 // rows that are looked at

void places_init(struct places *p, struct place *rows, u64 size)
{
    memset(rows, 0, size * sizeof(*rows));
    *p = (struct places){.rows = rows, .size = size};
}

// Fibonacci hashing: the product's upper bits depend on all of the key's.
static u64 first_row(const struct places *p, u64 key, u32 reason)
{
    u64 hash = (key ^ (u64)reason << 56) * 0x9e3779b97f4a7c15ull;
    return (u64)((unsigned __int128)hash * p->size >> 64);
}

struct place *places_find(struct places *p, u64 key, u32 reason)
{
    u64 at = first_row(p, key, reason), probes = lesser(PROBES, p->size);
    for (u64 i = 0; i < probes; i++, at = at + 1 == p->size ? 0 : at + 1) {
        struct place *row = &p->rows[at];
        if (row->count && row->key == key && row->reason == reason)
            return row;
        if (!row->count) {
            *row = (struct place){.key = key, .reason = reason};
            p->used++;
            return row;
        }
    }
    return &p->elsewhere;
}

// Of places with as many exits the one whose row comes first.
static bool is_before(const struct place *a, const struct place *b)
{
    return a->count != b->count ? a->count > b->count : a < b;
}

static bool is_behind(const struct place *row, const struct place *last)
{
    return row->count && (!last || is_before(last, row));
}

const struct place *places_next(const struct places *p, const struct place *last)
{
    const struct place *next = NULL;
    for (const struct place *row = p->rows; row < p->rows + p->size; row++) {
        if (is_behind(row, last) && (!next || is_before(row, next)))
            next = row;
    }
    return next;
}

u64 places_rest(const struct places *p, const struct place *last, struct place *sum)
{
    u64 places = 0;
    *sum = (struct place){.count = 0};
    for (const struct place *row = p->rows; row < p->rows + p->size; row++) {
        if (!is_behind(row, last))
            continue;
        sum->count += row->count;
        sum->cycles += row->cycles;
        places++;
    }
    return places;
}
