// What same.c and same_ymm.c have in common.
#pragma once

#include <arch/same.h>

// The next of `left`, or the end at 3. Operands: a, b, left, same; n and at are for its own use, at is where
// the next begins.
#define NEXT "1: bsfq %[left], %[n]; jz 3f; btrq %[n], %[left]; movq %[n], %[at]; shlq $6, %[at];"

// For each block of `left`: `compare` sets ZF if it is the same.
#define EACH_BLOCK(compare) NEXT compare "jnz 1b; btsq %[n], %[same]; jmp 1b; 3:"

// For each step of `left`: `compare` makes `which` the quadwords that differ, in its own way, and sets ZF if
// none does; `bits` makes of it a bit for each. `more` is for their own use.
#define EACH_STEP(compare, bits) \
    NEXT compare "jz 2f;" bits "movb %b[which], (%[differs],%[n]); jmp 1b; 2: btsq %[n], %[same]; jmp 1b; 3:"

// By YMM registers.
struct same_wide {
    u64 (*blocks)(const void *a, const void *b, u64 blocks);
    u64 (*steps)(const void *a, const void *b, u64 steps, u8 *differs);
};

// What uses them, if the guest has them enabled; NULL: not here.
extern const struct same_wide *same_wide;

u64 same_by_xmm(const void *a, const void *b, u64 blocks);
u64 same_steps_by_xmm(const void *a, const void *b, u64 steps, u8 *differs);
