// What same.c and same_ymm.c have in common.
#pragma once

#include <arch/same.h>

// For each block of `left`: `compare` sets ZF if it is the same. Operands: a, b, left, same; n and at are for
// its own use, at is where the block begins.
#define EACH_BLOCK(compare)                                                                       \
    "1: bsfq %[left], %[n]; jz 3f; btrq %[n], %[left]; movq %[n], %[at]; shlq $6, %[at];" compare \
    "jnz 1b; btsq %[n], %[same]; jmp 1b; 3:"

// Blocks compared by YMM registers if the guest has them enabled. NULL: not here.
extern u64 (*same_wide)(const void *a, const void *b, u64 blocks);

u64 same_by_xmm(const void *a, const void *b, u64 blocks);
