// Every exception a program can cause in ring 0 of 64-bit and compatibility mode: vector, error code, CR2,
// RIP, and the double fault. Ring 3 is user.c, single steps and breakpoints are debug.c, 32-bit paging is
// paging32.c.
#include "cpu.h"

void compat_into(void);
void compat_bound(void);

static void test_faults(void)
{
    static const char divide[] = "divide";
    struct trap t = TRAP("xor %%eax, %%eax; 91: div %%eax", ::: "rax", "rdx", "cc");
    expect_trap(divide, t, DE, 0);
    t = TRAP("mov $1, %%ecx; mov $0x80000000, %%eax; mov %%eax, %%edx; idiv %%ecx", ::
                 : "rax", "rcx", "rdx", "cc");
    expect_trap("divide overflow", t, DE, 0);
    expect_trap("UD2", TRAP("ud2", ::: "memory"), UD, 0);
    expect_trap("LOCK NOP", TRAP(".byte 0xF0, 0x90", ::: "memory"), UD, 0);
    expect_trap("INTO in 64-bit", TRAP(".byte 0xCE", ::: "memory"), UD, 0);
    expect_trap("INT3", TRAP("int3", ::: "memory"), BP, 0);
    expect_trap("INT1", TRAP(".byte 0xF1", ::: "memory"), DB, 0);
    expect_trap(
        "too long",
        TRAP(".byte 0x2E,0x2E,0x2E,0x2E,0x2E,0x2E,0x2E,0x2E,0x2E,0x2E,0x2E,0x2E,0x2E,0x2E,0x2E,0x90", ::
                 : "memory"),
        GP, 0);
}

// RIP of a fault is its instruction, of a trap the next one.
static void test_rip(void)
{
    u64 here = 0;
    struct trap t = TRAP("lea 91f(%%rip), %0; 91: ud2", : "=&r"(here)::"memory");
    expect("RIP of UD2", t.rip, here);
    t = TRAP("lea 91f(%%rip), %0; int3; 91: nop", : "=&r"(here)::"memory");
    expect("RIP after INT3", t.rip, here);
    t = TRAP("lea 91f(%%rip), %0; int $0x81; 91: nop", : "=&r"(here)::"memory");
    expect("RIP after INT", t.rip, here);
    expect("vector", t.vector, 0x81);
    t = TRAP("lea 91f(%%rip), %0; mov $0x1234, %%ecx; 91: rdmsr", : "=&r"(here)::"memory", "rcx");
    expect("RIP of RDMSR", t.rip, here);
}

// INTO and BOUND exist in compatibility mode only; user_code.asm has the code.
static void test_compat(void)
{
    struct trap t = TRAP("pushq %1; pushq %0; lretq", ::"r"(compat_into), "i"(CODE32)
                         : "memory", "cc", "rax");
    expect_trap("INTO", t, OF, 0);
    expect("CS", t.cs, CODE32);
    t = TRAP("pushq %1; pushq %0; lretq", ::"r"(compat_bound), "i"(CODE32) : "memory", "cc", "rax", "rbx");
    expect_trap("BOUND", t, BR, 0);
}

