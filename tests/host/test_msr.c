// RDMSR and CPUID as they exit: what of the processor's own answers the guest gets to see.

// link: MACHINE hv/exits/msr.c
#include "fake_machine.h"

#include <arch/cpu.h>
#include <arch/io.h>

#include "hv/policy/msr_table.h"

static struct vcpu *v;

static u64 rdmsr_exit(u32 index)
{
    *vcpu_reg(v, GPR_RCX) = index;
    *vcpu_reg(v, GPR_RAX) = *vcpu_reg(v, GPR_RDX) = ~0ull;
    assert_int_equal(exit_rdmsr(v), VERDICT_SKIP);
    assert_int_equal(*vcpu_reg(v, GPR_RAX) >> 32 | *vcpu_reg(v, GPR_RDX) >> 32, 0);
    return *vcpu_reg(v, GPR_RDX) << 32 | *vcpu_reg(v, GPR_RAX);
}

// SDM vol. 4, table 2-2: bits that say that there is an MSR, each with one of these.
static void capabilities_name_no_msr(void **state)
{
    (void)state;
    static const struct {
        u8 bit;
        u32 msr;
    } rows[] = {{7, 0x122}, {9, 0x1406}, {10, 0xbc},  {11, 0xbc},  {12, 0x1b01}, {18, 0x123},
                {21, 0xbd}, {23, 0x195}, {25, 0x123}, {29, 0x123}, {30, 0x123}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        fake_msr_set(IA32_ARCH_CAPABILITIES, BIT(rows[i].bit));
        bool has_msr = msr_find(&v->vm->cpuid, rows[i].msr).read != MSR_FAULT;
        if ((rdmsr_exit(IA32_ARCH_CAPABILITIES) & BIT(rows[i].bit)) != (has_msr ? BIT(rows[i].bit) : 0))
            fail_msg("bit %d, MSR %x", rows[i].bit, rows[i].msr);
    }
    fake_msr_set(IA32_ARCH_CAPABILITIES, ~0ull);
    assert_int_equal(rdmsr_exit(IA32_ARCH_CAPABILITIES), 0x400000001d1ae17full);
    fake_msr_set(IA32_ARCH_CAPABILITIES, 0x2b);
    assert_int_equal(rdmsr_exit(IA32_ARCH_CAPABILITIES), 0x2b);
}

static struct cpuid virtual_cpuid(u32 leaf, u32 subleaf)
{
    (void)subleaf;
    return (struct cpuid){.ecx = leaf == 1 ? CPUID_1_ECX_HYPERVISOR : 0};
}

#define BHI_NO BIT(20)
#define ITS_NO BIT(62)

// Without enhanced IBRS there is neither BHI nor ITS, whether the processor has the MSR or not.
static void faults_of_enhanced_ibrs(void **state)
{
    (void)state;
    static const struct {
        u64 own, shown, shown_virtual;
    } rows[] = {{0, BHI_NO | ITS_NO, 0},
                {BIT(0), BIT(0) | BHI_NO | ITS_NO, BIT(0)},
                {BIT(1), BIT(1), BIT(1)},
                {BIT(1) | ITS_NO, BIT(1) | ITS_NO, BIT(1) | ITS_NO},
                {BHI_NO, BHI_NO | ITS_NO, BHI_NO}};
    assert_int_equal(rdmsr_exit(IA32_ARCH_CAPABILITIES), BHI_NO | ITS_NO); // there is none
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        fake_msr_set(IA32_ARCH_CAPABILITIES, rows[i].own);
        fake_cpuid = NULL;
        assert_int_equal(rdmsr_exit(IA32_ARCH_CAPABILITIES), rows[i].shown);
        fake_cpuid = virtual_cpuid;
        assert_int_equal(rdmsr_exit(IA32_ARCH_CAPABILITIES), rows[i].shown_virtual);
    }
}

static u32 leaf_7(u32 subleaf, unsigned reg)
{
    *vcpu_reg(v, GPR_RAX) = 7;
    *vcpu_reg(v, GPR_RCX) = subleaf;
    assert_int_equal(exit_cpuid(v), VERDICT_SKIP);
    return (u32)*vcpu_reg(v, reg);
}

// Bit 4 of ECX is OSPKE in subleaf 0 alone.
static void keys_are_in_subleaf_0(void **state)
{
    (void)state;
    for (unsigned on = 0; on < 2; on++) {
        vmcs_write(GUEST_CR4, on ? vmcs_read(GUEST_CR4) | CR4_PKE : vmcs_read(GUEST_CR4) & ~CR4_PKE);
        assert_int_equal(leaf_7(0, GPR_RCX) >> 4 & 1, on);
        assert_int_equal(leaf_7(2, GPR_RCX), 0);
        assert_int_equal(leaf_7(2, GPR_RDX), 0x3f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MACHINE_TEST(machine_setup, capabilities_name_no_msr),
        MACHINE_TEST(machine_setup, faults_of_enhanced_ibrs),
        MACHINE_TEST(machine_setup, keys_are_in_subleaf_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
