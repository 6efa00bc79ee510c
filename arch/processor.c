// See arch/processor.h.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/processor.h>
#include <arch/traps.h>

#define CPUID_1_EDX_MCE BIT(7)
#define LEAF_XSAVE      0xd
#define LEAF_FEATURES   0x80000001u
#define FEATURES_EDX_NX BIT(20)
#define CPUID_7_ECX_PKU BIT(3)
#define XD_DISABLE      BIT(34)
#define XCR0_RESET      1
#define MXCSR_RESET     0x1f80
#define DR6_RESET       0xffff0ff0ull

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

static bool has_nx(void)
{
    return cpuid(LEAF_FEATURES, 0).edx & FEATURES_EDX_NX;
}

// SDM vol. 4, table 2-2: while IA32_MISC_ENABLE[34] is set CPUID shows no execute-disable bit, and setting
// IA32_EFER.NXE raises #GP. Each processor has one of its own.
static bool nx_enable(void)
{
    u64 enabled;
    if (!has_nx() && trap_try_rdmsr(IA32_MISC_ENABLE, &enabled) && enabled & XD_DISABLE &&
        !trap_try_wrmsr(IA32_MISC_ENABLE, enabled & ~XD_DISABLE))
        return false;
    return has_nx();
}

// OSFXSR: else FXRSTOR need not restore XMM registers. OSXSAVE: so that the guest's XSETBV can be carried
// out. PKE: so that the guest's PKRU can be read; the monitor's own pages are supervisor pages, which have no
// keys (SDM vol. 3, 4.6.2). MCE: else a machine check shuts the machine down without a word.
static u64 cr4_of_monitor(void)
{
    u64 cr4 = CR4_PAE | CR4_OSFXSR;
    struct cpuid features = cpuid(1, 0);
    if (features.ecx & CPUID_1_ECX_XSAVE)
        cr4 |= CR4_OSXSAVE;
    if (features.edx & CPUID_1_EDX_MCE)
        cr4 |= CR4_MCE;
    if (cpuid(0, 0).eax >= 7 && cpuid(7, 0).ecx & CPUID_7_ECX_PKU)
        cr4 |= CR4_PKE;
    return cr4;
}

const char *processor_start(void)
{
    write_cr4(cr4_of_monitor());
    if (!nx_enable())
        return "This processor shows no execute-disable bit, and it cannot be enabled by IA32_MISC_ENABLE: enable Execute Disable (XD, NX) in the firmware set-up.";
    wrmsr(IA32_EFER, EFER_LME | EFER_LMA | EFER_NXE);
    return NULL;
}

void processor_reset(void)
{
    u64 zero = 0, dr6 = DR6_RESET;
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
