// Single processor instructions as inline functions. None of them catches a trap: for that, see TRAP in
// guest.h; the try_* functions below are TRAP around the most frequent ones.
#pragma once

#include "guest.h"

enum cr0_bit {
    CR0_PE = 1 << 0,
    CR0_MP = 1 << 1,
    CR0_EM = 1 << 2,
    CR0_TS = 1 << 3,
    CR0_ET = 1 << 4,
    CR0_NE = 1 << 5,
    CR0_WP = 1 << 16,
    CR0_AM = 1 << 18,
    CR0_NW = 1 << 29,
    CR0_CD = 1 << 30,
};
#define CR0_PG BIT(31)
enum cr4_bit {
    CR4_TSD = 1 << 2,
    CR4_DE = 1 << 3,
    CR4_PSE = 1 << 4,
    CR4_PAE = 1 << 5,
    CR4_MCE = 1 << 6,
    CR4_PGE = 1 << 7,
    CR4_PCE = 1 << 8,
    CR4_OSFXSR = 1 << 9,
    CR4_OSXMMEXCPT = 1 << 10,
    CR4_UMIP = 1 << 11,
    CR4_LA57 = 1 << 12,
    CR4_FSGSBASE = 1 << 16,
    CR4_PCIDE = 1 << 17,
    CR4_OSXSAVE = 1 << 18,
    CR4_SMEP = 1 << 20,
    CR4_SMAP = 1 << 21,
    CR4_PKE = 1 << 22,
};
enum msr {
    IA32_TSC = 0x10,
    IA32_APIC_BASE = 0x1B,
    IA32_TSC_ADJUST = 0x3B,
    IA32_SPEC_CTRL = 0x48,
    IA32_SYSENTER_CS = 0x174,
    IA32_SYSENTER_ESP = 0x175,
    IA32_SYSENTER_EIP = 0x176,
    IA32_DEBUGCTL = 0x1D9,
    IA32_PAT = 0x277,
    IA32_TSC_DEADLINE = 0x6E0,
};
#define IA32_EFER           0xC0000080u
#define IA32_STAR           0xC0000081u
#define IA32_LSTAR          0xC0000082u
#define IA32_CSTAR          0xC0000083u
#define IA32_FMASK          0xC0000084u
#define IA32_FS_BASE        0xC0000100u
#define IA32_GS_BASE        0xC0000101u
#define IA32_KERNEL_GS_BASE 0xC0000102u
#define IA32_TSC_AUX        0xC0000103u

#define EFER_SCE BIT(0)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)

#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)
#define RFLAGS_NT BIT(14)
#define RFLAGS_AC BIT(18)

// A lowest address that is not canonical with 4-level paging.
#define NON_CANONICAL BIT(47)

#define CPU_REGISTER(name)                                           \
    static inline u64 name##_read(void)                              \
    {                                                                \
        u64 value;                                                   \
        asm volatile("mov %%" #name ", %0" : "=r"(value)::"memory"); \
        return value;                                                \
    }                                                                \
    static inline void name##_write(u64 value)                       \
    {                                                                \
        asm volatile("mov %0, %%" #name ::"r"(value) : "memory");    \
    }                                                                \
    static inline struct trap name##_try(u64 value)                  \
    {                                                                \
        return TRAP("mov %0, %%" #name, ::"r"(value) : "memory");    \
    }
CPU_REGISTER(cr0)
CPU_REGISTER(cr2)
CPU_REGISTER(cr3)
CPU_REGISTER(cr4)
CPU_REGISTER(cr8)
CPU_REGISTER(dr0)
CPU_REGISTER(dr1)
CPU_REGISTER(dr2)
CPU_REGISTER(dr3)
CPU_REGISTER(dr6)
CPU_REGISTER(dr7)

#define CPU_PORT(suffix, type)                                            \
    static inline type in##suffix(u16 port)                               \
    {                                                                     \
        type value;                                                       \
        asm volatile("in %w1, %0" : "=a"(value) : "Nd"(port) : "memory"); \
        return value;                                                     \
    }                                                                     \
    static inline void out##suffix(u16 port, type value)                  \
    {                                                                     \
        asm volatile("out %0, %w1" ::"a"(value), "Nd"(port) : "memory");  \
    }
CPU_PORT(b, u8)
CPU_PORT(w, u16)
CPU_PORT(l, u32)

static inline u64 msr_read(u32 msr)
{
    u32 low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
    return (u64)high << 32 | low;
}
static inline void msr_write(u32 msr, u64 value)
{
    asm volatile("wrmsr" ::"c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}
static inline struct trap msr_try_read(u32 msr)
{
    u32 low = 0, high = 0;
    return TRAP("rdmsr", : "+a"(low), "+d"(high) : "c"(msr) : "memory");
}
static inline struct trap msr_try_write(u32 msr, u64 value)
{
    return TRAP("wrmsr", ::"c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

struct cpuid {
    u32 eax, ebx, ecx, edx;
};
static inline struct cpuid cpuid_read(u32 leaf, u32 subleaf)
{
    struct cpuid c;
    asm volatile("cpuid" : "=a"(c.eax), "=b"(c.ebx), "=c"(c.ecx), "=d"(c.edx) : "a"(leaf), "c"(subleaf));
    return c;
}
static inline bool cpuid_has_leaf(u32 leaf)
{
    return cpuid_read(leaf & 0x80000000, 0).eax >= leaf;
}
static inline u32 cpuid7_ebx(void)
{
    return cpuid_has_leaf(7) ? cpuid_read(7, 0).ebx : 0;
}
static inline u32 cpuid7_ecx(void)
{
    return cpuid_has_leaf(7) ? cpuid_read(7, 0).ecx : 0;
}

static inline u64 tsc_read(void)
{
    u32 low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (u64)high << 32 | low;
}
static inline u64 rflags_read(void)
{
    u64 value;
    asm volatile("pushfq; pop %0" : "=r"(value)::"memory");
    return value;
}
