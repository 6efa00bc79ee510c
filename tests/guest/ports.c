// Port I/O: IN and OUT of every width and form, INS and OUTS with their prefixes, page faults in them, ports
// with nothing behind. The UART's scratch register (3FFH) is the port that remembers. Neighbours: uart.c,
// user.c (I/O permission), debug.c (steps).
#include "cpu.h"

#define SCRATCH  0x3FF
#define NOTHING  0x1230 // a port range where no machine of ours has anything
#define PIC_MASK 0x21

static void test_bytes(void)
{
    for (unsigned value = 0; value < 256; value += 17) {
        outb(SCRATCH, (u8)value);
        expect("scratch", inb(SCRATCH), value);
    }
    u64 rax = 0x1122334455667788;
    outb(SCRATCH, 0x99);
    asm volatile("inb %%dx, %%al" : "+a"(rax) : "d"(SCRATCH));
    expect("IN AL keeps the rest", rax, 0x1122334455667799);
}

static void test_nothing(void)
{
    u64 rax = 0x1122334455667788;
    asm volatile("inb %%dx, %%al" : "+a"(rax) : "d"(NOTHING));
    expect("AL", rax, 0x11223344556677FF);
    asm volatile("inw %%dx, %%ax" : "+a"(rax) : "d"(NOTHING));
    expect("AX", rax, 0x112233445566FFFF);
    rax = 0x1122334455667788;
    asm volatile("inl %%dx, %%eax" : "+a"(rax) : "d"(NOTHING));
    expect("EAX zero-extends", rax, 0xFFFFFFFF);
    outb(NOTHING, 1);
    outw(NOTHING, 2);
    outl(NOTHING, 3);
    expect("after writes", inl(NOTHING), 0xFFFFFFFF);
}

static void test_pic_masks(void)
{
    u8 low = 0, high = 0;
    asm volatile("inb $0x21, %0" : "=a"(low));
    asm volatile("inb $0xA1, %0" : "=a"(high));
    expect("masks", low | high << 8, 0xFFFF);
    asm volatile("outb %0, $0x21" ::"a"((u8)0xFF));
    asm volatile("outb %0, $0xA1" ::"a"((u8)0xFF));
    expect("still", inb(PIC_MASK), 0xFF);
}

static void test_ins(void)
{
    u64 rdi = (u64)frame_a, rcx = 4;
    outb(SCRATCH, 0x3C);
    asm volatile("rep insb" : "+D"(rdi), "+c"(rcx) : "d"(SCRATCH) : "memory");
    expect("REP INSB", *(u64 *)frame_a, 0x3C3C3C3C);
    expect("RDI", rdi, (u64)frame_a + 4);
    expect("RCX", rcx, 0);
    asm volatile("insb" : "+D"(rdi) : "d"(SCRATCH) : "memory");
    expect("INSB", *(u64 *)frame_a, 0x3C3C3C3C3C);
    rcx = 3;
    asm volatile("rep insw" : "+D"(rdi), "+c"(rcx) : "d"(NOTHING) : "memory");
    expect("INSW RDI", rdi, (u64)frame_a + 11);
    expect("INSW", *(u64 *)(frame_a + 5), 0xFFFFFFFFFFFF);
    rcx = 2;
    asm volatile("rep insl" : "+D"(rdi), "+c"(rcx) : "d"(NOTHING) : "memory");
    expect("INSL RDI", rdi, (u64)frame_a + 19);
    expect("INSL", *(u64 *)(frame_a + 11), ~0ull);
}

static void test_ins_backward(void)
{
    u64 rdi = (u64)frame_a + 15, rcx = 5;
    outb(SCRATCH, 0xA7);
    asm volatile("std; rep insb; cld" : "+D"(rdi), "+c"(rcx) : "d"(SCRATCH) : "memory");
    expect("RDI", rdi, (u64)frame_a + 10);
    expect("high", *(u64 *)(frame_a + 8), 0xA7A7A7A7A7000000);
}

static void test_outs(void)
{
    u64 rsi = (u64)frame_a, rcx = 3;
    memcpy(frame_a, "\x11\x22\x33\x44\x55\x66", 7);
    asm volatile("rep outsb" : "+S"(rsi), "+c"(rcx) : "d"(SCRATCH) : "memory");
    expect("last byte", inb(SCRATCH), 0x33);
    expect("RSI", rsi, (u64)frame_a + 3);
    asm volatile("outsb" : "+S"(rsi) : "d"(SCRATCH) : "memory");
    expect("OUTSB", inb(SCRATCH), 0x44);
    rcx = 2;
    asm volatile("rep outsw" : "+S"(rsi), "+c"(rcx) : "d"(NOTHING) : "memory");
    expect("OUTSW RSI", rsi, (u64)frame_a + 8);
    rcx = 2;
    asm volatile("rep outsl" : "+S"(rsi), "+c"(rcx) : "d"(NOTHING) : "memory");
    expect("OUTSL RSI", rsi, (u64)frame_a + 16);
}

