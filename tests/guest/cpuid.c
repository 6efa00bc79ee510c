// CPUID's shape, the leaves that change with processor state, and that an instruction works if and only if
// CPUID offers it (for those instructions that a monitor can switch off). Hypervisor leaves and raw feature
// bits are left out: the monitor may answer them otherwise than the machine. Neighbours: cr.c (CR4 bits
// against CPUID).
#include "cpu.h"

static void test_leaf0(void)
{
    struct cpuid c = cpuid_read(0, 0);
    if (c.eax < 1 || c.eax > 0x40)
        fail("maximum leaf: expected 1..40, got %x", c.eax);
    expect("vendor", (u64)c.ebx << 32 | c.edx, 0x756E6547ull << 32 | 0x49656E69);
    expect("vendor end", c.ecx, 0x6C65746E);
    struct cpuid x = cpuid_read(0x80000000, 0);
    if (x.eax < 0x80000008 || x.eax > 0x80000040)
        fail("maximum extended leaf: expected 80000008.., got %x", x.eax);
}

static void test_upper_halves(void)
{
    u64 rax = ~0ull << 32, rbx = ~0ull, rcx = ~0ull << 32, rdx = ~0ull;
    asm volatile("cpuid" : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx));
    expect("upper halves are zero", (rax | rbx | rcx | rdx) >> 32, 0);
    expect("leaf 0 by EAX only", rbx, 0x756E6547);
}

static void test_sizes(void)
{
    u32 sizes = cpuid_read(0x80000008, 0).eax;
    if ((sizes & 0xFF) < 36 || (sizes & 0xFF) > 52)
        fail("physical bits: expected 36..52, got %u", sizes & 0xFF);
    expect("linear bits", sizes >> 8 & 0xFF, 48);
}

static void test_must_have(void)
{
    struct cpuid c = cpuid_read(1, 0);
    u32 edx = 1 << 0 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 9 | 1 << 13 | 1 << 15 | 1 << 16 |
              1 << 24 | 1 << 25 | 1 << 26; // FPU PSE TSC MSR PAE CX8 APIC PGE CMOV PAT FXSR SSE SSE2
    expect("leaf 1 EDX", c.edx & edx, edx);
    expect("initial APIC ID", c.ebx >> 24, *(volatile u32 *)0xFEE00020 >> 24);
    u32 extended = cpuid_read(0x80000001, 0).edx;
    u32 want = 1u << 11 | 1u << 20 | 1u << 29; // SYSCALL, NX, long mode
    expect("leaf 80000001 EDX", extended & want, want);
}

// OSXSAVE mirrors CR4 (SDM 2A, CPUID).
static void test_osxsave(void)
{
    if (!(cpuid_read(1, 0).ecx >> 26 & 1))
        return;
    u64 cr4 = cr4_read() & ~(u64)CR4_OSXSAVE;
    cr4_write(cr4);
    expect("off", cpuid_read(1, 0).ecx >> 27 & 1, 0);
    cr4_write(cr4 | CR4_OSXSAVE);
    expect("on", cpuid_read(1, 0).ecx >> 27 & 1, 1);
    cr4_write(cr4);
    expect("off again", cpuid_read(1, 0).ecx >> 27 & 1, 0);
}

