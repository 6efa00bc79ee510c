// See arch/processor.h.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/processor.h>
#include <arch/traps.h>

#define CPUID_1_ECX_XSAVE BIT(26)
#define LEAF_XSAVE        0xd
#define XCR0_RESET        1
#define MXCSR_RESET       0x1f80
#define DR6_RESET         0xffff0ff0ull

// Legacy area and header of an XSAVE area (SDM vol. 1, 13.4). No component is marked as saved in it: XRSTOR
// sets all to their initial state, and reads nothing but MXCSR. FXRSTOR reads an x87 with nothing in it.
static struct {
    u16 fcw, fsw;
    u8 ftw, reserved;
    u16 fop;
    u64 fip, fdp;
    u32 mxcsr, mxcsr_mask;
    u64 rest[68];
} image __attribute__((aligned(64))) = {.fcw = 0x37f, .mxcsr = MXCSR_RESET};

static void reset_extended(void)
{
    struct cpuid leaf = cpuid(LEAF_XSAVE, 0);
    u64 all = (u64)leaf.edx << 32 | leaf.eax;
    if (trap_try_xsetbv(all))
        __asm__ volatile("xrstor64 %0" : : "m"(image), "a"(leaf.eax), "d"(leaf.edx));
    bool taken = trap_try_xsetbv(XCR0_RESET);
    (void)taken; // always legal
}

void processor_reset(void)
{
    u64 zero = 0, dr6 = DR6_RESET;
    write_cr4(read_cr4() | CR4_OSFXSR); // else FXRSTOR need not restore XMM registers
    __asm__ volatile("clts");
    if (cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE)
        reset_extended();
    else
        __asm__ volatile("fxrstor64 %0" : : "m"(image));
    __asm__ volatile("mov %0, %%dr0\n mov %0, %%dr1\n mov %0, %%dr2\n mov %0, %%dr3\n mov %1, %%dr6"
                     :
                     : "r"(zero), "r"(dr6));
    write_cr2(0);
}
