// Device memory: every instruction form that reads or writes a device register, on the IOAPIC (emulated) and
// on the local APIC page (given to the guest). The IOAPIC is used by 32-bit accesses only, as its
// specification says. Neighbours: hole.c (no device), apic.c (what the registers do), debug.c (steps over
// such accesses).
#include "cpu.h"
#include "lapic.h"

#define IOAPIC       0xFEC00000ull
#define IOAPIC_INDEX (*(volatile u32 *)IOAPIC)
#define IOAPIC_DATA  (*(volatile u32 *)(IOAPIC + 0x10))
#define PIN          22 // a redirection entry nobody uses

// Sets the index so that the data register is the high half of PIN's entry, whose top byte is read and
// written.
static void select_pin(void)
{
    IOAPIC_INDEX = 0x10 + 2 * PIN + 1;
}

static void expect_data(const char *what, u32 want)
{
    expect(what, IOAPIC_DATA, want);
}

static void test_ioapic_identity(void)
{
    IOAPIC_INDEX = 1;
    u32 version = IOAPIC_DATA;
    if ((version & 0xFF) < 0x11 || (version & 0xFF) > 0x20)
        fail("version: expected 11..20, got %x", version & 0xFF);
    expect("entries", version >> 16 & 0xFF, 23);
    expect("index reads back", IOAPIC_INDEX, 1);
    IOAPIC_INDEX = 0x10 + 2 * PIN;
    IOAPIC_DATA = 0x10000 | 0x7A;
    expect_data("low half", 0x10000 | 0x7A);
    select_pin();
    IOAPIC_DATA = 0x5A000000;
    expect_data("high half", 0x5A000000);
}

