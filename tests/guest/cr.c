// Control registers: what reads back, what is refused, CLTS, LMSW, SMSW, CR8, and that CR3, CR0.WP, SMEP
// and SMAP do what they say. CR4.VMXE is left out: the monitor hides VMX, bare it may be set.
// Neighbours: pcid.c, efer_msr.c, exceptions.c (page faults), paging32.c (paging modes other than 4-level).
#include "cpu.h"

static void test_cr0_bits(void)
{
    static const u32 bits[] = {CR0_MP, CR0_TS, CR0_WP, CR0_AM, CR0_EM, CR0_NE};
    u64 start = cr0_read();
    expect("PE, ET, PG", start & (CR0_PE | CR0_ET | CR0_PG), CR0_PE | CR0_ET | CR0_PG);
    for (unsigned i = 0; i < ARRAY_SIZE(bits); i++) {
        cr0_write(start ^ bits[i]);
        expect("CR0 toggled", cr0_read(), start ^ bits[i]);
        cr0_write(start);
        expect("CR0 restored", cr0_read(), start);
    }
}

static void test_cr0_cache(void)
{
    u64 start = cr0_read() & ~(u64)(CR0_CD | CR0_NW);
    cr0_write(start | CR0_CD);
    expect("CD", cr0_read(), start | CR0_CD);
    cr0_write(start | CR0_CD | CR0_NW);
    expect("CD and NW", cr0_read(), start | CR0_CD | CR0_NW);
    asm volatile("wbinvd" ::: "memory");
    cr0_write(start);
    expect("cleared", cr0_read(), start);
}

// ET is 1 whatever is written; reserved bits of the low half are ignored (SDM 3A 2.5).
static void test_cr0_fixed(void)
{
    u64 start = cr0_read();
    cr0_write(start & ~(u64)CR0_ET);
    expect("ET", cr0_read(), start);
    cr0_write(start | BIT(6) | BIT(17) | BIT(28));
    expect("reserved", cr0_read(), start);
}

static void test_cr0_illegal(void)
{
    static const struct {
        const char *what;
        u64 set, clear;
    } rows[] = {
        {"PG without PE", 0, CR0_PE},    {"NW without CD", CR0_NW, CR0_CD},
        {"bit 32", BIT(32), 0},          {"bit 63", BIT(63), 0},
        {"PG off in 64-bit", 0, CR0_PG}, {"PE and PG off", 0, CR0_PG | CR0_PE},
    };
    u64 start = cr0_read();
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        expect_trap(rows[i].what, cr0_try((start | rows[i].set) & ~rows[i].clear), GP, 0);
        expect("CR0 after it", cr0_read(), start);
    }
}

static void test_clts(void)
{
    u64 start = cr0_read();
    cr0_write(start | CR0_TS);
    asm volatile("clts" ::: "memory");
    expect("TS", cr0_read(), start);
    asm volatile("clts" ::: "memory");
    expect("again", cr0_read(), start);
}

// LMSW writes PE, MP, EM, TS only, and cannot clear PE.
static void test_lmsw(void)
{
    u64 start = cr0_read() & ~(u64)(CR0_TS | CR0_EM);
    cr0_write(start);
    for (u64 value = 0; value < 16; value++) {
        asm volatile("lmsw %w0" ::"r"(value) : "memory");
        expect("after LMSW", cr0_read(), (start & ~14ull) | value | CR0_PE);
    }
    u16 word = 0xFFF3;
    asm volatile("lmsw %0" ::"m"(word) : "memory");
    expect("from memory", cr0_read(), (start & ~14ull) | 3);
    cr0_write(start);
}

static void test_smsw(void)
{
    u64 value = 0, start = cr0_read() | CR0_TS;
    cr0_write(start);
    asm volatile("smsw %0" : "=r"(value));
    expect("64 bits", value, start);
    u64 memory = ~0ull;
    asm volatile("smsw %0" : "+m"(memory));
    expect("to memory", memory, ~0xFFFFull | (start & 0xFFFF));
}

