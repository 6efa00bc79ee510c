// What only a guest of the monitor sees, so this group is not run by default: VMX is hidden, and VMCALL is
// answered as hv/vmcall.h says: nothing but RAX changes, and bad numbers and arguments are errors, never
// exceptions. The monitor runs with its defaults: calls of ring 3 are refused, and there is neither a trace
// nor a comparison. Bare, VMCALL outside of VMX is #UD.
#include "cpu.h"

#include <hv/vmcall.h>

#define VMCALL_PATTERN 0x1111111111111111ull
#define MANY           (~0ull)

static void test_signature(void)
{
    static const char signature[12] = PENUMBRA_SIGNATURE;
    struct cpuid c = cpuid_read(PENUMBRA_LEAF_SIGNATURE, 0);
    u32 words[3] = {c.ebx, c.ecx, c.edx};
    expect("hypervisor bit", cpuid_read(1, 0).ecx >> 31, 1);
    expect("highest leaf", c.eax, PENUMBRA_LEAF_INTERFACE);
    expect("signature", (u64)memcmp(words, signature, sizeof(words)), 0);
    expect("interface", cpuid_read(PENUMBRA_LEAF_INTERFACE, 0).eax, PENUMBRA_INTERFACE);
}

static void test_unknown_number(void)
{
    static const u64 numbers[] = {0, 99, 0x7EADBEEF, 0xFFFFFFFF, 0x100000001, ~0ull};
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        u64 rax = numbers[i], rbx = VMCALL_PATTERN, rcx = 2 * VMCALL_PATTERN, rdx = 3 * VMCALL_PATTERN;
        struct trap t = TRAP("vmcall", : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx)::"memory");
        expect_trap("VMCALL", t, NO_TRAP, 0);
        expect("RAX", rax, (u64)PENUMBRA_UNKNOWN);
        expect("RBX", rbx, VMCALL_PATTERN);
        expect("RCX", rcx, 2 * VMCALL_PATTERN);
        expect("RDX", rdx, 3 * VMCALL_PATTERN);
    }
}

static u64 call(enum penumbra_call number, u64 first, u64 second)
{
    u64 rax = number;
    struct trap t = TRAP("vmcall", : "+a"(rax) : "D"(first), "S"(second), "d"(0) : "memory");
    expect_trap("VMCALL", t, NO_TRAP, 0);
    return rax;
}

// As many as there are, whatever is asked for; each is described; exits are counted, and again after a reset.
static void test_counters(void)
{
    const u64 *values = (const u64 *)frame_a;
    const struct penumbra_counter *counter = (const struct penumbra_counter *)frame_b;
    u64 count = call(PENUMBRA_COUNTERS, 0, 0);
    if (count < 20 || count > sizeof(frame_a) / 8)
        fail("how many counters: %lu", count);
    expect("COUNTERS of many", call(PENUMBRA_COUNTERS, (u64)frame_a, MANY), count);
    for (u64 i = 0; i < count; i++)
        expect("COUNTER", call(PENUMBRA_COUNTER, i, (u64)frame_b), 0);
    expect("COUNTER past the last", call(PENUMBRA_COUNTER, count, (u64)frame_b), (u64)PENUMBRA_ARGUMENT);
    expect("COUNTER of a huge index", call(PENUMBRA_COUNTER, MANY, (u64)frame_b), (u64)PENUMBRA_ARGUMENT);
    expect("COUNTER 0", call(PENUMBRA_COUNTER, 0, (u64)frame_b), 0);
    expect("its name", (u64)memcmp(counter->name, "exits", 6), 0);
    u64 before = values[0];
    call(PENUMBRA_COUNTERS, (u64)frame_a, 1);
    expect("exits meanwhile", values[0] - before, count + 4);
    expect("RESET", call(PENUMBRA_RESET, 0, 0), 0);
    call(PENUMBRA_COUNTERS, (u64)frame_a, 1);
    expect("exits after a reset", values[0], 1);
}

