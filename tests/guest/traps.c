// The IDT, the TSS, and what happens at a trap: a hook, or the end of a TRAP sequence, or the end of the
// test. Interrupt counting is at the end. Neighbours: trap_stubs.asm (entry points), runner.c (guarded_call).
#include "cpu.h"
#include "lapic.h"

#define IST_DF   1
#define IST_SIZE 8192

extern u8 trap_stubs[];
void guarded_abort(void);
void trap_dispatch(struct regs *regs);

struct trap_guard trap_guard;
struct gate idt[256];
struct descriptor_register idt_register = {sizeof(idt) - 1, (u64)idt};
struct tss tss;
volatile unsigned irq_count[256];
volatile u8 irq_log[16];
volatile unsigned irq_logged;

static struct trap caught;
static void (*hooks[256])(struct regs *);
static u8 ring0_stack[IST_SIZE] __attribute__((aligned(16)));
static u8 df_stack[IST_SIZE] __attribute__((aligned(16)));

void trap_begin(void)
{
    caught = (struct trap){.vector = NO_TRAP};
}

struct trap trap_end(void)
{
    return caught;
}

void trap_hook(unsigned vector, void (*hook)(struct regs *))
{
    hooks[vector] = hook;
}

static void end_sequence(struct regs *regs)
{
    caught =
        (struct trap){regs->vector, regs->error, cr2_read(), regs->rip, regs->cs, regs->rflags, regs->rsp};
    regs->rip = trap_guard.rip;
    regs->rsp = trap_guard.rsp;
    regs->cs = CODE64;
    regs->ss = DATA;
    regs->rflags = 2;
    trap_guard.rip = 0;
}

void trap_dispatch(struct regs *regs)
{
    if (hooks[regs->vector]) {
        hooks[regs->vector](regs);
    } else if (trap_guard.rip) {
        end_sequence(regs);
    } else {
        fail("unexpected trap: expected none, got vector %lu error %lx rip %lx cr2 %lx", regs->vector,
             regs->error, regs->rip, cr2_read());
        guarded_abort();
    }
}

static void set_gate(unsigned vector, unsigned type, unsigned dpl)
{
    u64 entry = (u64)trap_stubs + vector * 16;
    idt[vector] = (struct gate){
        .offset_low = (u16)entry,
        .selector = CODE64,
        .ist = vector == DF ? IST_DF : 0,
        .type = type & 15,
        .dpl = dpl & 3,
        .present = 1,
        .offset_mid = (u16)(entry >> 16),
        .offset_high = (u32)(entry >> 32),
    };
}

// The TSS in 64-bit mode: a 16-byte system descriptor (SDM 3A 8.2.3).
static void load_tss(void)
{
    u64 base = (u64)&tss, limit = sizeof(tss) - 1;
    gdt[TSS_SELECTOR / 8] = (limit & 0xFFFF) | (base & 0xFFFFFF) << 16 | 0x89ull << 40 |
                            (limit >> 16 & 15) << 48 | (base >> 24 & 0xFF) << 56;
    gdt[TSS_SELECTOR / 8 + 1] = base >> 32;
    tss.rsp[0] = (u64)ring0_stack + IST_SIZE;
    tss.ist[IST_DF - 1] = (u64)df_stack + IST_SIZE;
    tss.io_map = sizeof(tss); // past the limit: ring 3 has no ports
    asm volatile("ltr %w0; lldt %w1" ::"r"(TSS_SELECTOR), "r"(0) : "memory");
}

void traps_reset(void)
{
    for (unsigned vector = 0; vector < 256; vector++) {
        set_gate(vector, 14, vector == 0x80 || vector == BP || vector == OF ? 3 : 0);
        hooks[vector] = NULL;
        irq_count[vector] = 0;
    }
    irq_logged = 0;
    trap_guard.rip = 0;
    tss.io_map = sizeof(tss);
    asm volatile("lidt %0" ::"m"(idt_register) : "memory");
}

void traps_start(void)
{
    load_tss();
    traps_reset();
}

static void count_interrupt(struct regs *regs)
{
    irq_count[regs->vector]++;
    if (irq_logged < ARRAY_SIZE(irq_log))
        irq_log[irq_logged++] = (u8)regs->vector;
    lapic_write(LAPIC_EOI, 0);
}

void irq_catch(unsigned vector)
{
    irq_count[vector] = 0;
    trap_hook(vector, count_interrupt);
}

bool irq_wait(unsigned vector, unsigned count)
{
    asm volatile("sti" ::: "memory");
    for (unsigned i = 0; i < 300000 && irq_count[vector] < count; i++)
        asm volatile("pause" ::: "memory");
    asm volatile("cli" ::: "memory");
    return irq_count[vector] >= count;
}

void irq_window(void)
{
    asm volatile("sti" ::: "memory");
    for (unsigned i = 0; i < 200; i++)
        asm volatile("pause" ::: "memory");
    asm volatile("cli" ::: "memory");
}
