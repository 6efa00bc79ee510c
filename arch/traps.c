// Descriptor tables and exception handling of the monitor itself. The stubs are in traps.asm, the dump in
// panic.c.
#include <arch/console.h>
#include <arch/io.h>
#include <arch/layout.h>
#include <arch/panic.h>
#include <arch/traps.h>
#include <arch/world.h>

#include "dump.h"

struct gate {
    u16 offset_low, selector;
    u8 ist, type;
    u16 offset_middle;
    u32 offset_high, reserved;
};

struct tss {
    u32 reserved0;
    u64 rsp[3], reserved1, ist[7], reserved2;
    u16 reserved3, io_map;
} __attribute__((packed));

struct table_pointer {
    u16 limit;
    u64 base;
} __attribute__((packed));

enum { VECTOR_NMI = 2, VECTOR_DF = 8, VECTOR_GP = 13, VECTOR_MC = 18, EXCEPTIONS = 32 };

extern const u64 trap_table[EXCEPTIONS];
extern u64 gdt[5];
extern struct table_pointer gdt_pointer;
extern const u8 world_check[], world_entered[], world_nmi[];

u64 world_nmis;

static struct gate idt[EXCEPTIONS] __attribute__((aligned(16)));
static struct gate parked_idt[EXCEPTIONS] __attribute__((aligned(16)));
static struct tss tss;
static u8 fault_stack[8192] __attribute__((aligned(16)));
static u8 nmi_stack[8192] __attribute__((aligned(16)));

// Instructions that may raise #GP on purpose, and where each goes on then.
struct fixup {
    u64 fault, resume;
};
extern const struct fixup fixups_start[], fixups_end[];

// One entry of the fixup table; a section of its own whose name is a C identifier, so the linker bounds it.
__asm__(".section .rodata\n.globl fixups_start, fixups_end\n.balign 8\n"
        "fixups_start:\n .quad try_rdmsr, try_rdmsr_failed\n .quad try_wrmsr, try_wrmsr_failed\n"
        " .quad try_xsetbv, try_xsetbv_failed\nfixups_end:\n.text");

bool __attribute__((noinline)) trap_try_rdmsr(u32 index, u64 *value)
{
    u32 low, high, ok = 1;
    __asm__ volatile(".globl try_rdmsr, try_rdmsr_failed\ntry_rdmsr: rdmsr\n jmp 1f\n"
                     "try_rdmsr_failed: xorl %2, %2\n xorl %%eax, %%eax\n xorl %%edx, %%edx\n1:"
                     : "=a"(low), "=d"(high), "+r"(ok)
                     : "c"(index));
    *value = (u64)high << 32 | low;
    return ok;
}

bool __attribute__((noinline)) trap_try_wrmsr(u32 index, u64 value)
{
    u32 ok = 1;
    __asm__ volatile(".globl try_wrmsr, try_wrmsr_failed\ntry_wrmsr: wrmsr\n jmp 1f\n"
                     "try_wrmsr_failed: xorl %0, %0\n1:"
                     : "+r"(ok)
                     : "c"(index), "a"((u32)value), "d"((u32)(value >> 32))
                     : "memory");
    return ok;
}

bool __attribute__((noinline)) trap_try_xsetbv(u64 value)
{
    u32 ok = 1;
    __asm__ volatile(".globl try_xsetbv, try_xsetbv_failed\ntry_xsetbv: xsetbv\n jmp 1f\n"
                     "try_xsetbv_failed: xorl %0, %0\n1:"
                     : "+r"(ok)
                     : "c"(0), "a"((u32)value), "d"((u32)(value >> 32))
                     : "memory");
    return ok;
}

static bool fixup_apply(struct trap_frame *frame)
{
    for (const struct fixup *f = fixups_start; f < fixups_end; f++) {
        if (frame->rip == f->fault) {
            frame->rip = f->resume;
            return true;
        }
    }
    return false;
}

static void nmi_count(struct trap_frame *frame)
{
    world_nmis++;
    if (frame->rip >= (u64)world_check && frame->rip < (u64)world_entered)
        frame->rip = (u64)world_nmi; // see world.asm
}

void trap_handle(struct trap_frame *frame);
void trap_handle(struct trap_frame *frame)
{
    if (frame->vector == VECTOR_NMI) {
        nmi_count(frame);
        return;
    }
    if (frame->vector == VECTOR_GP && fixup_apply(frame))
        return;
    dump_trap(frame);
}

u64 world_nmi_take(void)
{
    return __atomic_exchange_n(&world_nmis, 0, __ATOMIC_RELAXED);
}

static void gate_set(struct gate *gate, u64 handler, u8 ist)
{
    *gate = (struct gate){
        .offset_low = (u16)handler,
        .selector = SELECTOR_CODE,
        .ist = ist,
        .type = 0x8e, // present, DPL 0, 64-bit interrupt gate
        .offset_middle = (u16)(handler >> 16),
        .offset_high = (u32)(handler >> 32),
    };
}

static void idt_load(const struct gate *gates, unsigned count)
{
    struct table_pointer pointer = {(u16)(count * sizeof(*gates) - 1), (u64)gates};
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void tss_load(void)
{
    u64 base = (u64)&tss;
    tss.ist[0] = (u64)fault_stack + sizeof(fault_stack);
    tss.ist[1] = (u64)nmi_stack + sizeof(nmi_stack);
    tss.io_map = sizeof(tss);
    gdt[3] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[4] = base >> 32;
    gdt_pointer.base = (u64)gdt;
    __asm__ volatile("lgdt %0\n ltr %w1" : : "m"(gdt_pointer), "r"(SELECTOR_TSS));
}

void traps_init(void)
{
    for (unsigned vector = 0; vector < EXCEPTIONS; vector++)
        gate_set(&idt[vector], trap_table[vector],
                 vector == VECTOR_DF || vector == VECTOR_MC ? 1
                 : vector == VECTOR_NMI                     ? 2
                                                            : 0);
    idt_load(idt, EXCEPTIONS);
    tss_load();
}

// No IST: that would need a TSS for each processor.
void traps_init_parked(const u8 *handler)
{
    for (unsigned vector = 0; vector < EXCEPTIONS; vector++)
        gate_set(&parked_idt[vector], (u64)handler, 0);
    idt_load(parked_idt, EXCEPTIONS);
}

u64 traps_gdt_base(void)
{
    return (u64)gdt;
}

u64 traps_idt_base(void)
{
    return (u64)idt;
}

u64 traps_tss_base(void)
{
    return (u64)&tss;
}