// Buffers that are not there, in all or in part, cannot be written, or are no addresses.
static void test_faults(void)
{
    u64 absent = page_map(0, 0, 0), read_only = page_map(1, (u64)frame_a, PAGE_P);
    u64 last = page_map(2, (u64)frame_b, PAGE_P | PAGE_W) + 0xff8; // page 3 is absent
    u64 bad[] = {absent, read_only, last, last + 4, NON_CANONICAL, NON_CANONICAL - 8, ~0ull, ~0ull - 15};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        expect("COUNTERS", call(PENUMBRA_COUNTERS, bad[i], MANY), (u64)PENUMBRA_FAULT);
        expect("COUNTER", call(PENUMBRA_COUNTER, 0, bad[i]), (u64)PENUMBRA_FAULT);
        expect("MODE", call(PENUMBRA_MODE, bad[i], MANY), (u64)PENUMBRA_FAULT);
    }
    expect("RESULT", call(PENUMBRA_RESULT, absent, 0), (u64)PENUMBRA_FAULT);
    expect("RESULT in part", call(PENUMBRA_RESULT, last, 0), (u64)PENUMBRA_FAULT);
    expect("read-only memory", frame_a[0], 0);
}

// A page of the guest's that it has not used since it mapped it, or only read: its tables get their bits as
// from the guest's own access.
static void test_fresh_page(void)
{
    u64 gva = page_map(0, (u64)frame_a, PAGE_P | PAGE_W);
    call(PENUMBRA_COUNTERS, gva, 1);
    expect("accessed and dirty", *page_entry(0) >> 5 & 3, 3);
    expect("the same memory", *(volatile u64 *)gva, *(volatile u64 *)frame_a);
    call(PENUMBRA_COUNTERS, (u64)page_entry(3),
         1); // a page table itself: the entry is no page, and stays none
    *page_entry(3) = 0;
    page_flush(3);
    expect_trap("page 3", TRAP("movb (%0), %%al", ::"r"(page_gva(3)) : "rax", "memory"), PF, 0);
}

static void test_off(void)
{
    memset(frame_a, 0, sizeof(frame_a));
    frame_a[0] = 'a';
    expect("MARK", call(PENUMBRA_MARK, 1, 0), (u64)PENUMBRA_OFF);
    expect("TRACE", call(PENUMBRA_TRACE, 0, 0), (u64)PENUMBRA_OFF);
    expect("RESULT", call(PENUMBRA_RESULT, (u64)frame_a, 0), (u64)PENUMBRA_OFF);
}

static void test_mode(void)
{
    u64 length = call(PENUMBRA_MODE, 0, 0);
    expect("MODE cut", call(PENUMBRA_MODE, (u64)frame_a, 5), length);
    expect("what of it there is", (u64)memcmp(frame_a, "mmu=", 5), 0);
    expect("MODE", call(PENUMBRA_MODE, (u64)frame_a, sizeof(frame_a)), length);
    expect("its length", strlen((char *)frame_a), length);
}

void user_call(void);

// A result in the caller's buffer shows that it ran on behind the call, and that nothing else was written.
static void test_denied(void)
{
    u64 gva = page_map(0, (u64)frame_a, PAGE_P | PAGE_W | PAGE_U);
    for (u64 number = 0; number < 12; number++) {
        memset(frame_a, 0x5A, 16);
        struct trap t = user_run(user_call, USER_CODE64, number, gva);
        expect_trap("VMCALL in ring 3", t, 0x80, 0);
        expect("its result", ((u64 *)frame_a)[0], (u64)PENUMBRA_DENIED);
        expect("its buffer", frame_a[8], 0x5A);
    }
}

static void test_vmx_hidden(void)
{
    expect("CPUID.VMX", cpuid_read(1, 0).ecx >> 5 & 1, 0);
    expect_trap("CR4.VMXE", cr4_try(cr4_read() | BIT(13)), GP, 0);
    expect_trap("IA32_VMX_BASIC", msr_try_read(0x480), GP, 0);
    expect_trap("VMXOFF", TRAP("vmxoff", ::: "memory"), UD, 0);
    expect_trap("VMREAD", TRAP("vmread %%rax, %%rax", ::: "memory", "rax"), UD, 0);
}

static const struct test tests[] = {
    {"signature", test_signature},
    {"unknown_number", test_unknown_number},
    {"counters", test_counters},
    {"faults", test_faults},
    {"fresh_page", test_fresh_page},
    {"off", test_off},
    {"mode", test_mode},
    {"denied", test_denied},
    {"vmx_hidden", test_vmx_hidden},
};
GROUP(group_monitor, "monitor", tests, false);