static void test_cr3_bits(void)
{
    u64 start = cr3_read();
    cr3_write(start | BIT(3) | BIT(4));
    expect("PWT, PCD", cr3_read(), start | BIT(3) | BIT(4));
    cr3_write(start);
    expect("restored", cr3_read(), start);
    for (unsigned bit = 52; bit < 64; bit++)
        expect_trap("reserved", cr3_try(start | BIT(bit)), GP, 0);
    for (unsigned bit = cpuid_read(0x80000008, 0).eax & 0xFF; bit < 52; bit++)
        expect_trap("above MAXPHYADDR", cr3_try(start | BIT(bit)), GP, 0);
    expect("after them", cr3_read(), start);
}

// Two roots that map the window to different frames, and a change in one that is seen after INVLPG or CR3.
static u64 other_pml4[512] __attribute__((aligned(4096)));
static u64 other_tables[3][512] __attribute__((aligned(4096)));

static void make_other_root(u64 gpa)
{
    memcpy(other_pml4, boot_pml4, sizeof(other_pml4));
    other_pml4[1] = (u64)other_tables[0] | 7;
    other_tables[0][0] = (u64)other_tables[1] | 7;
    other_tables[1][0] = (u64)other_tables[2] | 7;
    other_tables[2][0] = gpa | 7;
}

static void test_cr3_switch(void)
{
    volatile u64 *page = (u64 *)page_map(0, (u64)frame_a, 7);
    make_other_root((u64)frame_b);
    *(u64 *)frame_a = 0xAAAA;
    *(u64 *)frame_b = 0xBBBB;
    for (unsigned i = 0; i < 20; i++) {
        expect("first root", *page, 0xAAAA);
        cr3_write((u64)other_pml4);
        expect("CR3", cr3_read(), (u64)other_pml4);
        expect("second root", *page, 0xBBBB);
        cr3_write((u64)boot_pml4);
    }
    *page_entry(0) = (u64)frame_b | 7;
    page_flush(0);
    expect("after INVLPG", *page, 0xBBBB);
    *page_entry(0) = (u64)frame_a | 7;
    cr3_write(cr3_read());
    expect("after the same CR3", *page, 0xAAAA);
}

static void test_cr4_global(void)
{
    u64 start = cr4_read();
    cr4_write(start | CR4_PGE);
    volatile u64 *page = (u64 *)page_map(0, (u64)frame_a, 7 | PAGE_G);
    *(u64 *)frame_a = 1;
    *(u64 *)frame_b = 2;
    expect("first", *page, 1);
    *page_entry(0) = (u64)frame_b | 7 | PAGE_G;
    cr4_write(start & ~(u64)CR4_PGE);
    expect("after PGE went off", *page, 2);
    cr4_write(start | CR4_PGE);
    *page_entry(0) = (u64)frame_a | 7 | PAGE_G;
    page_flush(0);
    expect("INVLPG flushes global", *page, 1);
}

static bool feature(u32 leaf, u32 column, u32 bit)
{
    if (!cpuid_has_leaf(leaf))
        return false;
    struct cpuid c = cpuid_read(leaf, 0);
    const u32 values[] = {c.eax, c.ebx, c.ecx, c.edx};
    return values[column] >> bit & 1;
}

static const struct {
    const char *name;
    u32 bit, leaf, column, feature_bit;
} cr4_features[] = {
    {"VME", 0, 1, 3, 1},    {"PVI", 1, 1, 3, 1},       {"TSD", 2, 1, 3, 4},     {"DE", 3, 1, 3, 2},
    {"PSE", 4, 1, 3, 3},    {"MCE", 6, 1, 3, 7},       {"PGE", 7, 1, 3, 13},    {"UMIP", 11, 7, 2, 2},
    {"LA57", 12, 7, 2, 16}, {"FSGSBASE", 16, 7, 1, 0}, {"PCIDE", 17, 1, 2, 17}, {"OSXSAVE", 18, 1, 2, 26},
    {"SMEP", 20, 7, 1, 7},  {"SMAP", 21, 7, 1, 20},    {"PKE", 22, 7, 2, 3},
};

