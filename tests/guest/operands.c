// Operands that the processor has not checked when the instruction exits: INS and OUTS before anything, MOVS
// before its other operand, a REP before its later turns. Addresses that are not canonical, and, in
// compatibility mode, what segments forbid. Neighbours: ports.c and mmio.c (what such instructions do),
// user.c (alignment checks).
#include "cpu.h"

#define SCRATCH       0x3FF
#define IOAPIC        0xFEC00000ull
#define CANONICAL_END 0x800000000000ull // the first address that is not

static u64 far_alias(void)
{
    return 1ull << 48 | (u64)frame_a; // the same page, if the upper bits did not count
}

static struct trap outs(u64 *rsi, bool word)
{
    if (word)
        return TRAP("outsw", : "+S"(*rsi) : "d"(SCRATCH) : "memory");
    return TRAP("outsb", : "+S"(*rsi) : "d"(SCRATCH) : "memory");
}

static void test_outs(void)
{
    const u64 addresses[] = {far_alias(), CANONICAL_END, CANONICAL_END - 1, -CANONICAL_END - 1};
    outb(SCRATCH, 0x5A);
    frame_a[0] = 0x77;
    for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
        u64 rsi = addresses[i];
        expect_trap("OUTS", outs(&rsi, addresses[i] == CANONICAL_END - 1), GP, 0);
        expect("RSI", rsi, addresses[i]);
    }
    msr_write(IA32_FS_BASE, CANONICAL_END - 16);
    expect_trap("FS", TRAP("outsb %%fs:(%%rsi), %%dx", ::"S"(16), "d"(SCRATCH) : "memory"), GP, 0);
    msr_write(IA32_FS_BASE, 0);
    expect("scratch", inb(SCRATCH), 0x5A);
}

static void test_ins(void)
{
    u64 rdi = far_alias(), rcx = 3;
    frame_a[0] = 0x77;
    outb(SCRATCH, 0x5A);
    expect_trap("INS", TRAP("rep insb", : "+D"(rdi), "+c"(rcx) : "d"(SCRATCH) : "memory"), GP, 0);
    expect("RDI", rdi, far_alias());
    expect("RCX", rcx, 3);
    expect("memory", frame_a[0], 0x77);
}

static void test_movs(void)
{
    const u64 addresses[] = {far_alias(), CANONICAL_END, CANONICAL_END - 2};
    *(u32 *)frame_a = 0x77;
    for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
        u64 rsi = IOAPIC, rdi = addresses[i];
        expect_trap("MOVS", TRAP("movsl", : "+S"(rsi), "+D"(rdi)::"memory"), GP, 0);
        expect("RSI", rsi, IOAPIC);
        expect("RDI", rdi, addresses[i]);
    }
    expect("memory", *(u32 *)frame_a, 0x77);
}

// Compatibility mode: EBX into the segment registers, then one instruction, then INT3.
void compat_outs(void);
void compat_outs_ss(void);
void compat_ins(void);
void compat_movs(void);
asm(".text\n"
    ".code32\n"
    "compat_outs: mov %bx, %ds; rep outsb; int3\n"
    "compat_outs_ss: mov %bx, %ss; rep outsb %ss:(%esi), %dx; int3\n"
    "compat_ins: mov %bx, %es; rep insb; int3\n"
    "compat_movs: mov %cx, %ds; mov %bx, %es; movsl; int3\n"
    ".code64\n");

// A segment of a page at frame_a, in the descriptor that isolation.c takes for a stack, too.
#define BYTES   0x0040930000000000ull // data, 32 bits, limit in bytes
#define DOWN    0x0040970000000000ull // expand-down
#define RO      0x0040910000000000ull
#define CODE_RX 0x00409B0000000000ull

static u64 segment_of(u64 kind, u64 limit)
{
    u64 base = (u64)frame_a;
    return kind | limit | (base & 0xFFFFFF) << 16 | (base >> 24 & 0xFF) << 56;
}

