// Sizes of memory in words, such as 64M or 1536K, and which working sets there are to measure.
#pragma once
#include "bench.h"

enum { SIZES_MAX = 96 };

struct sizes {
    unsigned count;
    size_t bytes[SIZES_MAX];
};

// Reads words that '/' or ',' joins. False: one is no number with K, M, G or T behind it, is 0, or no
// multiple of 4 KiB, or they are too many.
bool sizes_parse(const char *text, struct sizes *sizes);

// The powers of two, and three halves of them, from 4 KiB to `most`.
void sizes_sweep(size_t most, struct sizes *sizes);

// The largest working set, in pages of the kernel's choice, for so much free memory; and how much must be
// free for a working set.
size_t set_most(size_t available);
size_t set_needs(size_t bytes);

// "64M" into a text of SIZE_BYTES.
enum { SIZE_BYTES = 32 };
const char *size_words(size_t bytes, char *text);
