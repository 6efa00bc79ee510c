// EFER and the other MSRs a guest may touch: what reads back, what gives #GP(0). Values of the machine are
// not printed. Feature control, VMX and microcode MSRs are left out: the monitor may answer them otherwise
// than the machine. Bare runs in Bochs need `ignore_bad_msrs=0`. Neighbours: apic.c (IA32_APIC_BASE), user.c
// (SYSCALL at work).
#include "cpu.h"
#include "lapic.h"

static void test_efer(void)
{
    u64 start = msr_read(IA32_EFER);
    expect("LME, LMA", start & (EFER_LME | EFER_LMA), EFER_LME | EFER_LMA);
    msr_write(IA32_EFER, start ^ EFER_SCE);
    expect("SCE", msr_read(IA32_EFER), start ^ EFER_SCE);
    msr_write(IA32_EFER, start & ~EFER_NXE);
    expect("NXE off", msr_read(IA32_EFER), start & ~EFER_NXE);
    msr_write(IA32_EFER, start);
    msr_write(IA32_EFER, start & ~EFER_LMA);
    expect("LMA is read-only", msr_read(IA32_EFER), start);
}

static void test_efer_illegal(void)
{
    static const u8 reserved[] = {1, 7, 9, 12, 13, 16, 31, 32, 63};
    u64 start = msr_read(IA32_EFER);
    for (unsigned i = 0; i < ARRAY_SIZE(reserved); i++)
        expect_trap("reserved bit", msr_try_write(IA32_EFER, start | BIT(reserved[i])), GP, 0);
    expect_trap("LME off with paging", msr_try_write(IA32_EFER, start & ~EFER_LME), GP, 0);
    expect("after them", msr_read(IA32_EFER), start);
}

// With NXE off, bit 63 of an entry is reserved: error code 9; on, a fetch faults with 0x11.
static void test_nxe(void)
{
    u64 start = msr_read(IA32_EFER);
    u64 page = page_map(0, (u64)frame_a, 3 | PAGE_NX);
    frame_a[0] = 0xC3;
    expect_trap("fetch", TRAP("call *%0", ::"r"(page) : "memory"), PF, 0x11);
    expect_trap("read", TRAP("movl (%0), %%eax", ::"r"(page) : "memory", "rax"), NO_TRAP, 0);
    msr_write(IA32_EFER, start & ~EFER_NXE);
    page_flush(0);
    expect_trap("NXE off", TRAP("movl (%0), %%eax", ::"r"(page) : "memory", "rax"), PF, 9);
    msr_write(IA32_EFER, start);
    page_flush(0);
    expect_trap("NXE on again", TRAP("call *%0", ::"r"(page) : "memory"), PF, 0x11);
}

static void test_unknown(void)
{
    static const u32 unknown[] = {0x5,        0x2F,       0x7FF,      0x1234,     0x5678,     0x1FFF,
                                  0x2000,     0x12345678, 0x7FFFFFFF, 0xBFFFFFFF, 0xC0000200, 0xC0001FFF,
                                  0xC0002000, 0xC0010234, 0xDEADBEEF, 0xFFFFFFFF};
    for (unsigned i = 0; i < ARRAY_SIZE(unknown); i++) {
        struct trap t = msr_try_read(unknown[i]);
        if (t.vector != GP || t.error)
            fail("RDMSR %x: expected #GP(0), got trap %lu error %lx", unknown[i], t.vector, t.error);
        t = msr_try_write(unknown[i], 0);
        if (t.vector != GP || t.error)
            fail("WRMSR %x: expected #GP(0), got trap %lu error %lx", unknown[i], t.vector, t.error);
    }
}

