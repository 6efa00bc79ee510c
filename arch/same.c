// Memory compared by XMM registers, where same_ymm.c has nothing wider. All other code of the monitor's does
// without them (-mgeneral-regs-only), so that the guest's values stay in them. Its CR0 and CR4 allow SSE2,
// which each processor with long mode has. See same.h.
#include "same_loop.h"

u64 (*same_wide)(const void *a, const void *b, u64 blocks);

// Of each doubleword that is the same XMM0 gets ones; XMM1 has what all have.
#define COMPARE_16(at) \
    "movdqa " at "(%[a],%[at]), %%xmm0; pcmpeqd " at "(%[b],%[at]), %%xmm0; pand %%xmm0, %%xmm1;"
#define COMPARE_64(at)  COMPARE_16(at) COMPARE_16(at "+16") COMPARE_16(at "+32") COMPARE_16(at "+48")
#define COMPARE_256(at) COMPARE_64(at) COMPARE_64(at "+64") COMPARE_64(at "+128") COMPARE_64(at "+192")
#define COMPARE         "pcmpeqd %%xmm1, %%xmm1;" COMPARE_256("0") COMPARE_256("256")
#define SETS_ZF         "pmovmskb %%xmm1, %k[at]; cmpl $0xffff, %k[at];"

#define SAVE    "movdqu %%xmm0, %[xmm0]; movdqu %%xmm1, %[xmm1];"
#define RESTORE "movdqu %[xmm0], %%xmm0; movdqu %[xmm1], %%xmm1;"

// One asm, so that the registers are as they were at its end.
u64 same_by_xmm(const void *a, const void *b, u64 left)
{
    struct {
        u64 half[2];
    } xmm0, xmm1;
    u64 same = 0, n, at;
    asm volatile(SAVE EACH_BLOCK(COMPARE SETS_ZF) RESTORE
                 : [same] "+r"(same), [left] "+r"(left), [n] "=&r"(n), [at] "=&r"(at), [xmm0] "=m"(xmm0),
                   [xmm1] "=m"(xmm1)
                 : [a] "r"(a), [b] "r"(b)
                 : "memory", "cc");
    return same;
}

u64 same_blocks(const void *a, const void *b, u64 blocks)
{
    return same_wide ? same_wide(a, b, blocks) : same_by_xmm(a, b, blocks);
}