static void test_fpu(void)
{
    static const u16 unmasked = 0x37B; // ZM clear
    static const u32 mxcsr = 0x1D80, mxcsr_masked = 0x1F80;
    static const float zero = 0;
    cr0_write(cr0_read() | CR0_TS);
    expect_trap("TS, x87", TRAP("fnop", ::: "memory"), NM, 0);
    expect_trap("TS, SSE", TRAP("movaps %%xmm0, %%xmm1", ::: "memory"), NM, 0);
    expect_trap("TS and MP, WAIT", TRAP("fwait", ::: "memory"), NM, 0);
    cr0_write((cr0_read() & ~(u64)CR0_TS) | CR0_EM);
    expect_trap("EM, x87", TRAP("fnop", ::: "memory"), NM, 0);
    expect_trap("EM, SSE", TRAP("movaps %%xmm0, %%xmm1", ::: "memory"), UD, 0);
    cr0_write(cr0_read() & ~(u64)CR0_EM);
    expect_trap("x87 divide",
                TRAP("fninit; fldcw %0; fld1; fldz; fdivrp; fwait", ::"m"(unmasked)
                     : "memory"),
                MF, 0);
    asm volatile("fninit");
    struct trap t =
        TRAP("ldmxcsr %0; movss %1, %%xmm0; divss %%xmm0, %%xmm0; movss %1, %%xmm1; pcmpeqd %%xmm0, "
             "%%xmm0; psrld $30, %%xmm0; cvtdq2ps %%xmm0, %%xmm0; divss %%xmm1, %%xmm0",
             ::"m"(mxcsr), "m"(zero)
             : "memory");
    expect_trap("SSE divide", t, XM, 0);
    cr4_write(cr4_read() & ~(u64)CR4_OSXMMEXCPT);
    t = TRAP("movss %0, %%xmm1; divss %%xmm1, %%xmm0", ::"m"(zero) : "memory");
    expect_trap("SSE divide without OSXMMEXCPT", t, UD, 0);
    cr4_write(cr4_read() & ~(u64)CR4_OSFXSR);
    expect_trap("SSE without OSFXSR", TRAP("movaps %%xmm0, %%xmm1", ::: "memory"), UD, 0);
    cr4_write(cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    asm volatile("ldmxcsr %0" ::"m"(mxcsr_masked));
}

#define LOAD(segment, selector) TRAP("mov %w0, %%" #segment, ::"r"(selector) : "memory")

static void test_selectors(void)
{
    expect_trap("DS past the table", LOAD(ds, 0x1000), GP, 0x1000);
    expect_trap("DS of the LDT", LOAD(ds, 0x0C), GP, 0x0C);
    expect_trap("DS absent", LOAD(ds, DATA_ABSENT), NP, DATA_ABSENT);
    expect_trap("ES a TSS", LOAD(es, TSS_SELECTOR), GP, TSS_SELECTOR);
    expect_trap("SS absent", LOAD(ss, DATA_ABSENT), SS, DATA_ABSENT);
    expect_trap("SS read-only", LOAD(ss, DATA_READONLY), GP, DATA_READONLY);
    expect_trap("SS of ring 3", LOAD(ss, USER_DATA), GP, USER_DATA & ~3);
    expect_trap("SS null with RPL 3", LOAD(ss, 3), GP, 0);
    expect_trap("CS is no target of MOV", TRAP(".byte 0x8E, 0xC8", ::: "memory"), UD, 0);
    expect_trap("DS legal", LOAD(ds, DATA), NO_TRAP, 0);
    expect_trap("LTR busy", TRAP("ltr %w0", ::"r"(TSS_SELECTOR) : "memory"), GP, TSS_SELECTOR);
    expect_trap("LTR data", TRAP("ltr %w0", ::"r"(DATA) : "memory"), GP, DATA);
    expect_trap("LTR absent", TRAP("ltr %w0", ::"r"(TSS_ABSENT) : "memory"), NP, TSS_ABSENT);
    expect_trap("LLDT data", TRAP("lldt %w0", ::"r"(DATA) : "memory"), GP, DATA);
    expect_trap("LLDT", TRAP("lldt %w0", ::"r"(LDT_SELECTOR) : "memory"), NO_TRAP, 0);
    asm volatile("lldt %w0" ::"r"(0));
    expect_trap("far to data", TRAP("pushq %0; pushq $0; lretq", ::"i"(DATA) : "memory"), GP, DATA);
    expect_trap("far to absent",
                TRAP("pushq %0; pushq $0; lretq", ::"i"(CODE_ABSENT)
                     : "memory"),
                NP, CODE_ABSENT);
    expect_trap("far to L and D", TRAP("pushq %0; pushq $0; lretq", ::"i"(CODE_LD) : "memory"), GP, CODE_LD);
    expect_trap("far to null", TRAP("pushq $0; pushq $0; lretq", ::: "memory"), GP, 0);
}

static void test_canonical(void)
{
    u64 bad = NON_CANONICAL;
    expect_trap("read", TRAP("mov (%0), %%rax", ::"r"(bad) : "memory", "rax"), GP, 0);
    expect_trap("jump", TRAP("jmp *%0", ::"r"(bad) : "memory"), GP, 0);
    struct trap t = TRAP("mov %0, %%rbp; mov (%%rbp), %%rax", ::"r"(bad) : "memory", "rax", "rbp");
    expect_trap("RBP", t, SS, 0);
    expect_trap("INVLPG", TRAP("invlpg (%0)", ::"r"(bad) : "memory"), NO_TRAP, 0);
}

static const struct {
    const char *what;
    u64 flags; // of the leaf entry
    u64 read_error, write_error, fetch_error;
} page_rows[] = {
    {"absent", 0, 0, 2, 0x10},
    {"read-only", PAGE_P, NO_TRAP, 3, NO_TRAP},
    {"writable", PAGE_P | PAGE_W, NO_TRAP, NO_TRAP, NO_TRAP},
    {"no execute", PAGE_P | PAGE_W | PAGE_NX, NO_TRAP, NO_TRAP, 0x11},
    {"reserved bit", PAGE_P | PAGE_W | BIT(51), 9, 11, 0x19},
    {"user", PAGE_P | PAGE_W | PAGE_U, NO_TRAP, NO_TRAP, NO_TRAP},
};

static void expect_page(const char *what, struct trap t, u64 error, u64 gva)
{
    expect_trap(what, t, error == NO_TRAP ? NO_TRAP : PF, error);
    if (error != NO_TRAP)
        expect("CR2", t.cr2, gva);
}

static void test_page_faults(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(page_rows); i++) {
        u64 gva = page_map(i, (u64)frame_a, page_rows[i].flags) + 8 * i + 1;
        frame_a[8 * i + 1] = 0xC3; // RET
        struct trap t = TRAP("movb (%0), %%al", ::"r"(gva) : "memory", "rax");
        expect_page(page_rows[i].what, t, page_rows[i].read_error, gva);
        t = TRAP("movb $0xC3, (%0)", ::"r"(gva) : "memory");
        expect_page(page_rows[i].what, t, page_rows[i].write_error, gva);
        t = TRAP("call *%0", ::"r"(gva) : "memory");
        expect_page(page_rows[i].what, t, page_rows[i].fetch_error, gva);
    }
}