// A #GP from RDMSR leaves RAX, RDX and RIP alone; the upper half of RCX does not matter.
static void test_registers(void)
{
    u64 rax = 0x1111222233334444, rdx = 0x5555666677778888;
    struct trap t = TRAP("91: rdmsr", : "+a"(rax), "+d"(rdx) : "c"(0x1234ull) : "memory");
    expect_trap("unknown", t, GP, 0);
    expect("RAX", rax, 0x1111222233334444);
    expect("RDX", rdx, 0x5555666677778888);
    msr_write(IA32_STAR, 0x0123456789ABCDEF);
    t = TRAP("rdmsr", : "+a"(rax), "+d"(rdx) : "c"(BIT(40) | IA32_STAR) : "memory");
    expect_trap("known", t, NO_TRAP, 0);
    expect("RAX is zero-extended", rax, 0x89ABCDEF);
    expect("RDX is zero-extended", rdx, 0x01234567);
}

static const struct {
    const char *name;
    u32 msr;
    bool canonical;
} round_trips[] = {
    {"STAR", IA32_STAR, false},
    {"LSTAR", IA32_LSTAR, true},
    {"CSTAR", IA32_CSTAR, true},
    {"FS_BASE", IA32_FS_BASE, true},
    {"GS_BASE", IA32_GS_BASE, true},
    {"KERNEL_GS_BASE", IA32_KERNEL_GS_BASE, true},
    {"SYSENTER_ESP", IA32_SYSENTER_ESP, true},
    {"SYSENTER_EIP", IA32_SYSENTER_EIP, true},
};

static void test_round_trips(void)
{
    static const u64 values[] = {0, 0x0000123456789ABC, 0x00007FFFFFFFFFFF, 0xFFFF800000000000, ~0ull};
    for (unsigned i = 0; i < ARRAY_SIZE(round_trips); i++) {
        for (unsigned v = 0; v < ARRAY_SIZE(values); v++) {
            msr_write(round_trips[i].msr, values[v]);
            expect(round_trips[i].name, msr_read(round_trips[i].msr), values[v]);
        }
        msr_write(round_trips[i].msr, 0);
        if (!round_trips[i].canonical)
            continue;
        expect_trap(round_trips[i].name, msr_try_write(round_trips[i].msr, NON_CANONICAL), GP, 0);
        expect_trap(round_trips[i].name, msr_try_write(round_trips[i].msr, BIT(63)), GP, 0);
        expect("unchanged", msr_read(round_trips[i].msr), 0);
    }
    msr_write(IA32_FMASK, 0x47700);
    expect("FMASK", msr_read(IA32_FMASK), 0x47700);
    msr_write(IA32_SYSENTER_CS, 8);
    expect("SYSENTER_CS", msr_read(IA32_SYSENTER_CS), 8);
}

static void test_segment_bases(void)
{
    u64 seen = 0;
    *(u64 *)frame_a = 0xF5;
    *(u64 *)frame_b = 0x65;
    msr_write(IA32_FS_BASE, (u64)frame_a);
    msr_write(IA32_GS_BASE, (u64)frame_b);
    msr_write(IA32_KERNEL_GS_BASE, (u64)frame_a);
    asm volatile("mov %%fs:0, %0" : "=r"(seen)::"memory");
    expect("FS", seen, 0xF5);
    asm volatile("mov %%gs:0, %0" : "=r"(seen)::"memory");
    expect("GS", seen, 0x65);
    asm volatile("swapgs; mov %%gs:0, %0" : "=r"(seen)::"memory");
    expect("after SWAPGS", seen, 0xF5);
    expect("GS_BASE", msr_read(IA32_GS_BASE), (u64)frame_a);
    expect("KERNEL_GS_BASE", msr_read(IA32_KERNEL_GS_BASE), (u64)frame_b);
}

static void test_pat(void)
{
    static const u64 legal[] = {0x0007040600070406, 0x0606060606060606, 0x0001040506070001,
                                0x0407050600070106};
    static const u8 illegal[] = {2, 3, 8, 0x16, 0x80, 0xFF};
    u64 start = msr_read(IA32_PAT);
    for (unsigned i = 0; i < ARRAY_SIZE(legal); i++) {
        msr_write(IA32_PAT, legal[i]);
        expect("PAT", msr_read(IA32_PAT), legal[i]);
    }
    msr_write(IA32_PAT, start);
    for (unsigned i = 0; i < ARRAY_SIZE(illegal); i++) {
        for (unsigned entry = 0; entry < 64; entry += 8) {
            u64 value = (start & ~(0xFFull << entry)) | (u64)illegal[i] << entry;
            expect_trap("illegal type", msr_try_write(IA32_PAT, value), GP, 0);
        }
    }
    expect("after them", msr_read(IA32_PAT), start);
}

