// The same by YMM registers: half the instructions. XCR0 allows them or not, and is the guest's.
#include <arch/cpu.h>
#include <arch/io.h>

#include "same_loop.h"

#define LEAF_STRUCTURED 7u
#define EBX_AVX2        BIT(5)
#define LEAF_XSAVE      0xdu
#define EAX_XGETBV_1    BIT(2)

#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)

// YMM1 has the bits in which some differ.
#define COMPARE_32(at)                              \
    "vmovdqa " at "(%[a],%[at]), %%ymm0; vpxor " at \
    "(%[b],%[at]), %%ymm0, %%ymm0; vpor %%ymm0, %%ymm1, %%ymm1;"
#define COMPARE_128(at) COMPARE_32(at) COMPARE_32(at "+32") COMPARE_32(at "+64") COMPARE_32(at "+96")
#define COMPARE_512     COMPARE_128("0") COMPARE_128("128") COMPARE_128("256") COMPARE_128("384")
#define COMPARE         "vpxor %%ymm1, %%ymm1, %%ymm1;" COMPARE_512
#define SETS_ZF         "vptest %%ymm1, %%ymm1;"

#define SAVE    "vmovdqu %%ymm0, %[ymm0]; vmovdqu %%ymm1, %[ymm1];"
#define RESTORE "vmovdqu %[ymm0], %%ymm0; vmovdqu %[ymm1], %%ymm1;"
#define END_USE "testb %[in_use], %[in_use]; jnz 4f; vzeroupper; 4:"

#define EQUAL_32(at, y) "vmovdqa " at "(%[a],%[at]), " y "; vpcmpeqq " at "(%[b],%[at]), " y ", " y ";"
#define EQUAL_64        EQUAL_32("0", "%%ymm0") EQUAL_32("32", "%%ymm1")
#define DIFFERING                                                                                          \
    "vmovmskpd %%ymm0, %k[which]; vmovmskpd %%ymm1, %k[more]; shll $4, %k[more]; orl %k[more], %k[which];" \
    "xorl $0xff, %k[which];"

// AVX state that was not in use is not in use afterwards: its upper halves are zeros.
static u64 same_by_ymm(const void *a, const void *b, u64 left)
{
    struct {
        u64 quarter[4];
    } ymm0, ymm1;
    u64 same = 0, n, at;
    bool in_use = xgetbv_in_use() & XCR0_AVX;
    asm volatile(SAVE EACH_BLOCK(COMPARE SETS_ZF) RESTORE END_USE
                 : [same] "+r"(same), [left] "+r"(left), [n] "=&r"(n), [at] "=&r"(at), [ymm0] "=m"(ymm0),
                   [ymm1] "=m"(ymm1)
                 : [a] "r"(a), [b] "r"(b), [in_use] "q"(in_use)
                 : "memory", "cc");
    return same;
}

static u64 same_steps_by_ymm(const void *a, const void *b, u64 left, u8 *differs)
{
    struct {
        u64 quarter[4];
    } ymm0, ymm1;
    u64 same = 0, n, at, which, more;
    bool in_use = xgetbv_in_use() & XCR0_AVX;
    asm volatile(SAVE EACH_STEP(EQUAL_64 DIFFERING, "") RESTORE END_USE
                 : [same] "+r"(same), [left] "+r"(left), [n] "=&r"(n), [at] "=&r"(at), [which] "=&q"(which),
                   [more] "=&r"(more), [ymm0] "=m"(ymm0), [ymm1] "=m"(ymm1)
                 : [a] "r"(a), [b] "r"(b), [differs] "r"(differs), [in_use] "q"(in_use)
                 : "memory", "cc");
    return same;
}

static bool are_enabled(void)
{
    const u64 enabled = XCR0_SSE | XCR0_AVX;
    return (xgetbv() & enabled) == enabled;
}

static u64 blocks_by_enabled(const void *a, const void *b, u64 blocks)
{
    return are_enabled() ? same_by_ymm(a, b, blocks) : same_by_xmm(a, b, blocks);
}

static u64 steps_by_enabled(const void *a, const void *b, u64 steps, u8 *differs)
{
    return are_enabled() ? same_steps_by_ymm(a, b, steps, differs) : same_steps_by_xmm(a, b, steps, differs);
}

void same_init(void)
{
    static const struct same_wide by_enabled = {blocks_by_enabled, steps_by_enabled};
    bool has_ymm = cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE && cpuid(0, 0).eax >= LEAF_XSAVE &&
                   cpuid(LEAF_STRUCTURED, 0).ebx & EBX_AVX2 && cpuid(LEAF_XSAVE, 1).eax & EAX_XGETBV_1;
    same_wide = has_ymm ? &by_enabled : NULL;
}