static struct trap try_xsetbv(u32 index, u64 value)
{
    return TRAP("xsetbv", ::"c"(index), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

static u64 xcr0_read(void)
{
    u32 low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (u64)high << 32 | low;
}

static void test_xsetbv(void)
{
    if (!(cpuid_read(1, 0).ecx >> 26 & 1)) {
        expect_trap("XSETBV without XSAVE", try_xsetbv(0, 1), UD, 0);
        return;
    }
    expect_trap("XSETBV without OSXSAVE", try_xsetbv(0, 1), UD, 0);
    cr4_write(cr4_read() | CR4_OSXSAVE);
    u64 start = xcr0_read();
    struct cpuid legal = cpuid_read(0xD, 0);
    u64 mask = (u64)legal.edx << 32 | legal.eax;
    expect("x87 and SSE", mask & 3, 3);
    expect_trap("without x87", try_xsetbv(0, 2), GP, 0);
    expect_trap("nothing", try_xsetbv(0, 0), GP, 0);
    expect_trap("AVX without SSE", try_xsetbv(0, 5), GP, 0);
    expect_trap("half of AVX-512", try_xsetbv(0, 0x27), GP, 0);
    expect_trap("bit 63", try_xsetbv(0, start | BIT(63)), GP, 0);
    expect_trap("XCR1", try_xsetbv(1, start), GP, 0);
    expect_trap("XCR FFFFFFFF", try_xsetbv(0xFFFFFFFF, start), GP, 0);
    for (unsigned bit = 0; bit < 64; bit++) {
        if (!(mask >> bit & 1))
            expect_trap("a bit that CPUID does not offer", try_xsetbv(0, 3 | BIT(bit)), GP, 0);
    }
    expect("XCR0 after them", xcr0_read(), start);
    expect_trap("all that CPUID offers", try_xsetbv(0, mask), NO_TRAP, 0);
    expect("XCR0", xcr0_read(), mask);
    expect_trap("x87 alone", try_xsetbv(0, 1), NO_TRAP, 0);
    expect("XCR0 of 1", xcr0_read(), 1);
    expect_trap("start value", try_xsetbv(0, start), NO_TRAP, 0);
}

// Leaf 0DH: EBX is the size for XCR0 as it is, ECX for all that may be set.
static void test_xsave_size(void)
{
    if (!(cpuid_read(1, 0).ecx >> 26 & 1))
        return;
    cr4_write(cr4_read() | CR4_OSXSAVE);
    u64 start = xcr0_read();
    try_xsetbv(0, 1);
    struct cpuid small = cpuid_read(0xD, 0);
    expect("size for x87", small.ebx, 576);
    if (small.eax & 4) {
        try_xsetbv(0, 7);
        expect("size for AVX", cpuid_read(0xD, 0).ebx, 832);
        struct cpuid avx = cpuid_read(0xD, 2);
        expect("AVX size", avx.eax, 256);
        expect("AVX offset", avx.ebx, 576);
    }
    try_xsetbv(0, (u64)small.edx << 32 | small.eax);
    struct cpuid large = cpuid_read(0xD, 0);
    expect("size for all", large.ebx, large.ecx);
    expect("ECX does not change", large.ecx, small.ecx);
    try_xsetbv(0, start);
}

// Runs `code` and expects it to work if `offered`, else #UD.
#define EXPECT_IFF(offered, what, code, ...) \
    expect_trap(what, TRAP(code, __VA_ARGS__), (offered) ? NO_TRAP : UD, 0)

static void test_rdtscp_rdpid(void)
{
    EXPECT_IFF(cpuid_read(0x80000001, 0).edx >> 27 & 1, "RDTSCP", "rdtscp", ::: "rax", "rcx", "rdx");
    EXPECT_IFF(cpuid7_ecx() >> 22 & 1, "RDPID", ".byte 0xF3, 0x0F, 0xC7, 0xF8", ::: "rax");
}

static void test_fsgsbase(void)
{
    bool offered = cpuid7_ebx() & 1;
    expect_trap("RDFSBASE without CR4", TRAP("rdfsbase %%rax", ::: "rax"), UD, 0);
    expect_trap("CR4", cr4_try(cr4_read() | CR4_FSGSBASE), offered ? NO_TRAP : GP, 0);
    EXPECT_IFF(offered, "RDFSBASE", "rdfsbase %%rax", ::: "rax");
    EXPECT_IFF(offered, "WRGSBASE", "wrgsbase %%rax", ::"a"((u64)frame_a));
    if (offered) {
        expect("GS_BASE", msr_read(IA32_GS_BASE), (u64)frame_a);
        expect_trap("not canonical", TRAP("wrfsbase %%rax", ::"a"(NON_CANONICAL)), GP, 0);
    }
}

static u8 xsave_area[4096] __attribute__((aligned(64)));

static void test_xsaves(void)
{
    bool xsave = cpuid_read(1, 0).ecx >> 26 & 1;
    u32 forms = xsave ? cpuid_read(0xD, 1).eax : 0;
    if (xsave)
        cr4_write(cr4_read() | CR4_OSXSAVE);
#define AREA ::"m"(xsave_area), "a"(3), "d"(0) : "memory"
    EXPECT_IFF(xsave, "XSAVE", "xsave %0", AREA);
    EXPECT_IFF(forms & 1, "XSAVEOPT", "xsaveopt %0", AREA);
    if (forms >> 1 & 1) // a monitor that hides XSAVEC cannot take it away
        expect_trap("XSAVEC", TRAP("xsavec %0", AREA), NO_TRAP, 0);
    EXPECT_IFF(forms >> 3 & 1, "XSAVES", "xsaves %0", AREA);
    EXPECT_IFF(forms >> 3 & 1, "XRSTORS", "xrstors %0", AREA);
    if (forms >> 2 & 1)
        expect_trap("XGETBV 1", TRAP("xgetbv", ::"c"(1) : "rax", "rdx"), NO_TRAP, 0);
    if (forms >> 3 & 1) {
        expect_trap("IA32_XSS", msr_try_write(0xDA0, 0), NO_TRAP, 0);
        expect_trap("IA32_XSS bit 63", msr_try_write(0xDA0, BIT(63)), GP, 0);
    }
}

// MONITOR and MWAIT: the monitor may hide them, then they are #UD.
static void test_monitor(void)
{
    bool offered = cpuid_read(1, 0).ecx >> 3 & 1;
    EXPECT_IFF(offered, "MONITOR", "monitor", ::"a"(frame_a), "c"(0), "d"(0) : "memory");
}

// SDM 2A: a basic leaf above the maximum gives the data of the highest basic leaf; Bochs gives zeros, so only
// that it gives no trap and leaves the other registers alone is checked.
static void test_odd_leaves(void)
{
    static const u32 leaves[] = {0x1234, 0x3FFFFFFF, 0x80000100, 0xC0000000, 0xFFFFFFFF};
    for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++) {
        u64 rsi = 0x1111, r15 = 0;
        struct trap t = TRAP("mov $0x5555, %%r15d; cpuid; mov %%r15, %0",
                             : "=r"(r15), "+S"(rsi)
                             : "a"(leaves[i]), "c"(0)
                             : "rbx", "rdx", "r15", "memory");
        expect_trap("CPUID", t, NO_TRAP, 0);
        expect("RSI", rsi, 0x1111);
        expect("R15", r15, 0x5555);
    }
}

static const struct test tests[] = {
    {"leaf0", test_leaf0},           {"upper_halves", test_upper_halves}, {"sizes", test_sizes},
    {"must_have", test_must_have},   {"osxsave", test_osxsave},           {"xsetbv", test_xsetbv},
    {"xsave_size", test_xsave_size}, {"rdtscp_rdpid", test_rdtscp_rdpid}, {"fsgsbase", test_fsgsbase},
    {"xsaves", test_xsaves},         {"monitor", test_monitor},           {"odd_leaves", test_odd_leaves},
};
GROUP(group_cpuid, "cpuid", tests, true);
