// Exceptions that cannot be delivered: while #DF is on its way another fault comes, so the processor shuts
// down (SDM vol. 3, table 6-5), which resets the machine. So each case ends the guest, and a letter from COM1
// chooses the case. Not run by default: tests/run/undelivered.t does, many in one boot.
#include "cpu.h"

// An exception on this stack, with #DF on the same.
static void fault_on(u64 stack)
{
    idt[DF].ist = 0;
    asm volatile("mov %0, %%rsp; push %%rax; ud2" ::"r"(stack) : "memory");
}

static void stack_absent(void)
{
    fault_on(page_map(20, 0, 0) + 0x800);
}

// A guard page that was in use before.
static void stack_unmapped(void)
{
    u64 gva = page_map(20, (u64)frame_a, PAGE_P | PAGE_W);
    *(volatile u64 *)gva = 1;
    fault_on(page_map(20, 0, 0) + 0x800);
}

static void stack_read_only(void)
{
    u64 gva = page_map(20, (u64)frame_a, PAGE_P);
    expect("read", *(volatile u64 *)gva, 0);
    fault_on(gva + 0x800);
}

static void stack_reserved_bit(void)
{
    fault_on(page_map(20, (u64)frame_a | BIT(51), PAGE_P | PAGE_W) + 0x800);
}

// #DF has a stack of its own, which is no better.
static void fault_with_ist(u64 stack)
{
    tss.ist[0] = stack;
    asm volatile("mov %0, %%rsp; push %%rax" ::"r"(page_map(21, 0, 0) + 0x800) : "memory");
}

static void own_stack_absent(void)
{
    fault_with_ist(page_map(20, 0, 0) + 0x800);
}

static void own_stack_read_only(void)
{
    fault_with_ist(page_map(20, (u64)frame_a, PAGE_P) + 0x800);
}

static void idt_absent(void)
{
    struct descriptor_register away = {4095, page_map(20, 0, 0)};
    asm volatile("lidt %0; ud2" ::"m"(away) : "memory");
}

static void idt_empty(void)
{
    struct descriptor_register empty = {0, 0};
    asm volatile("lidt %0; int3" ::"m"(empty) : "memory");
}

static void gdt_absent(void)
{
    struct descriptor_register away = {0xff, page_map(20, 0, 0)};
    asm volatile("lgdt %0; ud2" ::"m"(away) : "memory");
}

static void root_empty(void)
{
    cr3_write((u64)frame_b);
}

static void root_nowhere(void)
{
    cr3_write(HOLE_GPA);
}

static void root_beyond(void)
{
    cr3_write(6 * GIB);
}

static void (*const cases[])(void) = {
    stack_absent, stack_unmapped, stack_read_only, stack_reserved_bit, own_stack_absent, own_stack_read_only,
    idt_absent,   idt_empty,      gdt_absent,      root_empty,         root_nowhere,     root_beyond,
};

static u8 letter_wait(void)
{
    while (!(inb(0x3FD) & 1))
        asm volatile("pause");
    return inb(0x3F8);
}

static void test_case(void)
{
    print("# which case?\n");
    unsigned n = letter_wait() - 'a';
    if (n >= ARRAY_SIZE(cases))
        fail("no such case");
    else
        cases[n]();
    fail("the processor goes on");
}

static const struct test tests[] = {
    {"case", test_case},
};
GROUP(group_undelivered, "undelivered", tests, false);
