// arch/same.c and arch/same_ymm.c: a difference in any bit is found, and the guest's registers stay as they
// are.

// link: arch/same_ymm.c tests/host/fake_cpu.c
#include "support.h"

#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/same.h>

#include "fake_cpu.h"

#define BOUND  32u // of alignment
#define BLOCKS 8u
#define EACH   0x0101010101010101ull // blocks side by side
#define USED   3u                    // registers

struct ymm {
    u64 quarter[4];
};

static u8 a[BLOCKS * SAME_BYTES + BOUND] __attribute__((aligned(BOUND)));
static u8 b[BLOCKS * SAME_BYTES + BOUND] __attribute__((aligned(BOUND)));
static bool avx_in_use;

static struct cpuid avx2_cpuid(u32 leaf, u32 subleaf)
{
    (void)subleaf;
    return leaf == 0     ? (struct cpuid){.eax = 0xd}
           : leaf == 1   ? (struct cpuid){.ecx = CPUID_1_ECX_XSAVE}
           : leaf == 7   ? (struct cpuid){.ebx = BIT(5)}
           : leaf == 0xd ? (struct cpuid){.eax = BIT(2)}
                         : (struct cpuid){0, 0, 0, 0};
}

u64 xgetbv_in_use(void)
{
    return avx_in_use ? 7 : 3;
}

// By XMM registers, and where this machine has them by YMM registers.
static int by_xmm(void **state)
{
    (void)state;
    fake_cpuid = NULL;
    same_init();
    return 0;
}

static int by_ymm(void **state)
{
    (void)state;
    if (!__builtin_cpu_supports("avx2"))
        return by_xmm(state);
    fake_cpuid = avx2_cpuid;
    fake_xcr0 = 7;
    avx_in_use = true;
    same_init();
    return 0;
}

static void fill_random(u8 *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (u8)random_u64();
}

static void make_alike(void)
{
    fill_random(a, sizeof(a));
    memcpy(b, a, sizeof(b));
}

static void each_bit_counts(void **state)
{
    (void)state;
    u8 differs[SAME_STEPS];
    fill_random(a, SAME_BYTES);
    memcpy(b, a, SAME_BYTES);
    for (size_t bit = 0; bit < SAME_BYTES * 8; bit++) {
        size_t step = bit / 8 / SAME_STEP;
        b[bit / 8] ^= (u8)(1u << bit % 8);
        assert_int_equal(same_blocks(a, b, 1), 0);
        assert_int_equal(same_blocks(b, a, 1), 0);
        assert_int_equal(same_steps(a, b, 0xff, differs), 0xff - BIT(step));
        assert_int_equal(differs[step], BIT(bit / 64 % 8));
        b[bit / 8] ^= (u8)(1u << bit % 8);
        assert_int_equal(same_blocks(a, b, 1), 1);
    }
}

static u64 same_by_bytes(const u8 *x, const u8 *y, u64 blocks)
{
    u64 same = 0;
    for (unsigned n = 0; n < 64; n++) {
        if (blocks >> n & 1 && !memcmp(x + n * SAME_STEP, y + n * SAME_STEP, SAME_BYTES))
            same |= BIT(n);
    }
    return same;
}

static void assert_steps(const u8 *x, const u8 *y, u64 steps)
{
    u8 differs[SAME_STEPS];
    u64 same = 0;
    memset(differs, 0x5a, sizeof(differs));
    u64 told = same_steps(x, y, steps, differs);
    for (unsigned n = 0; n < SAME_STEPS; n++) {
        unsigned expected = 0;
        for (unsigned i = 0; i < 8; i++)
            expected |= (unsigned)!!memcmp(x + n * SAME_STEP + i * 8, y + n * SAME_STEP + i * 8, 8) << i;
        bool asked = steps >> n & 1;
        same |= asked && !expected ? BIT(n) : 0;
        assert_int_equal(differs[n], asked && expected ? expected : 0x5a);
    }
    assert_int_equal(told, same);
}

// Any blocks that begin at any step, and a few bytes that differ.
static void blocks_are_told(void **state)
{
    (void)state;
    const u64 inside = ~0ull >> 7; // these end where the memory ends
    for (unsigned round = 0; round < 2000; round++) {
        u8 *x = a + random_below(2) * BOUND, *y = b + random_below(2) * BOUND;
        fill_random(x, BLOCKS * SAME_BYTES);
        memcpy(y, x, BLOCKS * SAME_BYTES);
        for (unsigned i = random_below(4); i > 0; i--)
            y[random_below(BLOCKS * SAME_BYTES)] ^= 1u << random_below(8);
        u64 blocks = random_u64() & (random_below(2) ? EACH : inside);
        assert_int_equal(same_blocks(x, y, blocks), same_by_bytes(x, y, blocks));
        assert_steps(x, y, random_u64());
    }
    assert_int_equal(same_blocks(a, b, 0), 0);
}