// One MOV store and load for each register that can hold the address or the data.
#define FORM(reg, reg32)                                                                                    \
    asm volatile("mov $0x2B000000, %%" #reg32 "; mov %%" #reg32 ", 16(%0)" ::"D"(IOAPIC) : "memory", #reg); \
    expect_data("store " #reg32, 0x2B000000);                                                               \
    asm volatile("mov %1, %%" #reg "; movl $0x3C000000, 16(%%" #reg "); movl 16(%%" #reg "), %0"            \
                 : "=r"(seen)                                                                               \
                 : "i"(IOAPIC)                                                                              \
                 : "memory", #reg);                                                                         \
    expect("address " #reg, seen, 0x3C000000);                                                              \
    asm volatile("mov $-1, %%" #reg "; mov 16(%1), %%" #reg32 "; mov %%" #reg ", %0"                        \
                 : "=r"(wide)                                                                               \
                 : "D"(IOAPIC)                                                                              \
                 : "memory", #reg);                                                                         \
    expect("load " #reg32, wide, 0x3C000000)

static void test_ioapic_registers(void)
{
    u32 seen = 0;
    u64 wide = 0;
    select_pin();
    FORM(rax, eax);
    FORM(rcx, ecx);
    FORM(rdx, edx);
    FORM(rbx, ebx);
    FORM(rsi, esi);
    FORM(r8, r8d);
    FORM(r9, r9d);
    FORM(r10, r10d);
    FORM(r11, r11d);
    FORM(r12, r12d);
    FORM(r13, r13d);
    FORM(r14, r14d);
    FORM(r15, r15d);
}

static void test_ioapic_addressing(void)
{
    u32 seen = 0;
    select_pin();
    asm volatile("movl $0x01000000, 8(%0,%1,8)" ::"r"(IOAPIC), "r"(1ull) : "memory");
    expect_data("base, index, scale", 0x01000000);
    asm volatile("movl $0x02000000, 0x1000(%0)" ::"r"(IOAPIC - 0x1000 + 0x10) : "memory");
    expect_data("disp32", 0x02000000);
    asm volatile("addr32 movl $0x03000000, 16(%k0)" ::"r"(IOAPIC | BIT(40)) : "memory");
    expect_data("32-bit address", 0x03000000);
    asm volatile("movabs %%eax, 0xFEC00010" ::"a"(0x04000000) : "memory");
    expect_data("moffs store", 0x04000000);
    asm volatile("movabs 0xFEC00010, %%eax" : "=a"(seen)::"memory");
    expect("moffs load", seen, 0x04000000);
    msr_write(IA32_FS_BASE, IOAPIC);
    asm volatile("movl $0x05000000, %%fs:0x10" ::: "memory");
    expect_data("FS:disp32", 0x05000000);
    msr_write(IA32_GS_BASE, IOAPIC + 0x10);
    asm volatile("movl %%gs:(%1), %0" : "=r"(seen) : "r"(0ull) : "memory");
    expect("GS:base", seen, 0x05000000);
    msr_write(IA32_FS_BASE, 0);
    msr_write(IA32_GS_BASE, 0);
    asm volatile(
        "mov %%rsp, %%rbx; mov %0, %%rsp; movl $0x06000000, 16(%%rsp); mov %%rbx, %%rsp" ::"r"(IOAPIC)
        : "memory", "rbx");
    expect_data("RSP base", 0x06000000);
}

// Through another mapping of the device: the gva, not the gpa, is what the instruction has.
static void test_ioapic_mapped(void)
{
    volatile u32 *device = (u32 *)page_map(3, IOAPIC, 3 | BIT(4));
    device[0] = 0x10 + 2 * PIN + 1;
    device[4] = 0x6D000000;
    expect("mapped", device[4], 0x6D000000);
    expect_data("direct", 0x6D000000);
    page_map(3, IOAPIC, 1);
    expect_trap("read-only", TRAP("movl $0, 16(%0)", ::"r"(device) : "memory"), PF, 3);
    expect_data("not written", 0x6D000000);
}

static void test_ioapic_string(void)
{
    u64 rsi, rdi = IOAPIC + 0x10, rcx = 1;
    u32 seen = 0;
    select_pin();
    asm volatile("stosl" : "+D"(rdi) : "a"(0x11000000) : "memory");
    expect_data("STOSL", 0x11000000);
    expect("RDI", rdi, IOAPIC + 0x14);
    rsi = IOAPIC + 0x10;
    asm volatile("lodsl" : "+S"(rsi), "=a"(seen)::"memory");
    expect("LODSL", seen, 0x11000000);
    rsi = IOAPIC + 0x10;
    rdi = (u64)frame_a;
    asm volatile("rep movsl" : "+S"(rsi), "+D"(rdi), "+c"(rcx)::"memory");
    expect("MOVSL from", *(u32 *)frame_a, 0x11000000);
    *(u32 *)frame_a = 0x22000000;
    rsi = (u64)frame_a;
    rdi = IOAPIC + 0x10;
    asm volatile("movsl" : "+S"(rsi), "+D"(rdi)::"memory");
    expect_data("MOVSL to", 0x22000000);
    expect("RSI", rsi, (u64)frame_a + 4);
}

// Read-modify-write and reads that only set flags.
#define ALU(what, code, want)                                                  \
    asm volatile(code ::"r"(IOAPIC + 0x10), "r"(0x0F000000) : "memory", "cc"); \
    expect_data(what, want)

static void test_ioapic_alu(void)
{
    u32 seen = 0x77000000;
    bool flag = false;
    select_pin();
    IOAPIC_DATA = 0x30000000;
    ALU("OR", "or %1, (%0)", 0x3F000000);
    ALU("AND", "and %1, (%0)", 0x0F000000);
    ALU("XOR", "xorl $0x55000000, (%0)", 0x5A000000);
    ALU("ADD", "addl $0x01000000, (%0)", 0x5B000000);
    ALU("SUB", "sub %1, (%0)", 0x4C000000);
    asm volatile("xchg %0, (%1)" : "+r"(seen) : "r"(IOAPIC + 0x10) : "memory");
    expect("XCHG", seen, 0x4C000000);
    expect_data("XCHG stored", 0x77000000);
    asm volatile("testl $0x40000000, (%1); setnz %0" : "=r"(flag) : "r"(IOAPIC + 0x10) : "memory", "cc");
    expect("TEST", flag, 1);
    asm volatile("cmpl $0x77000000, (%1); sete %0" : "=r"(flag) : "r"(IOAPIC + 0x10) : "memory", "cc");
    expect("CMP", flag, 1);
    seen = 0x80000000;
    asm volatile("or (%1), %0" : "+r"(seen) : "r"(IOAPIC + 0x10) : "memory", "cc");
    expect("OR from", seen, 0xF7000000);
}

static void test_lapic_forms(void)
{
    volatile u32 *divide = (u32 *)(LAPIC_GPA + LAPIC_TIMER_DIVIDE);
    u32 seen = 0;
    asm volatile("movl $0xB, (%0)" ::"r"(divide) : "memory");
    expect("MOV imm", *divide, 0xB);
    asm volatile("mov %1, (%0)" ::"r"(divide), "r"(3) : "memory");
    expect("MOV reg", *divide, 3);
    asm volatile("orl $8, (%0)" ::"r"(divide) : "memory", "cc");
    expect("OR", *divide, 0xB);
    asm volatile("andl $3, (%0)" ::"r"(divide) : "memory", "cc");
    expect("AND", *divide, 3);
    seen = 0xA;
    asm volatile("xchg %0, (%1)" : "+r"(seen) : "r"(divide) : "memory");
    expect("XCHG", seen << 8 | *divide, 0x30A);
    asm volatile("movabs %%eax, 0xFEE003E0; movabs 0xFEE003E0, %%eax" : "=a"(seen) : "a"(0xB) : "memory");
    expect("moffs", seen, 0xB);
    u64 rdi = (u64)divide, rsi = rdi;
    asm volatile("stosl; lodsl" : "+D"(rdi), "+S"(rsi), "=a"(seen) : "a"(9) : "memory");
    expect("STOSL, LODSL", seen, 9);
    asm volatile("pushq %%rbx; mov (%1), %%ebx; mov %%ebx, %0; popq %%rbx"
                 : "=r"(seen)
                 : "r"(divide)
                 : "memory");
    expect("MOV load", seen, 9);
}

static void test_lapic_mapped(void)
{
    volatile u32 *page = (u32 *)page_map(4, LAPIC_GPA, 3 | BIT(4));
    page[LAPIC_TIMER_DIVIDE / 4] = 0xB;
    expect("mapped", page[LAPIC_TIMER_DIVIDE / 4], 0xB);
    expect("direct", lapic_read(LAPIC_TIMER_DIVIDE), 0xB);
    expect("version", page[LAPIC_VERSION / 4], lapic_read(LAPIC_VERSION));
}

static const struct test tests[] = {
    {"ioapic_identity", test_ioapic_identity},
    {"ioapic_registers", test_ioapic_registers},
    {"ioapic_addressing", test_ioapic_addressing},
    {"ioapic_mapped", test_ioapic_mapped},
    {"ioapic_string", test_ioapic_string},
    {"ioapic_alu", test_ioapic_alu},
    {"lapic_forms", test_lapic_forms},
    {"lapic_mapped", test_lapic_mapped},
};
GROUP(group_mmio, "mmio", tests, true);
