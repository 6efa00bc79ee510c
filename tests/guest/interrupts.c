// Interrupts of the local APIC to itself: IPIs, priorities, EOI, NMI, interrupt shadows, interrupts over
// instructions that exit. All work in xAPIC and in x2APIC mode. Neighbours: timer.c, hlt.c, ioapic.c (the
// other interrupt tests of interrupts.h), apic.c (registers).
#include "cpu.h"
#include "lapic.h"
#include "interrupts.h"

#define ASSERT   0x4000u
#define SELF     0x40000u
#define NMI_MODE 0x400u

static void send_self(unsigned vector)
{
    lapic_command(lapic_id(), ASSERT | vector);
}

void test_self_ipi(void)
{
    for (unsigned vector = 0x20; vector < 0x100; vector += 0x1D) {
        irq_catch(vector);
        send_self(vector);
        expect("pending", bit_of_vector(LAPIC_IRR, vector), 1);
        expect("not taken", irq_count[vector], 0);
        irq_window();
        expect("taken", irq_count[vector], 1);
        expect("not pending", bit_of_vector(LAPIC_IRR, vector), 0);
        expect("not in service", bit_of_vector(LAPIC_ISR, vector), 0);
    }
}

void test_self_shorthand(void)
{
    irq_catch(0x55);
    lapic_command(0, ASSERT | SELF | 0x55);
    irq_window();
    lapic_command(0, ASSERT | SELF | 0x55);
    lapic_command(0, ASSERT | SELF | 0x55);
    irq_window();
    expect("two while pending are one", irq_count[0x55], 2);
}

void test_priorities(void)
{
    static const u8 order[] = {0xA1, 0x92, 0x91, 0x51, 0x41};
    static const u8 sent[] = {0x41, 0x91, 0x51, 0xA1, 0x92};
    for (unsigned i = 0; i < ARRAY_SIZE(sent); i++) {
        irq_catch(sent[i]);
        send_self(sent[i]);
    }
    irq_window();
    expect("count", irq_logged, ARRAY_SIZE(order));
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        expect("order", irq_log[i], order[i]);
}

void test_task_priority(void)
{
    irq_catch(0x51);
    lapic_write(LAPIC_TPR, 0x50);
    expect("CR8", cr8_read(), 5);
    expect("PPR", lapic_read(LAPIC_PPR), 0x50);
    send_self(0x51);
    irq_window();
    expect("held back", irq_count[0x51], 0);
    lapic_write(LAPIC_TPR, 0x40);
    irq_window();
    expect("let through", irq_count[0x51], 1);
    lapic_write(LAPIC_TPR, 0);
}

void test_cr8(void)
{
    irq_catch(0x61);
    cr8_write(6);
    expect("TPR", lapic_read(LAPIC_TPR), 0x60);
    send_self(0x61);
    irq_window();
    expect("held back", irq_count[0x61], 0);
    asm volatile("sti; mov %0, %%cr8; nop; nop; nop; cli" ::"r"(5ull) : "memory");
    expect("at the write of CR8", irq_count[0x61], 1);
    cr8_write(0);
}

static volatile unsigned nested_count, nested_wrong;

static void outer_interrupt(struct regs *regs)
{
    (void)regs;
    expect("in service", bit_of_vector(LAPIC_ISR, 0x61), 1);
    expect("PPR", lapic_read(LAPIC_PPR), 0x60);
    send_self(0x51);
    send_self(0xA1);
    irq_window();
    nested_count = irq_count[0xA1];
    nested_wrong = irq_count[0x51];
    lapic_write(LAPIC_EOI, 0);
}

void test_nesting(void)
{
    nested_count = nested_wrong = 0;
    irq_catch(0x51);
    irq_catch(0xA1);
    trap_hook(0x61, outer_interrupt);
    send_self(0x61);
    irq_window();
    expect("higher one nested", nested_count, 1);
    expect("lower one waited", nested_wrong, 0);
    expect("lower one came", irq_count[0x51], 1);
}

static volatile unsigned no_eoi_count;
static void count_without_eoi(struct regs *regs)
{
    (void)regs;
    no_eoi_count++;
}