static u8 told[SAME_STEPS];

static u64 same_each(bool by_steps)
{
    return by_steps ? same_steps(a, b, EACH, told) : same_blocks(a, b, EACH);
}

// In one function, between whose asm the compiler keeps nothing in the registers.
static u64 same_between_xmm(const struct ymm *before, struct ymm *after, bool by_steps)
{
    __asm__ volatile("movdqu %0, %%xmm0\n movdqu %1, %%xmm1\n movdqu %2, %%xmm2"
                     :
                     : "m"(before[0]), "m"(before[1]), "m"(before[2])
                     : "xmm0", "xmm1", "xmm2");
    u64 same = same_each(by_steps);
    __asm__ volatile("movdqu %%xmm0, %0\n movdqu %%xmm1, %1\n movdqu %%xmm2, %2"
                     : "=m"(after[0]), "=m"(after[1]), "=m"(after[2]));
    return same;
}

static void registers_stay(void **state)
{
    (void)state;
    struct ymm before[USED], after[USED];
    make_alike();
    for (unsigned round = 0; round < 100; round++) {
        fill_random((u8 *)before, sizeof(before));
        memcpy(after, before, sizeof(before)); // the upper halves
        a[0] ^= round & 1;
        assert_int_equal(same_between_xmm(before, after, round & 2), EACH - (a[0] != b[0]));
        assert_memory_equal(before, after, sizeof(before));
    }
}

static __attribute__((target("avx2"))) u64 same_between_ymm(const struct ymm *before, struct ymm *after,
                                                            bool by_steps)
{
    __asm__ volatile("vmovdqu %0, %%ymm0\n vmovdqu %1, %%ymm1\n vmovdqu %2, %%ymm2"
                     :
                     : "m"(before[0]), "m"(before[1]), "m"(before[2])
                     : "xmm0", "xmm1", "xmm2");
    u64 same = same_each(by_steps);
    __asm__ volatile("vmovdqu %%ymm0, %0\n vmovdqu %%ymm1, %1\n vmovdqu %%ymm2, %2\n vzeroupper"
                     : "=m"(after[0]), "=m"(after[1]), "=m"(after[2])
                     :
                     : "xmm0", "xmm1", "xmm2");
    return same;
}

// Upper halves that are not in use are zeros, before and after.
static void upper_halves_stay(void **state)
{
    (void)state;
    struct ymm before[USED], after[USED];
    make_alike();
    for (unsigned round = 0; round < 100 && fake_cpuid; round++) {
        fill_random((u8 *)before, sizeof(before));
        avx_in_use = round & 1;
        for (unsigned i = 0; i < USED && !avx_in_use; i++)
            before[i].quarter[2] = before[i].quarter[3] = 0;
        assert_int_equal(same_between_ymm(before, after, round & 2), EACH);
        assert_memory_equal(before, after, sizeof(before));
    }
}

// XCR0 is the guest's: without AVX in it an instruction with YMM registers raises #UD. This machine has it:
// so its upper halves stay if none of these is used, and would be zeros after one that ends AVX' use.
static void xcr0_decides(void **state)
{
    (void)state;
    struct ymm before[USED], after[USED];
    make_alike();
    fill_random((u8 *)before, sizeof(before));
    fake_xcr0 = 3;
    avx_in_use = false;
    if (!fake_cpuid)
        return;
    for (unsigned by_steps = 0; by_steps < 2; by_steps++) {
        assert_int_equal(same_between_ymm(before, after, by_steps), EACH);
        assert_memory_equal(before, after, sizeof(before));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_bit_counts, by_xmm),   cmocka_unit_test_setup(each_bit_counts, by_ymm),
        cmocka_unit_test_setup(blocks_are_told, by_xmm),   cmocka_unit_test_setup(blocks_are_told, by_ymm),
        cmocka_unit_test_setup(registers_stay, by_xmm),    cmocka_unit_test_setup(registers_stay, by_ymm),
        cmocka_unit_test_setup(upper_halves_stay, by_ymm), cmocka_unit_test_setup(xcr0_decides, by_ymm),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
