// Takes the place of arch/include/arch/io.h in the host tests: what the files under test use of it, as
// functions of tests/host/fake_cpu.c.
#pragma once

#include <arch/types.h>

u32 inl(u16 port);
void outl(u16 port, u32 value);
u8 inb(u16 port);
void outb(u16 port, u8 value);
u8 mmio_read8(const volatile void *at); // these four are the test's own
u32 mmio_read32(const volatile void *at);
void mmio_write8(volatile void *at, u8 value);
void mmio_write32(volatile void *at, u32 value);
u64 rdmsr(u32 msr);
void wrmsr(u32 msr, u64 value);
u64 rdtsc(void);
void write_cr2(u64 value);
u64 read_cr3(void);
void write_cr3(u64 value);
void wbinvd(void);
u64 read_cr4(void);
void write_cr4(u64 value);
int pause(void); // the result is the C library's
void hlt(void);  // these three are the test's own
void monitor(const void *line);
void mwait(u32 hint);
u64 xgetbv(void);
u64 xgetbv_in_use(void);
u32 read_pkru(void);
u64 read_breakpoint(unsigned n);
u64 read_dr6(void);
void write_dr6(u64 value);

struct cpuid {
    u32 eax, ebx, ecx, edx;
};
struct cpuid cpuid(u32 leaf, u32 subleaf);