void test_eoi(void)
{
    no_eoi_count = 0;
    trap_hook(0x71, count_without_eoi);
    send_self(0x71);
    irq_window();
    send_self(0x71);
    irq_window();
    expect("second waits", no_eoi_count, 1);
    expect("in service and pending", bit_of_vector(LAPIC_ISR, 0x71) + bit_of_vector(LAPIC_IRR, 0x71), 2);
    lapic_write(LAPIC_EOI, 0);
    irq_window();
    expect("second comes after EOI", no_eoi_count, 2);
    lapic_write(LAPIC_EOI, 0);
    expect("PPR", lapic_read(LAPIC_PPR), 0);
}

void test_masked_by_if(void)
{
    irq_catch(0x44);
    send_self(0x44);
    for (unsigned i = 0; i < 50; i++) {
        cpuid_read(0, 0);
        inb(0x3FF);
    }
    expect("IF=0", irq_count[0x44], 0);
    irq_window();
    expect("IF=1", irq_count[0x44], 1);
}

static volatile unsigned nmi_count;
static void count_nmi(struct regs *regs)
{
    (void)regs;
    nmi_count++;
}

void test_nmi(void)
{
    nmi_count = 0;
    trap_hook(NMI, count_nmi);
    for (unsigned i = 1; i <= 3; i++) {
        lapic_command(lapic_id(), ASSERT | NMI_MODE);
        asm volatile("nop; nop; nop; nop" ::: "memory");
        expect("NMI with IF=0", nmi_count, i);
    }
}

static volatile u64 nmi_rip[2], nmi_stack;

// Ends the first NMI by an IRET from a page that nobody has used, while a second NMI waits.
static void leave_from_fresh_page(struct regs *regs)
{
    nmi_rip[nmi_count % 2] = regs->rip;
    if (nmi_count++)
        return;
    memcpy(frame_a, &regs->rip, 5 * sizeof(u64));
    nmi_stack = page_map(60, (u64)frame_a, PAGE_P | PAGE_W);
    lapic_command(lapic_id(), ASSERT | NMI_MODE);
    asm volatile(
        "mov %0, %%rsp\n pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%r11\n pop %%r10\n pop %%r9\n"
        "pop %%r8\n pop %%rdi\n pop %%rsi\n pop %%rbp\n pop %%rbx\n pop %%rdx\n pop %%rcx\n pop %%rax\n"
        "mov %1, %%rsp\n iretq" ::"r"(regs),
        "m"(nmi_stack)
        : "memory");
}

// Where a monitor makes that page present unseen, the IRET runs twice: the second NMI still waits for its
// end.
void test_nmi_iret(void)
{
    nmi_count = 0;
    trap_hook(NMI, leave_from_fresh_page);
    lapic_command(lapic_id(), ASSERT | NMI_MODE);
    asm volatile("nop; nop; nop; nop" ::: "memory");
    expect("NMIs", nmi_count, 2);
    expect("RIP of the second", nmi_rip[1], nmi_rip[0]);
}

// INIT and SIPI to processors that do not exist, and to all but self, do nothing.
void test_absent_targets(void)
{
    static const u32 commands[] = {0xC500, 0x8500, 0x4608, 0x4608, 0x4400, 0x4041};
    for (unsigned target = 5; target < 8; target++) {
        for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
            lapic_command(target, commands[i]);
    }
    lapic_command(0, 0xC0000 | 0xC500);
    lapic_command(0, 0xC0000 | 0x4608);
    lapic_write(LAPIC_ESR, 0);
    irq_catch(0x48);
    send_self(0x48);
    irq_window();
    expect("self-IPI after them", irq_count[0x48], 1);
}

static volatile u64 shadow_rip;
static void note_rip(struct regs *regs)
{
    shadow_rip = regs->rip;
    lapic_write(LAPIC_EOI, 0);
}

// With an interrupt pending and IF=0, runs `code`; the interrupt must come at label 91. SS is loaded first,
// so that shadow paging has the GDT mapped: in Bochs 2.7 an exit by an exception, as that of a hidden fault,
// loses the blocking by STI and MOV SS.
#define EXPECT_INTERRUPT_AT(what, code)                                                              \
    do {                                                                                             \
        u64 want;                                                                                    \
        shadow_rip = 0;                                                                              \
        trap_hook(0x58, note_rip);                                                                   \
        send_self(0x58);                                                                             \
        asm volatile("mov %%ss, %%eax; mov %%eax, %%ss; lea 91f(%%rip), %%r15; mov %%r15, %0; " code \
                     "nop; nop; cli"                                                                 \
                     : "=&m"(want)                                                                   \
                     : "D"(HOLE_GPA), "S"(0xFEC00000ull)                                             \
                     : "memory", "cc", "rax", "rbx", "rcx", "rdx", "r15");                           \
        expect(what, shadow_rip - want, 0);                                                          \
    } while (0)