// An access over a page boundary faults on the page that lacks it; CR2 is its first byte there.
static void test_page_crossing(void)
{
    u64 gva = page_map(0, (u64)frame_a, 3) + 4092;
    page_map(1, 0, 0);
    expect_page("second page", TRAP("mov (%0), %%rax", ::"r"(gva) : "memory", "rax"), 0, page_gva(1));
    page_map(1, (u64)frame_b, 3);
    page_map(0, 0, 0);
    expect_page("first page", TRAP("movq $0, (%0)", ::"r"(gva) : "memory"), 2, gva);
    page_map(0, (u64)frame_a, 3);
    *(volatile u64 *)gva = 0x1122334455667788;
    expect("low half", *(u32 *)(frame_a + 4092), 0x55667788);
    expect("high half", *(u32 *)frame_b, 0x11223344);
}

static void test_page_levels(void)
{
    u64 *pdpt = (u64 *)(boot_pml4[1] & ~0xFFFull), *pd = (u64 *)(pdpt[0] & ~0xFFFull);
    u64 gva = page_map(0, (u64)frame_a, 3), pdpte = pdpt[0], pde = pd[0], pml4e = boot_pml4[1];
    u64 *levels[] = {&boot_pml4[1], &pdpt[0], &pd[0]};
    for (unsigned i = 0; i < ARRAY_SIZE(levels); i++) {
        u64 saved = *levels[i];
        *levels[i] = saved & ~1ull;
        page_flush(0);
        expect_page("absent table", TRAP("mov (%0), %%rax", ::"r"(gva) : "memory", "rax"), 0, gva);
        *levels[i] = saved & ~2ull;
        page_flush(0);
        expect_page("read-only table", TRAP("movq $0, (%0)", ::"r"(gva) : "memory"), 3, gva);
        *levels[i] = saved | PAGE_NX;
        page_flush(0);
        expect_page("no-execute table", TRAP("call *%0", ::"r"(gva) : "memory"), 0x11, gva);
        *levels[i] = saved | (i == 0 ? PAGE_PS : BIT(51));
        page_flush(0);
        expect_page("reserved bit", TRAP("mov (%0), %%rax", ::"r"(gva) : "memory", "rax"), 9, gva);
        *levels[i] = saved;
        page_flush(0);
    }
    expect("tables", (boot_pml4[1] ^ pml4e) | (pdpt[0] ^ pdpte) | (pd[0] ^ pde), 0);
}

