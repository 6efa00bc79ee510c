// Debug registers, single steps, breakpoints. The steps go over instructions that the monitor emulates: #DB
// must come after each of them, with DR6.BS, as bare. Neighbours: breakpoints.c, exceptions.c.
#include "cpu.h"
#include "lapic.h"

#define DR6_CLEAR 0xFFFF0FF0ull
#define DR6_BD    BIT(13)
#define DR6_BS    BIT(14)
#define DR7_FIXED 0x400ull
#define DR7_GD    BIT(13)

static void test_registers(void)
{
    for (u64 value = 0x1000; value < BIT(46); value *= 16) {
        dr0_write(value);
        dr1_write(value + 1);
        dr2_write(value + 2);
        dr3_write(value + 3);
        expect("DR0", dr0_read(), value);
        expect("DR1", dr1_read(), value + 1);
        expect("DR2", dr2_read(), value + 2);
        expect("DR3", dr3_read(), value + 3);
    }
}

static void test_fixed_bits(void)
{
    dr6_write(0);
    expect("DR6 of 0", dr6_read(), DR6_CLEAR);
    dr6_write(0xE00F);
    expect("DR6 of E00F", dr6_read() & 0xE00F, 0xE00F);
    dr6_write(DR6_CLEAR);
    dr7_write(0);
    expect("DR7 of 0", dr7_read(), DR7_FIXED);
    dr7_write(0x3FF);
    expect("DR7 of 3FF", dr7_read(), 0x7FF);
    dr7_write(DR7_FIXED);
    expect_trap("DR6 bit 32", dr6_try(BIT(32)), GP, 0);
    expect_trap("DR7 bit 32", dr7_try(BIT(32)), GP, 0);
}

static void test_aliases(void)
{
    u64 seen = 0;
    dr6_write(DR6_CLEAR);
    asm volatile(".byte 0x0F, 0x21, 0xE0; mov %%rax, %0" : "=r"(seen)::"rax"); // MOV RAX, DR4
    expect("DR4", seen, DR6_CLEAR);
    asm volatile(".byte 0x0F, 0x21, 0xE8; mov %%rax, %0" : "=r"(seen)::"rax"); // MOV RAX, DR5
    expect("DR5", seen, DR7_FIXED);
    cr4_write(cr4_read() | CR4_DE);
    expect_trap("DR4 with DE", TRAP(".byte 0x0F, 0x21, 0xE0", ::: "rax"), UD, 0);
    expect_trap("DR5 with DE", TRAP(".byte 0x0F, 0x23, 0xE8", ::"a"(DR7_FIXED)), UD, 0);
}

static void test_general_detect(void)
{
    dr7_write(DR7_FIXED | DR7_GD);
    struct trap t = TRAP("mov %%dr0, %%rax", ::: "rax");
    expect_trap("read DR0", t, DB, 0);
    expect("DR6.BD", dr6_read() & DR6_BD, DR6_BD);
    expect("GD is cleared", dr7_read(), DR7_FIXED);
}

#define STEPS 48
static volatile u64 step_rip[STEPS];
static volatile unsigned step_count, step_wrong;
static u64 step_end;

static void note_step(struct regs *regs)
{
    if (!(dr6_read() & DR6_BS))
        step_wrong++;
    dr6_write(DR6_CLEAR);
    if (step_count < STEPS)
        step_rip[step_count++] = regs->rip;
    if (regs->rip == step_end || step_count == STEPS)
        regs->rflags &= ~RFLAGS_TF;
}

// Steps through labels[0] .. labels[count - 1]: RIP after each instruction must be the next label.
static void expect_steps(const char *what, const u64 *labels, unsigned count, void (*code)(void))
{
    step_count = step_wrong = 0;
    step_end = labels[count - 1];
    trap_hook(DB, note_step);
    code();
    trap_hook(DB, NULL);
    expect(what, step_count, count);
    for (unsigned i = 0; i < count && i < step_count; i++) {
        if (step_rip[i] != labels[i])
            fail("%s: step %u: expected rip +%lx, got +%lx", what, i, labels[i] - labels[0],
                 step_rip[i] - labels[0]);
    }
    expect("steps without DR6.BS", step_wrong, 0);
}