static void test_tsc(void)
{
    u64 last = tsc_read();
    for (unsigned i = 0; i < 100; i++) {
        u64 now = i & 1 ? msr_read(IA32_TSC) : tsc_read();
        if (now <= last)
            fail("TSC: expected to grow from %lx, got %lx", last, now);
        last = now;
    }
    msr_write(IA32_TSC, last + BIT(40));
    u64 after = tsc_read();
    if (after < last + BIT(40) || after > last + BIT(40) + BIT(32))
        fail("written TSC: expected from %lx, got %lx", last + (1ul << 40), after);
    msr_write(IA32_TSC, tsc_read() - BIT(40));
    if (tsc_read() < last || tsc_read() > last + BIT(33))
        fail("TSC put back: expected from %lx, got %lx", last, tsc_read());
}

static void test_tsc_aux(void)
{
    u32 aux = 0;
    if (!(cpuid_read(0x80000001, 0).edx >> 27 & 1)) {
        expect_trap("RDTSCP", TRAP("rdtscp", ::: "rax", "rdx", "rcx"), UD, 0);
        return;
    }
    u64 start = msr_read(IA32_TSC_AUX);
    msr_write(IA32_TSC_AUX, 0x89ABCDEF);
    expect("TSC_AUX", msr_read(IA32_TSC_AUX), 0x89ABCDEF);
    asm volatile("rdtscp" : "=c"(aux)::"rax", "rdx");
    expect("RDTSCP", aux, 0x89ABCDEF);
    msr_write(IA32_TSC_AUX, start);
}

static void test_apic_base(void)
{
    u64 base = msr_read(IA32_APIC_BASE);
    expect("IA32_APIC_BASE", base, LAPIC_GPA | APIC_BASE_BSP | APIC_BASE_ENABLE);
    expect_trap("bit 0", msr_try_write(IA32_APIC_BASE, base | BIT(0)), GP, 0);
    expect_trap("bit 7", msr_try_write(IA32_APIC_BASE, base | BIT(7)), GP, 0);
    expect_trap("bit 52", msr_try_write(IA32_APIC_BASE, base | BIT(52)), GP, 0);
    expect_trap("bit 63", msr_try_write(IA32_APIC_BASE, base | BIT(63)), GP, 0);
    expect_trap("same value", msr_try_write(IA32_APIC_BASE, base), NO_TRAP, 0);
    expect("after them", msr_read(IA32_APIC_BASE), base);
}

static void test_mtrr(void)
{
    if (!(cpuid_read(1, 0).edx >> 12 & 1))
        return;
    expect_trap("read MTRRCAP", msr_try_read(0xFE), NO_TRAP, 0);
    expect_trap("write MTRRCAP", msr_try_write(0xFE, 0), GP, 0);
    expect_trap("read MTRR_DEF_TYPE", msr_try_read(0x2FF), NO_TRAP, 0);
    expect_trap("MTRR_DEF_TYPE reserved type", msr_try_write(0x2FF, 0xC02), GP, 0);
    expect_trap("MTRR_DEF_TYPE bit 8", msr_try_write(0x2FF, 0xD06), GP, 0);
}

static const struct test tests[] = {
    {"efer", test_efer},
    {"efer_illegal", test_efer_illegal},
    {"nxe", test_nxe},
    {"unknown", test_unknown},
    {"registers", test_registers},
    {"round_trips", test_round_trips},
    {"segment_bases", test_segment_bases},
    {"pat", test_pat},
    {"tsc", test_tsc},
    {"tsc_aux", test_tsc_aux},
    {"apic_base", test_apic_base},
    {"mtrr", test_mtrr},
};
GROUP(group_msr, "msr", tests, true);