static const struct {
    const char *name;
    void (*code)(void);
    u64 kind, limit;
    u64 offset;
    u64 done; // iterations of 2 before it ends
    unsigned vector;
} rows[] = {
    {"OUTS", compat_outs, BYTES, 0xFFF, 8, 2, BP},
    {"OUTS to the limit", compat_outs, BYTES, 0xFFF, 0xFFE, 2, BP},
    {"OUTS over the limit", compat_outs, BYTES, 0xFFF, 0xFFF, 1, GP},
    {"OUTS beyond the limit", compat_outs, BYTES, 0xFFF, 0x1000, 0, GP},
    {"OUTS expand-down", compat_outs, DOWN, 0x7F, 0x80, 2, BP},
    {"OUTS expand-down, below", compat_outs, DOWN, 0x7F, 0x7F, 0, GP},
    {"OUTS read-only", compat_outs, RO, 0xFFF, 8, 2, BP},
    {"OUTS from code", compat_outs, CODE_RX, 0xFFF, 8, 2, BP},
    {"OUTS SS", compat_outs_ss, BYTES, 0xFFF, 8, 2, BP},
    {"OUTS SS over the limit", compat_outs_ss, BYTES, 0xFFF, 0xFFF, 1, SS},
    {"INS", compat_ins, BYTES, 0xFFF, 8, 2, BP},
    {"INS over the limit", compat_ins, BYTES, 0xFFF, 0xFFF, 1, GP},
    {"INS read-only", compat_ins, RO, 0xFFF, 8, 0, GP},
    {"INS to code", compat_ins, CODE_RX, 0xFFF, 8, 0, GP},
};

static void segments_restore(void)
{
    gdt[LDT_SELECTOR / 8] = 0x0000820000000000;
    asm volatile("mov %w0, %%ds; mov %w0, %%es; mov %w0, %%ss" ::"r"(DATA) : "memory");
}

static void test_segments(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        u64 offset = rows[i].offset, rcx = 2;
        gdt[LDT_SELECTOR / 8] = segment_of(rows[i].kind, rows[i].limit);
        struct trap t = TRAP("pushq %[cs]; pushq %[code]; lretq",
                             : "+c"(rcx)
                             : [cs] "i"(CODE32), [code] "r"(rows[i].code), "b"(LDT_SELECTOR), "S"(offset),
                               "D"(offset), "d"(SCRATCH)
                             : "memory");
        segments_restore();
        expect_trap(rows[i].name, t, rows[i].vector, 0);
        expect(rows[i].name, rcx, 2 - rows[i].done);
    }
}

static void test_null(void)
{
    static void (*const codes[])(void) = {compat_outs, compat_ins};
    for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
        struct trap t = TRAP("pushq %[cs]; pushq %[code]; lretq", ::[cs] "i"(CODE32), [code] "r"(codes[i]),
                             "b"(0), "c"(1), "S"(frame_a), "D"(frame_a), "d"(SCRATCH)
                             : "memory");
        segments_restore();
        expect_trap("null", t, GP, 0);
    }
}

// The source is a device, so that the instruction exits; the destination has an end.
static void test_movs_segment(void)
{
    static const struct {
        u64 kind, offset;
        unsigned vector;
    } to[] = {{BYTES, 0xFFC, BP}, {BYTES, 0xFFD, GP}, {RO, 8, GP}, {DOWN, 0xFFD, GP}, {DOWN, 0x1000, BP}};
    for (unsigned i = 0; i < ARRAY_SIZE(to); i++) {
        gdt[LDT_SELECTOR / 8] = segment_of(to[i].kind, 0xFFF);
        struct trap t = TRAP("pushq %[cs]; pushq %[code]; lretq", ::[cs] "i"(CODE32), [code] "r"(compat_movs),
                             "b"(LDT_SELECTOR), "c"(DATA), "S"(IOAPIC), "D"(to[i].offset)
                             : "memory");
        segments_restore();
        expect_trap("MOVS", t, to[i].vector, 0);
    }
}

static const struct test tests[] = {
    {"outs", test_outs},         {"ins", test_ins},   {"movs", test_movs},
    {"segments", test_segments}, {"null", test_null}, {"movs_segment", test_movs_segment},
};
GROUP(group_operands, "operands", tests, true);