// A bit of CR4 can be set if CPUID has its feature, else #GP(0). LA57 cannot change in 64-bit mode.
static void test_cr4_bits(void)
{
    u64 start = cr4_read();
    for (unsigned i = 0; i < ARRAY_SIZE(cr4_features); i++) {
        bool legal = feature(cr4_features[i].leaf, cr4_features[i].column, cr4_features[i].feature_bit) &&
                     cr4_features[i].bit != 12;
        u64 value = start ^ BIT(cr4_features[i].bit);
        struct trap t = cr4_try(value);
        expect_trap(cr4_features[i].name, t, legal ? NO_TRAP : GP, 0);
        expect(cr4_features[i].name, cr4_read(), legal ? value : start);
        cr4_write(start);
    }
}

static void test_cr4_illegal(void)
{
    static const u8 reserved[] = {15, 19, 25, 26, 29, 31, 32, 40, 63};
    u64 start = cr4_read();
    for (unsigned i = 0; i < ARRAY_SIZE(reserved); i++)
        expect_trap("reserved bit", cr4_try(start | BIT(reserved[i])), GP, 0);
    expect_trap("PAE off in long mode", cr4_try(start & ~(u64)CR4_PAE), GP, 0);
    expect("after them", cr4_read(), start);
}

static void test_cr8(void)
{
    for (u64 value = 0; value < 16; value++) {
        cr8_write(value);
        expect("CR8", cr8_read(), value);
    }
    expect_trap("bit 4", cr8_try(0x10), GP, 0);
    expect_trap("bit 63", cr8_try(BIT(63)), GP, 0);
    expect("after them", cr8_read(), 15);
}

static void test_absent_registers(void)
{
    expect_trap("read CR1", TRAP(".byte 0x0F, 0x20, 0xC8", ::: "memory", "rax"), UD, 0);
    expect_trap("write CR1", TRAP(".byte 0x0F, 0x22, 0xC8", ::: "memory"), UD, 0);
    expect_trap("read CR5", TRAP(".byte 0x0F, 0x20, 0xE8", ::: "memory", "rax"), UD, 0);
    expect_trap("write CR7", TRAP(".byte 0x0F, 0x22, 0xF8", ::: "memory"), UD, 0);
    expect_trap("read CR9", TRAP(".byte 0x44, 0x0F, 0x20, 0xC8", ::: "memory", "rax"), UD, 0);
    expect_trap("write CR15", TRAP(".byte 0x44, 0x0F, 0x22, 0xF8", ::: "memory"), UD, 0);
}

