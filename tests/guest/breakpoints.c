// Breakpoints, single steps and RFLAGS.RF around instructions that a monitor carries out, repairs or passes
// on: stores to page tables, device registers, ports, what exits. Where #DB comes, and with which DR6, is the
// SDM's (vol. 3, 18.2 and 18.3). What has no trap with it is in debug.c.
#include "cpu.h"
#include "lapic.h"

#define DR6_CLEAR 0xFFFF0FF0ull
#define DR6_HITS  0xE00Full
#define DR6_BS    BIT(14)
#define DR7_FIXED 0x400ull
#define RFLAGS_RF BIT(16)

// DR7: breakpoint n enabled; what it watches, and how many bytes.
enum { EXECUTE, WRITE, PORT, ACCESS };
enum { BYTES_1, BYTES_2, BYTES_8, BYTES_4 };
#define WATCH(n, kind, bytes) (2ull << 2 * (n) | (u64)((bytes) << 2 | (kind)) << (16 + 4 * (n)))

#define IOAPIC_GPA 0xFEC00000ull
#define SCRATCH    0x3FF
#define NOBODY     0x2FF0

#define NOTES 16
static volatile unsigned notes;
static volatile u64 note_rip[NOTES], note_dr6[NOTES], note_flags[NOTES];

// A breakpoint on an instruction is a fault: the instruction runs when its frame has RF.
static void note(struct regs *regs)
{
    u64 dr6 = dr6_read() & DR6_HITS;
    if (notes < NOTES) {
        note_rip[notes] = regs->rip;
        note_dr6[notes] = dr6;
        note_flags[notes] = regs->rflags;
    }
    if (++notes == NOTES)
        regs->rflags &= ~RFLAGS_TF;
    if (dr6 & 0xF)
        regs->rflags |= RFLAGS_RF;
    dr6_write(DR6_CLEAR);
}

static void watch_from(u64 dr7)
{
    notes = 0;
    dr6_write(DR6_CLEAR);
    trap_hook(DB, note);
    dr7_write(DR7_FIXED | dr7);
}

static void watch_end(void)
{
    dr7_write(DR7_FIXED);
    trap_hook(DB, NULL);
}

static void expect_note(unsigned n, u64 rip, u64 dr6)
{
    if (n >= notes || note_rip[n] != rip || note_dr6[n] != dr6)
        fail("#DB %u of %u: expected rip %lx DR6 %lx, got %lx %lx", n + 1, notes, rip, dr6, note_rip[n],
             note_dr6[n]);
}

// An entry of a page table that has been used, so that a monitor may watch the table.
static volatile u64 *entry_used(unsigned n)
{
    u64 gva = page_map(n, (u64)frame_a, PAGE_P | PAGE_W);
    *(volatile u64 *)gva = 1;
    cr3_write(cr3_read());
    (void)*(volatile u64 *)gva;
    return page_entry(n);
}

