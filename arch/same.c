// Memory compared by XMM registers. All other code of the monitor's does without them (-mgeneral-regs-only),
// so that the guest's values stay in them. Its CR0 and CR4 allow SSE2, which each processor with long mode
// has. See same.h.
#include <arch/same.h>

// Of each doubleword that is the same XMM0 gets ones; XMM1 has what all have.
#define COMPARE_16(at)  "movdqa " at "(%[a]), %%xmm0; pcmpeqd " at "(%[b]), %%xmm0; pand %%xmm0, %%xmm1;"
#define COMPARE_64(at)  COMPARE_16(at) COMPARE_16(at "+16") COMPARE_16(at "+32") COMPARE_16(at "+48")
#define COMPARE_256(at) COMPARE_64(at) COMPARE_64(at "+64") COMPARE_64(at "+128") COMPARE_64(at "+192")
#define COMPARE_512     COMPARE_256("0") COMPARE_256("256")

// One asm, so that the registers are as they were at its end.
bool same_bytes(const void *a, const void *b)
{
    struct {
        u64 half[2];
    } xmm0, xmm1;
    u32 same;
    asm volatile("movdqu %%xmm0, %[xmm0]\n\t"
                 "movdqu %%xmm1, %[xmm1]\n\t"
                 "pcmpeqd %%xmm1, %%xmm1\n\t" COMPARE_512 "pmovmskb %%xmm1, %[same]\n\t"
                 "movdqu %[xmm0], %%xmm0\n\t"
                 "movdqu %[xmm1], %%xmm1"
                 : [same] "=r"(same), [xmm0] "=m"(xmm0), [xmm1] "=m"(xmm1)
                 : [a] "r"(a), [b] "r"(b)
                 : "memory");
    return same == 0xffff;
}
