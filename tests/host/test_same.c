// arch/same.c: a difference in any bit is found, and the guest's XMM registers stay as they are.
#include "support.h"

#include <arch/same.h>

#define BOUND 16u // of alignment

struct xmm {
    u64 half[2];
};

static u8 a[2 * SAME_BYTES] __attribute__((aligned(BOUND))),
    b[3 * SAME_BYTES] __attribute__((aligned(BOUND)));

static void fill_random(u8 *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (u8)random_u64();
}

static void each_bit_counts(void **state)
{
    (void)state;
    fill_random(a, SAME_BYTES);
    memcpy(b, a, SAME_BYTES);
    for (size_t bit = 0; bit < SAME_BYTES * 8; bit++) {
        b[bit / 8] ^= (u8)(1u << bit % 8);
        assert_false(same_bytes(a, b));
        assert_false(same_bytes(b, a));
        b[bit / 8] ^= (u8)(1u << bit % 8);
        assert_true(same_bytes(a, b));
    }
}

static void what_is_beside_does_not_count(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        u8 *x = a + random_below(SAME_BYTES / BOUND) * BOUND,
           *y = b + random_below(SAME_BYTES / BOUND) * BOUND;
        fill_random(a, sizeof(a));
        fill_random(b, sizeof(b));
        memcpy(y, x, SAME_BYTES);
        assert_true(same_bytes(x, y));
    }
}

// In one function, between whose asm the compiler keeps nothing in the registers.
static bool same_between(const struct xmm *before, struct xmm *after)
{
    __asm__ volatile("movdqu %0, %%xmm0\n movdqu %1, %%xmm1"
                     :
                     : "m"(before[0]), "m"(before[1])
                     : "xmm0", "xmm1");
    bool same = same_bytes(a, b);
    __asm__ volatile("movdqu %%xmm0, %0\n movdqu %%xmm1, %1" : "=m"(after[0]), "=m"(after[1]));
    return same;
}

static void registers_stay(void **state)
{
    (void)state;
    struct xmm before[2], after[2];
    fill_random(a, SAME_BYTES);
    memcpy(b, a, SAME_BYTES);
    for (unsigned round = 0; round < 100; round++) {
        fill_random((u8 *)before, sizeof(before));
        a[0] ^= round & 1;
        assert_int_equal(same_between(before, after), (a[0] == b[0]));
        assert_memory_equal(before, after, sizeof(before));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bit_counts),
        cmocka_unit_test(what_is_beside_does_not_count),
        cmocka_unit_test(registers_stay),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