// One data breakpoint on a page-table entry, and a store to it in many forms: #DB after it.
#define STORE(name, code, ...)                                           \
    extern u8 store_##name##_after[];                                    \
    static void test_store_##name(void)                                  \
    {                                                                    \
        volatile u64 *entry = entry_used(30);                            \
        u64 value = (u64)frame_b | 3;                                    \
        (void)value;                                                     \
        dr0_write((u64)entry);                                           \
        watch_from(WATCH(0, WRITE, BYTES_8));                            \
        asm volatile(code "\nstore_" #name "_after: nop\n" __VA_ARGS__); \
        watch_end();                                                     \
        expect_note(0, (u64)store_##name##_after, 1);                    \
        expect("#DB", notes, 1);                                         \
    }
STORE(mov, "movq %0, (%1)", ::"r"(value), "r"(entry) : "memory")
STORE(xchg, "xchgq %0, (%1)", : "+r"(value) : "r"(entry) : "memory")
STORE(or, "lock orq $0x200, (%0)", ::"r"(entry) : "memory", "cc")
STORE(inc, "incw (%0)", ::"r"(entry) : "memory", "cc")
STORE(sse, "movq %0, %%xmm0; movq %%xmm0, (%1)", ::"r"(value), "r"(entry) : "memory")
STORE(stos, "mov $1, %%ecx; rep stosq", : "+D"(entry) : "a"(value) : "memory", "rcx")

// A breakpoint of 4 bytes in the middle of what is written, and one beside it.
static void test_store_overlap(void)
{
    volatile u64 *entry = entry_used(30);
    dr1_write((u64)entry + 4);
    dr2_write((u64)entry + 8);
    watch_from(WATCH(1, ACCESS, BYTES_4) | WATCH(2, WRITE, BYTES_1));
    asm volatile("movq %0, (%1)" ::"r"((u64)frame_b | 3), "r"(entry) : "memory");
    asm volatile("movl %0, (%1)" ::"r"((u32)(u64)frame_b | 3), "r"(entry) : "memory");
    watch_end();
    expect("#DB", notes, 1);
    expect("DR6", note_dr6[0], 2);
}

// Breakpoints on an instruction and on the one after it: both come, though RF is set over the first.
#define PAIR(name, code, ...)                                                                          \
    extern u8 pair_##name##_first[], pair_##name##_second[];                                           \
    static void test_pair_##name(void)                                                                 \
    {                                                                                                  \
        volatile u64 *entry = entry_used(31);                                                          \
        u64 value = (u64)frame_b | 3, cr3 = cr3_read();                                                \
        (void)entry, (void)value, (void)cr3;                                                           \
        dr0_write((u64)pair_##name##_first);                                                           \
        dr1_write((u64)pair_##name##_second);                                                          \
        watch_from(WATCH(0, EXECUTE, BYTES_1) | WATCH(1, EXECUTE, BYTES_1));                           \
        asm volatile(".globl pair_" #name "_first, pair_" #name "_second\npair_" #name "_first: " code \
                     "\npair_" #name "_second: nop\n" __VA_ARGS__);                                    \
        watch_end();                                                                                   \
        expect_note(0, (u64)pair_##name##_first, 1);                                                   \
        expect_note(1, (u64)pair_##name##_second, 2);                                                  \
        expect("#DB", notes, 2);                                                                       \
        expect("RF in the frames", (note_flags[0] | note_flags[1]) & RFLAGS_RF, 0);                    \
    }
PAIR(table, "movq %0, (%1)", ::"r"(value), "r"(entry) : "memory")
PAIR(table_or, "orq %0, (%1)", ::"r"(value), "r"(entry) : "memory", "cc")
PAIR(cpuid, "cpuid", ::"a"(0), "c"(0) : "rbx", "rdx", "memory")
PAIR(ioapic, "movl $1, (%0)", ::"r"(IOAPIC_GPA) : "memory")
PAIR(hole, "movl (%0), %%eax", ::"r"(HOLE_GPA) : "memory", "rax")
PAIR(port, "outb %%al, $0x80", ::"a"(1) : "memory")
PAIR(cr3, "mov %0, %%cr3", ::"r"(cr3) : "memory")
PAIR(outs, "rep outsb", ::"S"(frame_a), "c"(3), "d"(NOBODY) : "memory")
PAIR(ins, "rep insb", ::"D"(frame_a), "c"(1500), "d"(NOBODY) : "memory")

// The frame of a fault: RF is set there.
static void expect_fault(const char *what, struct trap t, unsigned vector)
{
    expect_trap(what, t, vector, 0);
    if (!(t.rflags & RFLAGS_RF))
        fail("%s: expected RF in the frame, got RFLAGS %lx", what, t.rflags);
}

static void test_fault_frames(void)
{
    expect_fault("RDMSR", msr_try_read(0x12345678), GP);
    expect_fault("WRMSR", msr_try_write(IA32_EFER, ~0ull), GP);
    expect_fault("MOV CR0", cr0_try(cr0_read() & ~(u64)CR0_PE), GP);
    expect_fault("MOV CR3", cr3_try(cr3_read() | BIT(62)), GP);
    expect_fault("MOV CR4", cr4_try(cr4_read() | BIT(31)), GP);
    expect_fault("RDPMC", TRAP("rdpmc", ::"c"(0x12345) : "rax", "rdx"), GP);
    expect_fault("VMREAD", TRAP("vmread %%rax, %%rax", ::: "rax", "cc"), UD);
    expect_fault("UD2", TRAP("ud2", ::: "memory"), UD);
    struct trap t = TRAP("outsb", ::"S"(page_gva(40)), "d"(NOBODY) : "memory");
    expect_trap("OUTS", t, PF, 0);
    expect("OUTS: RF in the frame", t.rflags & RFLAGS_RF, RFLAGS_RF);
}

// What a port string, a device register and a port hit.
extern u8 watch_port_after[], watch_device_after[], watch_load_after[], watch_ins_after[], watch_outs_after[];

static void test_watch_port(void)
{
    dr0_write(0x82);
    cr4_write(cr4_read() | CR4_DE);
    watch_from(WATCH(0, PORT, BYTES_1));
    asm volatile("outb %%al, $0x80\n outl %%eax, $0x80\n watch_port_after: nop" ::"a"(1) : "memory");
    watch_end();
    expect_note(0, (u64)watch_port_after, 1);
    expect("#DB", notes, 1);
}

static void test_watch_device(void)
{
    dr3_write(IOAPIC_GPA);
    watch_from(WATCH(3, WRITE, BYTES_4));
    asm volatile("movl (%0), %%eax\n movl $1, (%0)\n watch_device_after: nop" ::"r"(IOAPIC_GPA)
                 : "memory", "rax");
    watch_end();
    expect_note(0, (u64)watch_device_after, 8);
    expect("#DB of the write alone", notes, 1);
    dr3_write(HOLE_GPA);
    watch_from(WATCH(3, ACCESS, BYTES_1));
    asm volatile("movl (%0), %%eax\n watch_load_after: nop" ::"r"(HOLE_GPA) : "memory", "rax");
    watch_end();
    expect_note(0, (u64)watch_load_after, 8);
    expect("#DB", notes, 1);
}

// Repeated, #DB comes after the iteration.
static void test_watch_strings(void)
{
    u64 to = (u64)frame_a, count = 5;
    dr0_write((u64)frame_a + 2);
    watch_from(WATCH(0, WRITE, BYTES_1));
    asm volatile("rep insb\n watch_ins_after: nop" : "+D"(to), "+c"(count) : "d"(NOBODY) : "memory");
    watch_end();
    expect("#DB of INS", notes, 1);
    expect("RDI", to, (u64)frame_a + 5);
    count = 3;
    to = (u64)frame_a;
    watch_from(WATCH(0, ACCESS, BYTES_1));
    asm volatile("rep outsb\n watch_outs_after: nop" : "+S"(to), "+c"(count) : "d"(NOBODY) : "memory");
    watch_end();
    expect_note(0, (u64)watch_outs_after, 1);
    expect("#DB of OUTS", notes, 1);
    expect("RF after the last iteration", note_flags[0] & RFLAGS_RF, 0);
}

// TF over repeated instructions: a step after each iteration. RF, which is set in the frames before the last,
// is not looked at: Bochs 2.7 has it clear.
static void expect_iterations(const char *what)
{
    expect(what, notes >= 4, 1);
    for (unsigned i = 1; i < 4; i++)
        expect("DR6", note_dr6[i], DR6_BS);
    expect("same RIP", note_rip[1], note_rip[2]);
    expect("RF after the last", note_flags[3] & RFLAGS_RF, 0);
}

#define STEP_ON  "pushfq; orl $0x100, (%%rsp); popfq; nop;"
#define STEP_OFF "; nop; pushfq; andl $~0x100, (%%rsp); popfq"

static void test_step_iterations(void)
{
    u64 to = (u64)frame_a, count = 3;
    watch_from(0);
    asm volatile(STEP_ON "rep insb" STEP_OFF : "+D"(to), "+c"(count) : "d"(NOBODY) : "memory", "cc");
    watch_end();
    expect_iterations("steps of INS");
    to = HOLE_GPA;
    count = 3;
    watch_from(0);
    asm volatile(STEP_ON "rep stosl" STEP_OFF : "+D"(to), "+c"(count) : "a"(0) : "memory", "cc");
    watch_end();
    expect_iterations("steps of STOS");
}

extern u8 step_tables_from[], step_tables_1[], step_tables_2[], step_tables_3[], step_tables_4[];
static void test_step_tables(void)
{
    volatile u64 *entry = entry_used(33);
    u64 value = (u64)frame_b | 3;
    watch_from(0);
    asm volatile(
        "pushfq; orl $0x100, (%%rsp); popfq\nstep_tables_from: movq %0, (%1)\nstep_tables_1: xchgq %0, (%1)\n"
        "step_tables_2: lock orq $0x400, (%1)\nstep_tables_3: movq %0, %%xmm0\nstep_tables_4: "
        "pushfq; andl $~0x100, (%%rsp); popfq"
        : "+r"(value)
        : "r"(entry)
        : "memory", "cc");
    watch_end();
    const u64 want[] = {(u64)step_tables_1, (u64)step_tables_2, (u64)step_tables_3, (u64)step_tables_4};
    for (unsigned i = 0; i < ARRAY_SIZE(want); i++)
        expect_note(i, want[i], DR6_BS);
}

// #DB of ring 3, delivered to a stack that is a page table.
static void test_step_to_table(void)
{
    extern void access_user_read(void);
    u64 stack = tss.rsp[0], gva = USER_ALIAS + (u64)frame_b, value = 0;
    tss.rsp[0] = (u64)&entry_used(34)[200];
    struct trap t = TRAP("pushq %[ss]; pushq %[sp]; pushq $0x102; pushq %[cs]; pushq %[ip]; iretq",
                         : "+D"(gva), "+a"(value)
                         : [ss] "i"(USER_DATA), [sp] "r"(USER_ALIAS + (u64)frame_a + 4096),
                           [cs] "i"(USER_CODE64), [ip] "r"(USER_ALIAS + (u64)access_user_read)
                         : "memory", "cc");
    tss.rsp[0] = stack;
    expect_trap("step", t, DB, 0);
    expect("DR6", dr6_read() & DR6_HITS, DR6_BS);
    expect("RF in the frame", t.rflags & RFLAGS_RF, 0);
}

// A data breakpoint on bytes that are only executed is not hit.
static void test_watch_code(void)
{
    extern const u8 watch_code_here[];
    dr0_write((u64)watch_code_here);
    dr1_write((u64)watch_code_here + 8);
    watch_from(WATCH(0, ACCESS, BYTES_8) | WATCH(1, ACCESS, BYTES_8));
    asm volatile(".balign 8\n watch_code_here: movl $1, (%0)\n nop; nop; nop; nop; nop; nop" ::"r"(IOAPIC_GPA)
                 : "memory");
    watch_end();
    expect("#DB", notes, 0);
}

// INT1: a trap, and no bit of DR6.
static void test_int1(void)
{
    u64 here;
    dr6_write(DR6_CLEAR | DR6_BS);
    struct trap t = TRAP("lea 91f(%%rip), %0; .byte 0xF1; 91: nop", : "=&r"(here)::"memory");
    expect_trap("INT1", t, DB, 0);
    expect("RIP", t.rip, here);
    expect("DR6", dr6_read() & DR6_HITS, DR6_BS);
}

// BS stays until software clears it; B0 to B3 are those of the last exception.
static void test_dr6_stays(void)
{
    dr0_write((u64)frame_a);
    dr6_write(DR6_CLEAR | DR6_BS | 0xE);
    dr7_write(DR7_FIXED | WATCH(0, WRITE, BYTES_4));
    struct trap t = TRAP("movl $1, (%0); nop", ::"r"(frame_a) : "memory");
    expect_trap("write", t, DB, 0);
    expect("DR6", dr6_read() & DR6_HITS, DR6_BS | 1);
}

#define X(kind, name)                         \
    {                                         \
#kind "_" #name, test_##kind##_##name \
    }
static const struct test tests[] = {
    X(store, mov),       X(store, xchg),    X(store, or),      X(store, inc),       X(store, sse),
    X(store, stos),      X(store, overlap), X(pair, table),    X(pair, table_or),   X(pair, cpuid),
    X(pair, ioapic),     X(pair, hole),     X(pair, port),     X(pair, cr3),        X(pair, outs),
    X(pair, ins),        X(fault, frames),  X(watch, port),    X(watch, device),    X(watch, strings),
    X(step, iterations), X(step, tables),   X(step, to_table), {"int1", test_int1}, X(dr6, stays),
    X(watch, code),
};
#undef X
GROUP(group_breakpoints, "breakpoints", tests, true);
