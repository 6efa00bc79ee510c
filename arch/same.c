// Memory compared by XMM registers, where same_ymm.c has nothing wider. All other code of the monitor's does
// without them (-mgeneral-regs-only), so that the guest's values stay in them. Its CR0 and CR4 allow SSE2,
// which each processor with long mode has. See same.h.
#include "same_loop.h"

const struct same_wide *same_wide;

// Of each doubleword that is the same XMM0 gets ones; XMM1 has what all have.
#define COMPARE_16(at) \
    "movdqa " at "(%[a],%[at]), %%xmm0; pcmpeqd " at "(%[b],%[at]), %%xmm0; pand %%xmm0, %%xmm1;"
#define COMPARE_64(at)  COMPARE_16(at) COMPARE_16(at "+16") COMPARE_16(at "+32") COMPARE_16(at "+48")
#define COMPARE_256(at) COMPARE_64(at) COMPARE_64(at "+64") COMPARE_64(at "+128") COMPARE_64(at "+192")
#define COMPARE         "pcmpeqd %%xmm1, %%xmm1;" COMPARE_256("0") COMPARE_256("256")
#define SETS_ZF         "pmovmskb %%xmm1, %k[at]; cmpl $0xffff, %k[at];"

#define SAVE    "movdqu %%xmm0, %[xmm0]; movdqu %%xmm1, %[xmm1];"
#define RESTORE "movdqu %[xmm0], %%xmm0; movdqu %[xmm1], %%xmm1;"

// Doublewords that are the same, as bytes of ones in XMM0; of each quadword that differs two bits then, of
// which at least one is set.
#define EQUAL_16(at, x)          "movdqa " at "(%[a],%[at]), " x "; pcmpeqd " at "(%[b],%[at]), " x ";"
#define EQUAL_32(at, next, x, y) EQUAL_16(at, x) EQUAL_16(next, y) "packssdw " y ", " x ";"
#define EQUAL_64                            \
    EQUAL_32("0", "16", "%%xmm0", "%%xmm1") \
    EQUAL_32("32", "48", "%%xmm1", "%%xmm2") "packsswb %%xmm1, %%xmm0;"
#define DIFFERING "pmovmskb %%xmm0, %k[which]; xorl $0xffff, %k[which];"
#define FOLD(shift, mask) \
    "movl %k[which], %k[more]; shrl $" shift ", %k[more]; orl %k[more], %k[which]; andl $" mask ", %k[which];"
#define BITS FOLD("1", "0x5555") FOLD("1", "0x3333") FOLD("2", "0x0f0f") FOLD("4", "0xff")

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

u64 same_steps_by_xmm(const void *a, const void *b, u64 left, u8 *differs)
{
    struct {
        u64 half[2];
    } xmm0, xmm1, xmm2;
    u64 same = 0, n, at, which, more;
    asm volatile(SAVE "movdqu %%xmm2, %[xmm2];" EACH_STEP(EQUAL_64 DIFFERING, BITS) RESTORE
                 "movdqu %[xmm2], %%xmm2;"
                 : [same] "+r"(same), [left] "+r"(left), [n] "=&r"(n), [at] "=&r"(at), [which] "=&q"(which),
                   [more] "=&r"(more), [xmm0] "=m"(xmm0), [xmm1] "=m"(xmm1), [xmm2] "=m"(xmm2)
                 : [a] "r"(a), [b] "r"(b), [differs] "r"(differs)
                 : "memory", "cc");
    return same;
}

u64 same_blocks(const void *a, const void *b, u64 blocks)
{
    return same_wide ? same_wide->blocks(a, b, blocks) : same_by_xmm(a, b, blocks);
}

u64 same_steps(const void *a, const void *b, u64 steps, u8 differs[SAME_STEPS])
{
    return same_wide ? same_wide->steps(a, b, steps, differs) : same_steps_by_xmm(a, b, steps, differs);
}
