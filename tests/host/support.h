// What every host test needs: cmocka with the headers it wants first, a machine memory of our own, a seeded
// random.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arch/frames.h>
#include <arch/lib.h>
#include <arch/panic.h>
#include <arch/phys.h>
#include <arch/types.h>

struct p2m;

// Makes phys_base a zeroed array of `bytes` (a multiple of 2M, mapped lazily, so it may be large), and
// `frames` an allocator of all of it but frame 0. memory_gone unmaps it.
void memory_make(u64 bytes, struct frames *frames);
void memory_gone(void);
// For a p2m: all of it is write-back (SDM vol. 3, table 12-2).
u8 memory_write_back(const struct p2m *p, mfn_t first, u64 count);

// xorshift64*, seeded from the environment variable SEED or a fixed number; the seed is printed by
// random_start, so that a failure can be had again.
void random_start(void);
// From now on the numbers are made of these bytes, and then are 0: for fuzzers.
void random_of(const u8 *bytes, size_t count);
u64 random_u64(void);
u64 random_below(u64 limit);

// A panic under test: expect_panic runs `call(argument)` and returns the panic's message, or NULL if it
// returned.
const char *expect_panic(void (*call)(void *), void *argument);
