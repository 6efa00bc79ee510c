// Exceptions in the monitor: the descriptor tables, and what happens when one is raised.
#pragma once

#include <arch/cpu.h>
#include <arch/gprs.h>
#include <arch/types.h>

struct trap_frame {
    struct gprs regs;
    u64 vector;
    u64 error_code;
    u64 rip, cs, rflags, rsp, ss;
};

// Loads GDT, TSS and IDT. From then on a fault in the monitor prints a dump and stops, an NMI is counted, and
// trap_try works. Once, early.
void traps_init(void);

// The same on a processor that only waits (park.c), with the monitor's GDT and a stack of its own: an NMI
// does nothing, a machine check is park_machine_check's.
void traps_init_parked(void);

// A machine check as it comes in the monitor: a dump, and the end.
static inline void raise_machine_check(void)
{
    __asm__ volatile("int %0" : : "i"(VECTOR_MC));
}

// For the VMCS host state: linear addresses of the tables.
u64 traps_gdt_base(void);
u64 traps_idt_base(void);
u64 traps_tss_base(void);

// RDMSR and WRMSR that may be refused: false on #GP.
bool trap_try_rdmsr(u32 index, u64 *value) must_check;
bool trap_try_wrmsr(u32 index, u64 value) must_check;
// A byte is read, or written with 0: false on #PF, whose error code is in *error_code then.
bool trap_try_read(const volatile u8 *at, u32 *error_code) must_check;
bool trap_try_write(volatile u8 *at, u32 *error_code) must_check;
// XSETBV with ECX = 0: false on #GP.
bool trap_try_xsetbv(u64 value) must_check;
