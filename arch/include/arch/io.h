// The instructions that C cannot say, privileged ones and those that reach devices, one inline function each.
// Not here: descriptor tables (traps), VMX instructions, anything with a policy. Ports come first, values
// second.
#pragma once

#include <arch/types.h>

static inline u8 inb(u16 port)
{
    u8 value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline u16 inw(u16 port)
{
    u16 value;
    asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline u32 inl(u16 port)
{
    u32 value;
    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline void outb(u16 port, u8 value)
{
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}
static inline void outw(u16 port, u16 value)
{
    asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}
static inline void outl(u16 port, u32 value)
{
    asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

// Registers of a device in memory, by one MOV of that width.
static inline u8 mmio_read8(const volatile void *at)
{
    u8 value;
    asm volatile("movb %1, %0" : "=q"(value) : "m"(*(const volatile u8 *)at) : "memory");
    return value;
}
static inline u32 mmio_read32(const volatile void *at)
{
    u32 value;
    asm volatile("movl %1, %0" : "=r"(value) : "m"(*(const volatile u32 *)at) : "memory");
    return value;
}
static inline void mmio_write8(volatile void *at, u8 value)
{
    asm volatile("movb %1, %0" : "=m"(*(volatile u8 *)at) : "q"(value) : "memory");
}
static inline void mmio_write32(volatile void *at, u32 value)
{
    asm volatile("movl %1, %0" : "=m"(*(volatile u32 *)at) : "r"(value) : "memory");
}

// #GP if the processor does not have the MSR: the caller knows that it does.
static inline u64 rdmsr(u32 msr)
{
    u32 low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (u64)high << 32 | low;
}
static inline void wrmsr(u32 msr, u64 value)
{
    asm volatile("wrmsr" : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

// Not serialising (SDM vol. 2, RDTSC): fine for intervals of microseconds.
static inline u64 rdtsc(void)
{
    u32 low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return (u64)high << 32 | low;
}

struct cpuid {
    u32 eax, ebx, ecx, edx;
};
static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
    struct cpuid r;
    asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}

#define CONTROL_REGISTER(n)                                        \
    static inline u64 read_cr##n(void)                             \
    {                                                              \
        u64 value;                                                 \
        asm volatile("mov %%cr" #n ", %0" : "=r"(value));          \
        return value;                                              \
    }                                                              \
    static inline void write_cr##n(u64 value)                      \
    {                                                              \
        asm volatile("mov %0, %%cr" #n : : "r"(value) : "memory"); \
    }
CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)
#undef CONTROL_REGISTER

// DR0 to DR3. They and DR6 are the guest's: neither VM entry nor VM exit changes them.
static inline u64 read_breakpoint(unsigned n)
{
    u64 value;
    switch (n) {
    case 0:
        asm volatile("mov %%dr0, %0" : "=r"(value));
        return value;
    case 1:
        asm volatile("mov %%dr1, %0" : "=r"(value));
        return value;
    case 2:
        asm volatile("mov %%dr2, %0" : "=r"(value));
        return value;
    default:
        asm volatile("mov %%dr3, %0" : "=r"(value));
        return value;
    }
}
static inline u64 read_dr6(void)
{
    u64 value;
    asm volatile("mov %%dr6, %0" : "=r"(value));
    return value;
}
static inline void write_dr6(u64 value)
{
    asm volatile("mov %0, %%dr6" : : "r"(value));
}

// #UD unless CR4.OSXSAVE is set.
static inline u64 xgetbv_of(u32 index)
{
    u32 low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
    return (u64)high << 32 | low;
}

// XCR0.
static inline u64 xgetbv(void)
{
    return xgetbv_of(0);
}

// Its bits whose state is in use (SDM vol. 1, 13.1). #GP unless CPUID.(DH,1):EAX[2] is set.
static inline u64 xgetbv_in_use(void)
{
    return xgetbv_of(1);
}

// PKRU. #UD unless CR4.PKE is set. It is the guest's: neither VM entry nor VM exit changes it.
static inline u32 read_pkru(void)
{
    u32 pkru, high;
    asm volatile("rdpkru" : "=a"(pkru), "=d"(high) : "c"(0));
    return pkru;
}

static inline void invlpg(const void *address)
{
    asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}
static inline void wbinvd(void)
{
    asm volatile("wbinvd" : : : "memory");
}
static inline void hlt(void)
{
    asm volatile("hlt" : : : "memory");
}
static inline void monitor(const void *line)
{
    asm volatile("monitor" : : "a"(line), "c"(0), "d"(0) : "memory");
}
static inline void mwait(u32 hint)
{
    asm volatile("mwait" : : "a"(hint), "c"(0) : "memory");
}
static inline void pause(void)
{
    asm volatile("pause" : : : "memory");
}
static inline void cli(void)
{
    asm volatile("cli" : : : "memory");
}
static inline void sti(void)
{
    asm volatile("sti" : : : "memory");
}