// Every general register as the operand: the exit's register number must be taken right, RSP and R8-R15 too.
static void test_every_operand(void)
{
    u64 cr0 = cr0_read(), cr4 = cr4_read(), seen = 0;
#define OPERAND(reg, creg, value)                                                                 \
    asm volatile("mov %%" #creg ", %%" #reg "; mov %%" #reg ", %0" : "=m"(seen)::"memory", #reg); \
    expect(#creg " in " #reg, seen, value);                                                       \
    asm volatile("mov %0, %%" #reg "; mov %%" #reg ", %%" #creg ::"m"(seen) : "memory", #reg);    \
    expect(#creg " from " #reg, creg##_read(), value)
#define OPERANDS(creg, value)  \
    OPERAND(rax, creg, value); \
    OPERAND(rcx, creg, value); \
    OPERAND(rdx, creg, value); \
    OPERAND(rbx, creg, value); \
    OPERAND(rsi, creg, value); \
    OPERAND(rdi, creg, value); \
    OPERAND(r8, creg, value);  \
    OPERAND(r9, creg, value);  \
    OPERAND(r10, creg, value); \
    OPERAND(r11, creg, value); \
    OPERAND(r12, creg, value); \
    OPERAND(r13, creg, value); \
    OPERAND(r14, creg, value); \
    OPERAND(r15, creg, value)
    OPERANDS(cr0, cr0);
    OPERANDS(cr3, (u64)boot_pml4);
    OPERANDS(cr4, cr4);
}

static void test_rsp_operand(void)
{
    u64 seen = 0;
    asm volatile("mov %%rsp, %%rbx; mov %%cr3, %%rsp; mov %%rsp, %0; mov %%rsp, %%cr3; mov %%rbx, %%rsp"
                 : "=r"(seen)::"memory", "rbx");
    expect("CR3 in RSP", seen, (u64)boot_pml4);
    asm volatile("mov %%rsp, %%rbx; mov %%cr4, %%rsp; mov %%rsp, %0; mov %%rsp, %%cr4; mov %%rbx, %%rsp"
                 : "=r"(seen)::"memory", "rbx");
    expect("CR4 in RSP", seen, cr4_read());
}

static void test_write_protect(void)
{
    u64 page = page_map(0, (u64)frame_a, PAGE_P);
    expect_trap("WP=1", TRAP("movl $1, (%0)", ::"r"(page) : "memory"), PF, 3);
    cr0_write(cr0_read() & ~(u64)CR0_WP);
    expect_trap("WP=0", TRAP("movl $1, (%0)", ::"r"(page) : "memory"), NO_TRAP, 0);
    cr0_write(cr0_read() | CR0_WP);
    expect_trap("WP=1 again", TRAP("movl $1, (%0)", ::"r"(page) : "memory"), PF, 3);
    expect("written once", *(u32 *)frame_a, 1);
}

static void test_smap_smep(void)
{
    u64 page = page_map(0, (u64)frame_a, 7);
    frame_a[0] = 0xC3; // RET
    if (cpuid7_ebx() >> 20 & 1) {
        cr4_write(cr4_read() | CR4_SMAP);
        expect_trap("SMAP", TRAP("movl (%0), %%eax", ::"r"(page) : "memory", "rax"), PF, 1);
        expect_trap("STAC", TRAP("stac; movl (%0), %%eax; clac", ::"r"(page) : "memory", "rax"), NO_TRAP, 0);
        cr4_write(cr4_read() & ~(u64)CR4_SMAP);
    }
    if (cpuid7_ebx() >> 7 & 1) {
        cr4_write(cr4_read() | CR4_SMEP);
        expect_trap("SMEP", TRAP("call *%0", ::"r"(page) : "memory"), PF, 0x11);
        cr4_write(cr4_read() & ~(u64)CR4_SMEP);
    }
    expect_trap("without", TRAP("call *%0", ::"r"(page) : "memory"), NO_TRAP, 0);
}

static const struct test tests[] = {
    {"cr0_bits", test_cr0_bits},
    {"cr0_cache", test_cr0_cache},
    {"cr0_fixed", test_cr0_fixed},
    {"cr0_illegal", test_cr0_illegal},
    {"clts", test_clts},
    {"lmsw", test_lmsw},
    {"smsw", test_smsw},
    {"cr3_bits", test_cr3_bits},
    {"cr3_switch", test_cr3_switch},
    {"cr4_global", test_cr4_global},
    {"cr4_bits", test_cr4_bits},
    {"cr4_illegal", test_cr4_illegal},
    {"cr8", test_cr8},
    {"absent_registers", test_absent_registers},
    {"every_operand", test_every_operand},
    {"rsp_operand", test_rsp_operand},
    {"write_protect", test_write_protect},
    {"smap_smep", test_smap_smep},
};
GROUP(group_cr, "cr", tests, true);
