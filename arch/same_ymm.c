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

static u64 same_by_enabled(const void *a, const void *b, u64 blocks)
{
    const u64 enabled = XCR0_SSE | XCR0_AVX;
    return (xgetbv() & enabled) == enabled ? same_by_ymm(a, b, blocks) : same_by_xmm(a, b, blocks);
}

void same_init(void)
{
    bool has_ymm = cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE && cpuid(0, 0).eax >= LEAF_XSAVE &&
                   cpuid(LEAF_STRUCTURED, 0).ebx & EBX_AVX2 && cpuid(LEAF_XSAVE, 1).eax & EAX_XGETBV_1;
    same_wide = has_ymm ? same_by_enabled : NULL;
}
