// Guest-physical addresses with nothing behind: every kind of access reads ones, and writes change nothing.
// The group oddhole, not run by default, has what a monitor need not emulate: stack, SSE, fetch, page walk.
// It may stop the guest with a message instead; bare it passes. Beyond the end of RAM is memory.c; devices
// are mmio.c.
#include "cpu.h"

#define HOLE(type) (*(volatile type *)(HOLE_GPA))

static void test_moves(void)
{
    expect("8 bits", HOLE(u8), 0xFF);
    expect("16 bits", HOLE(u16), 0xFFFF);
    expect("32 bits", HOLE(u32), 0xFFFFFFFF);
    expect("64 bits", HOLE(u64), ~0ull);
    HOLE(u8) = 1;
    HOLE(u16) = 2;
    HOLE(u32) = 3;
    HOLE(u64) = 4;
    expect("after writes", HOLE(u64), ~0ull);
    asm volatile("movq $5, (%0)" ::"r"(HOLE_GPA) : "memory");
    expect("last byte of the page", *(volatile u8 *)(HOLE_GPA + 4095), 0xFF);
    expect("unaligned", *(volatile u64 *)(HOLE_GPA + 3), ~0ull);
    expect("across two pages", *(volatile u64 *)(HOLE_GPA + 4093), ~0ull);
}

static void test_partial_registers(void)
{
    u64 rax = 0x1122334455667788;
    asm volatile("movb (%1), %%al" : "+a"(rax) : "r"(HOLE_GPA) : "memory");
    expect("AL", rax, 0x11223344556677FF);
    rax = 0x1122334455667788;
    asm volatile("movb (%1), %%ah" : "+a"(rax) : "b"(HOLE_GPA) : "memory");
    expect("AH", rax, 0x112233445566FF88);
    asm volatile("movw (%1), %%ax" : "+a"(rax) : "r"(HOLE_GPA) : "memory");
    expect("AX", rax, 0x112233445566FFFF);
    asm volatile("movl (%1), %%eax" : "+a"(rax) : "r"(HOLE_GPA) : "memory");
    expect("EAX", rax, 0xFFFFFFFF);
    u64 rsi = 0x1122334455667788;
    asm volatile("movb (%1), %%sil" : "+S"(rsi) : "r"(HOLE_GPA) : "memory");
    expect("SIL", rsi, 0x11223344556677FF);
}

#define EXTEND(code, want)                                      \
    asm volatile(code : "=r"(seen) : "r"(HOLE_GPA) : "memory"); \
    expect(code, seen, want)

static void test_extensions(void)
{
    u64 seen = 0;
    EXTEND("movzbl (%1), %k0", 0xFF);
    EXTEND("movzwl (%1), %k0", 0xFFFF);
    EXTEND("movzbq (%1), %0", 0xFF);
    EXTEND("movsbl (%1), %k0", 0xFFFFFFFF);
    EXTEND("movswq (%1), %0", ~0ull);
    EXTEND("movsbq (%1), %0", ~0ull);
    EXTEND("movslq (%1), %0", ~0ull);
    seen = 0;
    asm volatile("movzbw (%1), %w0" : "+r"(seen) : "r"(HOLE_GPA) : "memory");
    expect("MOVZX 16", seen, 0xFF);
}

static void test_strings(void)
{
    u64 rsi = HOLE_GPA, rdi = (u64)frame_a, rcx = 8;
    asm volatile("rep movsq" : "+S"(rsi), "+D"(rdi), "+c"(rcx)::"memory");
    expect("REP MOVSQ", *(u64 *)(frame_a + 56), ~0ull);
    expect("and no more", *(u64 *)(frame_a + 64), 0);
    expect("RSI", rsi, HOLE_GPA + 64);
    rsi = (u64)frame_b;
    rdi = HOLE_GPA;
    rcx = 32;
    asm volatile("rep movsb" : "+S"(rsi), "+D"(rdi), "+c"(rcx)::"memory");
    expect("RDI", rdi, HOLE_GPA + 32);
    rcx = 4;
    asm volatile("rep stosw" : "+D"(rdi), "+c"(rcx) : "a"(0) : "memory");
    expect("REP STOSW", rdi, HOLE_GPA + 40);
    expect("after them", HOLE(u64), ~0ull);
    rsi = HOLE_GPA;
    u64 rax = 0;
    asm volatile("lodsq" : "+S"(rsi), "+a"(rax)::"memory");
    expect("LODSQ", rax, ~0ull);
}