static void test_no_iterations(void)
{
    u64 rdi = page_gva(9), rcx = 0; // an absent page that must not be touched
    struct trap t = TRAP("rep insb; rep outsb", : "+D"(rdi), "+c"(rcx) : "d"(SCRATCH), "S"(rdi) : "memory");
    expect_trap("RCX=0", t, NO_TRAP, 0);
    expect("RDI", rdi, page_gva(9));
}

// A 32-bit address size uses and keeps ECX, EDI: the upper halves of what changes become zero.
static void test_address_size(void)
{
    u64 rdi = (u64)frame_a, rcx = BIT(40) | 2;
    outb(SCRATCH, 0x77);
    asm volatile("addr32 rep insb" : "+D"(rdi), "+c"(rcx) : "d"(SCRATCH) : "memory");
    expect("INSB", *(u64 *)frame_a, 0x7777);
    expect("RDI", rdi, (u64)frame_a + 2);
    u64 rsi = (u64)frame_b;
    frame_b[0] = 0x66;
    asm volatile("addr32 outsb" : "+S"(rsi) : "d"(SCRATCH) : "memory");
    expect("OUTSB", inb(SCRATCH), 0x66);
    expect("RSI", rsi, (u64)frame_b + 1);
}

static void test_segment_override(void)
{
    u64 rsi = 0;
    frame_b[0x10] = 0x4D;
    msr_write(IA32_FS_BASE, (u64)frame_b + 0x10);
    asm volatile("outsb %%fs:(%%rsi), %%dx" : "+S"(rsi) : "d"(SCRATCH) : "memory");
    expect("FS:OUTSB", inb(SCRATCH), 0x4D);
    expect("RSI", rsi, 1);
    msr_write(IA32_FS_BASE, 0);
}

// INS and OUTS that reach an absent page fault there, with the registers of the iterations done.
static void test_page_fault(void)
{
    u64 rdi = page_map(0, (u64)frame_a, 3) + 4094, rcx = 5;
    outb(SCRATCH, 0x21);
    struct trap t = TRAP("rep insb", : "+D"(rdi), "+c"(rcx) : "d"(SCRATCH) : "memory");
    expect_trap("REP INSB", t, PF, 2);
    expect("CR2", t.cr2, page_gva(1));
    expect("RDI", rdi, page_gva(1));
    expect("RCX", rcx, 3);
    expect("done", *(u16 *)(frame_a + 4094), 0x2121);
    u64 rsi = page_gva(0) + 4095;
    rcx = 5;
    t = TRAP("rep outsb", : "+S"(rsi), "+c"(rcx) : "d"(SCRATCH) : "memory");
    expect_trap("REP OUTSB", t, PF, 0);
    expect("RSI", rsi, page_gva(1));
    expect("RCX of OUTSB", rcx, 4);
    page_map(0, (u64)frame_a, 1);
    rdi = page_gva(0);
    expect_trap("INSB to read-only", TRAP("insb", : "+D"(rdi) : "d"(SCRATCH) : "memory"), PF, 3);
    expect("RDI not moved", rdi, page_gva(0));
}

static void test_across_pages(void)
{
    u64 rdi = page_map(0, (u64)frame_a, 3) + 4094, rcx = 2;
    page_map(1, (u64)frame_b, 3);
    asm volatile("rep insl" : "+D"(rdi), "+c"(rcx) : "d"(NOTHING) : "memory");
    expect("first page", *(u16 *)(frame_a + 4094), 0xFFFF);
    expect("second page", *(u64 *)frame_b, 0xFFFFFFFFFFFF);
    expect("RDI", rdi, page_gva(1) + 6);
}

static const struct test tests[] = {
    {"bytes", test_bytes},
    {"nothing", test_nothing},
    {"pic_masks", test_pic_masks},
    {"ins", test_ins},
    {"ins_backward", test_ins_backward},
    {"outs", test_outs},
    {"no_iterations", test_no_iterations},
    {"address_size", test_address_size},
    {"segment_override", test_segment_override},
    {"page_fault", test_page_fault},
    {"across_pages", test_across_pages},
};
GROUP(group_ports, "ports", tests, true);
