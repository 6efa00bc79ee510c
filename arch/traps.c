// Descriptor tables and exception handling of the monitor itself. The stubs are in traps.asm, the dump in
// panic.c.
#include <arch/console.h>
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/layout.h>
#include <arch/panic.h>
#include <arch/traps.h>
#include <arch/world.h>

#include "dump.h"
#include "try.h"

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

enum { EXCEPTIONS = 32 };
enum { IST_NONE, IST_DF, IST_NMI, IST_MC };

extern const u64 trap_table[EXCEPTIONS];
extern const u8 trap_parked_nmi[], trap_parked_machine_check[];
extern u64 gdt[5];
extern struct table_pointer gdt_pointer;
extern const u8 world_check[], world_entered[], world_nmi[];

u64 world_nmis;

static struct gate idt[EXCEPTIONS] __attribute__((aligned(16)));
static struct gate parked_idt[EXCEPTIONS] __attribute__((aligned(16)));
static struct tss tss;
static u8 ist_stacks[IST_MC][8192] __attribute__((aligned(16))); // a stack of its own for each

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
    if ((frame->vector == VECTOR_GP || frame->vector == VECTOR_PF) && try_fixup(frame))
        return;
    if (frame->vector == VECTOR_MC)
        dump_machine_check(frame);
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
    for (unsigned i = 0; i < IST_MC; i++)
        tss.ist[i] = (u64)ist_stacks[i] + sizeof(ist_stacks[i]);
    tss.io_map = sizeof(tss);
    gdt[3] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    gdt[4] = base >> 32;
    gdt_pointer.base = (u64)gdt;
    __asm__ volatile("lgdt %0\n ltr %w1" : : "m"(gdt_pointer), "r"(SELECTOR_TSS));
}

void traps_init(void)
{
    for (unsigned vector = 0; vector < EXCEPTIONS; vector++)
        gate_set(&idt[vector], trap_table[vector], IST_NONE);
    idt[VECTOR_DF].ist = IST_DF;
    idt[VECTOR_NMI].ist = IST_NMI;
    idt[VECTOR_MC].ist = IST_MC;
    idt_load(idt, EXCEPTIONS);
    tss_load();
}

// No IST: that would need a TSS for each processor.
void traps_init_parked(void)
{
    for (unsigned vector = 0; vector < EXCEPTIONS; vector++)
        gate_set(&parked_idt[vector], trap_table[vector], IST_NONE);
    gate_set(&parked_idt[VECTOR_NMI], (u64)trap_parked_nmi, IST_NONE);
    gate_set(&parked_idt[VECTOR_MC], (u64)trap_parked_machine_check, IST_NONE);
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