// STI holds interrupts back for one instruction, also when that instruction exits.
void test_sti_shadow(void)
{
    EXPECT_INTERRUPT_AT("NOP", "sti; nop; 91:");
    EXPECT_INTERRUPT_AT("CPUID", "xor %%eax, %%eax; sti; cpuid; 91:");
    EXPECT_INTERRUPT_AT("RDMSR", "mov $0x1B, %%ecx; sti; rdmsr; 91:");
    EXPECT_INTERRUPT_AT("IN", "mov $0x3FF, %%edx; sti; inb %%dx, %%al; 91:");
    EXPECT_INTERRUPT_AT("OUT", "mov $0x3FF, %%edx; sti; outb %%al, %%dx; 91:");
    EXPECT_INTERRUPT_AT("MMIO", "sti; mov (%%rsi), %%eax; 91:");
    EXPECT_INTERRUPT_AT("hole", "sti; mov %%eax, (%%rdi); 91:");
    EXPECT_INTERRUPT_AT("MOV CR3", "mov %%cr3, %%rax; sti; mov %%rax, %%cr3; 91:");
    EXPECT_INTERRUPT_AT("CLTS", "sti; clts; 91:");
    EXPECT_INTERRUPT_AT("second STI", "sti; sti; 91: nop;");
}

void test_mov_ss_shadow(void)
{
    EXPECT_INTERRUPT_AT("NOP", "mov %%ss, %%eax; sti; mov %%eax, %%ss; nop; 91:");
    EXPECT_INTERRUPT_AT("CPUID", "mov %%ss, %%r15d; xor %%eax, %%eax; sti; mov %%r15d, %%ss; cpuid; 91:");
    EXPECT_INTERRUPT_AT("IN",
                        "mov $0x3FF, %%edx; mov %%ss, %%eax; sti; mov %%eax, %%ss; inb %%dx, %%al; 91:");
    EXPECT_INTERRUPT_AT("MMIO", "mov %%ss, %%eax; sti; mov %%eax, %%ss; mov (%%rsi), %%eax; 91:");
}

void test_popf_no_shadow(void)
{
    EXPECT_INTERRUPT_AT("NOP", "pushfq; orl $0x200, (%%rsp); popfq; 91: nop;");
    EXPECT_INTERRUPT_AT("CPUID", "xor %%eax, %%eax; pushfq; orl $0x200, (%%rsp); popfq; 91: cpuid;");
    EXPECT_INTERRUPT_AT("IN", "mov $0x3FF, %%edx; pushfq; orl $0x200, (%%rsp); popfq; 91: inb %%dx, %%al;");
}

// A fast periodic timer over a loop of instructions that exit: no interrupt is lost for good, no result is
// disturbed.
void test_over_exits(void)
{
    u32 first = cpuid_read(0, 0).ebx;
    irq_catch(0x66);
    lapic_write(LAPIC_TIMER_DIVIDE, 0xB);
    lapic_write(LAPIC_LVT_TIMER, LVT_TIMER_PERIODIC | 0x66);
    lapic_write(LAPIC_TIMER_INITIAL, 3001);
    outb(0x3FF, 0x42);
    asm volatile("sti");
    for (unsigned i = 0; i < 100000 && irq_count[0x66] < 30; i++) {
        expect("CPUID", cpuid_read(0, 0).ebx, first);
        expect("IN", inb(0x3FF), 0x42);
        expect("MMIO", *(volatile u32 *)HOLE_GPA, 0xFFFFFFFF);
        expect("RDMSR", msr_read(IA32_EFER) & EFER_LMA, EFER_LMA);
        cr3_write(cr3_read());
    }
    asm volatile("cli");
    lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | 0x66);
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    irq_window();
    if (irq_count[0x66] < 30)
        fail("interrupts: expected 30, got %u", irq_count[0x66]);
}

#define X(name) {#name, test_##name},
static const struct test tests[] = {INTERRUPT_TESTS(X)};
#undef X
GROUP(group_interrupts, "interrupts", tests, true);