static void test_accessed_dirty(void)
{
    u64 gva = page_map(0, (u64)frame_a, 3);
    asm volatile("movb (%0), %%al" ::"r"(gva) : "memory", "rax");
    expect("after a read", *page_entry(0), (u64)frame_a | 3 | PAGE_A);
    asm volatile("movb $1, (%0)" ::"r"(gva) : "memory");
    expect("after a write", *page_entry(0), (u64)frame_a | 3 | PAGE_A | PAGE_D);
    gva = page_map(0, (u64)frame_a, 1);
    expect_page("refused write", TRAP("movb $1, (%0)", ::"r"(gva) : "memory"), 3, gva);
    expect("no dirty bit", *page_entry(0) & PAGE_D, 0);
}

static void test_gates(void)
{
    idt[0x90].present = 0;
    expect_trap("gate not present", TRAP("int $0x90", ::: "memory"), NP, 0x90 * 8 + 2);
    idt[0x91].type = 5;
    expect_trap("gate of a bad type", TRAP("int $0x91", ::: "memory"), GP, 0x91 * 8 + 2);
    idt[0x92].selector = DATA;
    expect_trap("gate to data", TRAP("int $0x92", ::: "memory"), GP, DATA);
    idt[0x93].selector = CODE_ABSENT;
    expect_trap("gate to absent code", TRAP("int $0x93", ::: "memory"), NP, CODE_ABSENT);
    idt[0x94].selector = 0;
    expect_trap("gate to null", TRAP("int $0x94", ::: "memory"), GP, 0);
    idt[0x95].offset_high = 0x8000;
    expect_trap("gate not canonical", TRAP("int $0x95", ::: "memory"), GP, 0);
    struct descriptor_register small = {0x8F * 16 + 15, (u64)idt};
    struct trap t = TRAP("lidt %0; int $0x90", ::"m"(small) : "memory");
    expect_trap("past the IDT", t, GP, 0x90 * 8 + 2);
    asm volatile("lidt %0" ::"m"(idt_register) : "memory");
}

static volatile u64 hook_rflags;
static void note_rflags(struct regs *regs)
{
    (void)regs;
    hook_rflags = rflags_read();
}

static void test_gate_kinds(void)
{
    trap_hook(0xA0, note_rflags);
    idt[0xA0].type = 14;
    asm volatile("sti; int $0xA0; cli" ::: "memory");
    expect("interrupt gate, IF", hook_rflags & RFLAGS_IF, 0);
    idt[0xA0].type = 15;
    asm volatile("sti; int $0xA0; cli" ::: "memory");
    expect("trap gate, IF", hook_rflags & RFLAGS_IF, RFLAGS_IF);
}

static void test_iret(void)
{
#define IRET_TO(cs, rip, ss)                                                                              \
    TRAP("pushq %2; pushq %%rsp; pushq $2; pushq %0; pushq %1; iretq", ::"r"((u64)(cs)), "r"((u64)(rip)), \
         "r"((u64)(ss))                                                                                   \
         : "memory")
    expect_trap("absent code", IRET_TO(CODE_ABSENT, 0, DATA), NP, CODE_ABSENT);
    expect_trap("data as code", IRET_TO(DATA, 0, DATA), GP, DATA);
    expect_trap("null code", IRET_TO(0, 0, DATA), GP, 0);
    expect_trap("not canonical", IRET_TO(CODE64, NON_CANONICAL, DATA), GP, 0);
    // An absent stack segment is not tried: it should be #SS, and Bochs 2.7 gives #NP.
    expect_trap("stack of ring 3", IRET_TO(CODE64, 0, USER_DATA), GP, USER_DATA & ~3);
    expect_trap("code of ring 3, stack of ring 0", IRET_TO(USER_CODE64, 0, DATA), GP, DATA);
    struct trap t = TRAP("pushfq; orl $0x4000, (%%rsp); popfq; iretq", ::: "memory", "cc");
    expect_trap("NT", t, GP, 0);
}

