// The part of a C library that the monitor has. The functions of <string.h> declared here are in arch/lib.c;
// host tests use the C library's own. Formatting is ours on both sides, so that it is tested where it is
// used.
#pragma once

#include <arch/types.h>
#include <stdarg.h>
#include <string.h> // declarations only: memcpy memmove memset memcmp strlen strcmp strncmp strchr

// Formats like vsnprintf: flags `-` and `0`, width, precision for %s, `*`; l, ll and z; d u x X c s p and %.
// Always ends `buffer` (size bytes, at least 1) with a NUL and returns the length the whole text has.
int fmtv(char *buffer, size_t size, const char *format, va_list args);
int fmt(char *buffer, size_t size, const char *format, ...) printf_like(3);

// Ends a text in "..." of which fmt said that its length is more than fits.
void fmt_mark_cut(char *buffer, size_t size, int length);

// Reads an unsigned number: decimal, or hexadecimal after 0x; with an optional suffix K, M or G (powers of
// 1024). The whole of `text` must be the number. False when it is not, or when it does not fit.
bool parse_number(const char *text, u64 *value) must_check;

static inline u64 lesser(u64 a, u64 b)
{
    return a < b ? a : b;
}

// The next of a sequence of numbers below `limit` (xorshift64*), which *state, not 0, begins: as good as
// random for tests, and the same for the same beginning.
static inline u64 random_next(u64 *state, u64 limit)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * 0x2545f4914f6cdd1dull >> 16) % limit;
}
