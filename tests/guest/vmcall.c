// What only a guest of the monitor sees, so this group is not run by default: VMCALL with an unknown number
// returns a negative error in RAX and changes nothing else; VMX is hidden. Bare, VMCALL outside of VMX is
// #UD.
#include "cpu.h"

#define VMCALL_PATTERN 0x1111111111111111ull

static void test_unknown_number(void)
{
    static const u64 numbers[] = {0x7EADBEEF, 0xFFFFFFFF, ~0ull};
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        u64 rax = numbers[i], rbx = VMCALL_PATTERN, rcx = 2 * VMCALL_PATTERN, rdx = 3 * VMCALL_PATTERN;
        struct trap t = TRAP("vmcall", : "+a"(rax), "+b"(rbx), "+c"(rcx), "+d"(rdx)::"memory");
        expect_trap("VMCALL", t, NO_TRAP, 0);
        if ((s64)rax >= 0)
            fail("RAX: expected a negative error, got %lx", rax);
        expect("RBX", rbx, VMCALL_PATTERN);
        expect("RCX", rcx, 2 * VMCALL_PATTERN);
        expect("RDX", rdx, 3 * VMCALL_PATTERN);
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
    {"unknown_number", test_unknown_number},
    {"vmx_hidden", test_vmx_hidden},
};
GROUP(group_monitor, "monitor", tests, false);