// debug_code.asm: a piece sets TF by POPF, runs its instructions, and lists the address after each.
#define STEP_PIECES(X) \
    X(cpuid) X(msr) X(ports) X(mmio) X(hole) X(control) X(string) X(invalidate) X(cli_sti) X(mov_ss) X(plain)
#define X(name)                                                                                \
    void step_##name(void);                                                                    \
    extern const u64 step_##name##_labels[];                                                   \
    extern const u64 step_##name##_count;                                                      \
    static void test_step_##name(void)                                                         \
    {                                                                                          \
        expect_steps(#name, step_##name##_labels, (unsigned)step_##name##_count, step_##name); \
    }
STEP_PIECES(X)
#undef X

// TF over a faulting instruction: the fault comes alone, and its frame has TF set.
static void test_step_fault(void)
{
    struct trap t = TRAP("pushfq; orl $0x100, (%%rsp); mov $0x1234, %%ecx; popfq; rdmsr", ::
                             : "memory", "cc", "rcx");
    expect_trap("RDMSR", t, GP, 0);
    expect("TF in the frame", t.rflags & RFLAGS_TF, RFLAGS_TF);
}

void break_here(void);
asm(".text\nbreak_here: nop\nret\n");
static volatile unsigned breaks;

static void note_break(struct regs *regs)
{
    breaks++;
    if (dr6_read() & 1)
        regs->rflags |= BIT(16); // RF: run the instruction now
    dr6_write(DR6_CLEAR);
}

static void test_execute_breakpoint(void)
{
    dr0_write((u64)break_here);
    dr7_write(DR7_FIXED | 2);
    struct trap t = TRAP("call break_here", ::: "memory");
    expect_trap("break", t, DB, 0);
    expect("RIP", t.rip, (u64)break_here);
    expect("DR6", dr6_read() & 0xF, 1);
    dr6_write(DR6_CLEAR);
    breaks = 0;
    trap_hook(DB, note_break);
    asm volatile("call break_here" ::: "memory");
    expect("once, then resumed by RF", breaks, 1);
    dr7_write(DR7_FIXED);
    asm volatile("call break_here" ::: "memory");
    expect("disabled", breaks, 1);
}

// A breakpoint on an instruction that exits: the #DB comes first.
static void test_break_before_exit(void)
{
    u64 here = 0;
    asm volatile("lea 91f(%%rip), %0; jmp 92f; 91: cpuid; ret; 92:" : "=r"(here));
    dr1_write(here);
    dr7_write(DR7_FIXED | 8);
    struct trap t = TRAP("call *%0", ::"r"(here) : "memory", "rax", "rbx", "rcx", "rdx");
    expect_trap("CPUID", t, DB, 0);
    expect("RIP", t.rip, here);
    expect("DR6", dr6_read() & 0xF, 2);
}

static void test_data_breakpoint(void)
{
    u64 here = 0;
    volatile u32 *word = (u32 *)frame_a;
    dr2_write((u64)word);
    dr7_write(DR7_FIXED | BIT(5) | 0xDull << 24); // DR2, write, 4 bytes
    struct trap t = TRAP("mov (%1), %%eax; lea 91f(%%rip), %0; movl $1, (%1); 91: nop",
                         : "=&r"(here)
                         : "r"(word)
                         : "memory", "rax");
    expect_trap("write", t, DB, 0);
    expect("RIP", t.rip, here);
    expect("DR6", dr6_read() & 0xF, 4);
    expect("written", *word, 1);
    dr6_write(DR6_CLEAR);
    dr7_write(DR7_FIXED | BIT(5) | 0xFull << 24); // read or write
    expect_trap("read", TRAP("mov (%0), %%eax; nop", ::"r"(word) : "memory", "rax"), DB, 0);
    expect("DR6 of the read", dr6_read() & 0xF, 4);
}

#define X(name) {"step_" #name, test_step_##name},
static const struct test tests[] = {
    {"registers", test_registers},
    {"fixed_bits", test_fixed_bits},
    {"aliases", test_aliases},
    {"general_detect", test_general_detect},
    STEP_PIECES(X){"step_fault", test_step_fault},
    {"execute_breakpoint", test_execute_breakpoint},
    {"break_before_exit", test_break_before_exit},
    {"data_breakpoint", test_data_breakpoint},
};
#undef X
GROUP(group_debug, "debug", tests, true);