static void test_alu(void)
{
    bool flag = false;
    u64 value = 0;
    asm volatile("orb $1, (%0); xorl $-1, (%0); andq $0, (%0); incl (%0); notq (%0)" ::"r"(HOLE_GPA)
                 : "memory", "cc");
    expect("after read-modify-write", HOLE(u64), ~0ull);
    asm volatile("cmpb $0xFF, (%1); sete %0" : "=r"(flag) : "r"(HOLE_GPA) : "memory", "cc");
    expect("CMP", flag, 1);
    asm volatile("testl $1, (%1); setnz %0" : "=r"(flag) : "r"(HOLE_GPA) : "memory", "cc");
    expect("TEST", flag, 1);
    asm volatile("add (%1), %0" : "+r"(value) : "r"(HOLE_GPA) : "memory", "cc");
    expect("ADD", value, ~0ull);
    asm volatile("bt $5, (%1); setc %0" : "=r"(flag) : "r"((u32 *)HOLE_GPA) : "memory", "cc");
    expect("BT", flag, 1);
}

static void test_locked(void)
{
    u64 rax = 7, value = 1;
    asm volatile("lock xaddq %0, (%1)" : "+r"(value) : "r"(HOLE_GPA) : "memory", "cc");
    expect("XADD", value, ~0ull);
    asm volatile("lock cmpxchgq %2, (%1)" : "+a"(rax) : "r"(HOLE_GPA), "r"(0ull) : "memory", "cc");
    expect("CMPXCHG", rax, ~0ull);
    value = 2;
    asm volatile("xchgq %0, (%1)" : "+r"(value) : "r"(HOLE_GPA) : "memory");
    expect("XCHG", value, ~0ull);
    asm volatile("lock btrq $3, (%0)" ::"r"(HOLE_GPA) : "memory", "cc");
    expect("after them", HOLE(u64), ~0ull);
}

static void test_stack(void)
{
    u64 value = 0;
    asm volatile("mov %%rsp, %%rbx; lea 64(%1), %%rsp; push $5; pop %0; mov %%rbx, %%rsp"
                 : "=&r"(value)
                 : "r"(HOLE_GPA)
                 : "memory", "rbx");
    expect("PUSH, POP", value, ~0ull);
    asm volatile("pushq (%1); popq %0" : "=r"(value) : "r"(HOLE_GPA) : "memory");
    expect("PUSH from memory", value, ~0ull);
}

static void test_sse(void)
{
    u64 low = 0;
    asm volatile("movdqu (%1), %%xmm0; movq %%xmm0, %0" : "=r"(low) : "r"(HOLE_GPA) : "memory");
    expect("MOVDQU", low, ~0ull);
    asm volatile("pxor %%xmm0, %%xmm0; movdqu %%xmm0, (%0); movq %%xmm0, (%0)" ::"r"(HOLE_GPA) : "memory");
    expect("after stores", HOLE(u64), ~0ull);
}

// FF FF is no instruction: a fetch from the hole is #UD.
static void test_fetch(void)
{
    struct trap t = TRAP("jmp *%0", ::"r"(HOLE_GPA + 0x100) : "memory");
    expect_trap("fetch", t, UD, 0);
    expect("RIP", t.rip, HOLE_GPA + 0x100);
}

// A table in the hole has entries of ones: reserved bits are set, so a walk through it is #PF with RSVD.
static void test_walk(void)
{
    u64 *pdpt = (u64 *)(boot_pml4[1] & ~0xFFFull), *pd = (u64 *)(pdpt[0] & ~0xFFFull);
    pd[1] = HOLE_GPA | 7;
    u64 gva = page_gva(0) + 2 * MIB;
    asm volatile("invlpg (%0)" ::"r"(gva) : "memory");
    expect_trap("walk", TRAP("mov (%0), %%rax", ::"r"(gva) : "memory", "rax"), PF, 9);
    pd[1] = 0;
    asm volatile("invlpg (%0)" ::"r"(gva) : "memory");
}

static const struct test tests[] = {
    {"moves", test_moves},
    {"partial_registers", test_partial_registers},
    {"extensions", test_extensions},
    {"strings", test_strings},
    {"alu", test_alu},
    {"locked", test_locked},
};
GROUP(group_hole, "hole", tests, true);

static const struct test odd_tests[] = {
    {"stack", test_stack},
    {"sse", test_sse},
    {"fetch", test_fetch},
    {"walk", test_walk},
};
GROUP(group_oddhole, "oddhole", odd_tests, false);