// #DF on its own stack: a #PF whose frame cannot be pushed, a contributory pair, and #PF after #PF through
// the IDT.
static void test_double_fault(void)
{
    u64 bad_stack = page_gva(5) + 0x800;
    struct trap t = TRAP("mov %0, %%rsp; push %%rax", ::"r"(bad_stack) : "memory");
    expect_trap("push to an absent stack", t, DF, 0);
    expect("CR2", t.cr2 & ~0xFFFull, page_gva(5));
    expect("RSP", t.rsp, bad_stack);
    t = TRAP("mov %0, %%rsp; ud2", ::"r"(bad_stack) : "memory");
    expect_trap("#UD on an absent stack", t, DF, 0);
    t = TRAP("mov %0, %%rsp; push %%rax", ::"r"(NON_CANONICAL) : "memory");
    expect_trap("#SS on a stack that is not canonical", t, DF, 0);
    idt[DE].present = 0;
    t = TRAP("xor %%eax, %%eax; div %%eax", ::: "rax", "rdx", "cc");
    expect_trap("#DE through an absent gate", t, DF, 0);
    idt[GP].present = 0;
    expect_trap("#GP through an absent gate", msr_try_read(0x1234), DF, 0);
    idt[UD].present = 0;
    expect_trap("#UD through an absent gate", TRAP("ud2", ::: "memory"), NP, UD * 8 + 2 + 1);
}

#define IST_BAD 2

// From now on the vector's stack is in page 6.
static void bad_stack_for(unsigned vector)
{
    tss.ist[IST_BAD - 1] = page_gva(6) + 0x800;
    idt[vector].ist = IST_BAD;
}

// A #PF with this error code while another event is delivered (SDM vol. 3, table 6-5): after a #PF it is a
// double fault, and CR2 is its own; after all else a #PF like any.
static void page_fault_in_delivery(u64 error)
{
    bad_stack_for(PF);
    struct trap t = TRAP("movq (%0), %%rax", ::"r"(page_gva(5)) : "memory", "rax");
    expect_trap("in #PF", t, DF, 0);
    expect("CR2", t.cr2 & ~0xFFFull, page_gva(6));
    idt[PF].ist = 0;
    bad_stack_for(GP);
    t = msr_try_read(0x1234);
    expect_trap("in #GP", t, PF, error);
    expect("CR2", t.cr2 & ~0xFFFull, page_gva(6));
    bad_stack_for(DE);
    t = TRAP("xor %%eax, %%eax; div %%eax", ::: "rax", "rdx", "cc");
    expect_trap("in #DE", t, PF, error);
    bad_stack_for(UD);
    expect_trap("in #UD", TRAP("ud2", ::: "memory"), PF, error);
    bad_stack_for(0x40);
    expect_trap("in INT 40H", TRAP("int $0x40", ::: "memory"), PF, error);
    bad_stack_for(BP);
    expect_trap("in INT3", TRAP("int3", ::: "memory"), PF, error);
}

static void test_page_fault_in_delivery(void)
{
    page_map(6, 0, 0);
    page_fault_in_delivery(2);
    page_map(6, (u64)frame_a, PAGE_P);
    page_fault_in_delivery(3);
}

static const struct test tests[] = {
    {"faults", test_faults},
    {"rip", test_rip},
    {"compat", test_compat},
    {"fpu", test_fpu},
    {"selectors", test_selectors},
    {"canonical", test_canonical},
    {"page_faults", test_page_faults},
    {"page_crossing", test_page_crossing},
    {"page_levels", test_page_levels},
    {"accessed_dirty", test_accessed_dirty},
    {"gates", test_gates},
    {"gate_kinds", test_gate_kinds},
    {"iret", test_iret},
    {"double_fault", test_double_fault},
    {"page_fault_in_delivery", test_page_fault_in_delivery},
};
GROUP(group_exceptions, "exceptions", tests, true);
