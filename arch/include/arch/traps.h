// Exceptions in the monitor: the descriptor tables, and what happens when one is raised.
#pragma once

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

// On a processor that only waits (park.c), with the monitor's GDT: an IDT that leads every exception and NMI
// to `handler`, on the stack of the moment, with interrupts off. The trap_try functions do not work there.
void traps_init_parked(const u8 *handler);

// For the VMCS host state: linear addresses of the tables.
u64 traps_gdt_base(void);
u64 traps_idt_base(void);
u64 traps_tss_base(void);

// RDMSR and WRMSR that may be refused: false on #GP.
bool trap_try_rdmsr(u32 index, u64 *value) must_check;
bool trap_try_wrmsr(u32 index, u64 value) must_check;
// XSETBV with ECX = 0: false on #GP.
bool trap_try_xsetbv(u64 value) must_check;
