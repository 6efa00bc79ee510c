// How a processor starts, whatever firmware has left: CR4, IA32_EFER, the execute-disable bit that firmware
// can hide.

// link: arch/processor.c tests/host/fake_cpu.c
#include "fake_cpu.h"

#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/processor.h>

#include "support.h"

#define XD_DISABLE 0x400000000ull // SDM vol. 4, table 2-2
#define OTHERS     0x850089ull    // of IA32_MISC_ENABLE
#define EFER       0xd00ull       // LME, LMA, NXE

static struct {
    bool nx;    // the processor has it
    bool hides; // and IA32_MISC_ENABLE[34] hides it
    bool xsave, keys, mce;
    u32 leaves;
} fake;

static struct cpuid processor_cpuid(u32 leaf, u32 subleaf)
{
    (void)subleaf;
    bool hidden = fake.hides && fake_msr(IA32_MISC_ENABLE) & XD_DISABLE;
    switch (leaf) {
    case 0:
        return (struct cpuid){fake.leaves, 0, 0, 0};
    case 1:
        return (struct cpuid){0, 0, (u32)fake.xsave << 26, (u32)fake.mce << 7};
    case 7:
        assert_true(fake.leaves >= 7);
        return (struct cpuid){0, 0, (u32)fake.keys << 3, 0};
    default:
        assert_int_equal(leaf, 0x80000001);
        return (struct cpuid){0, 0, 0, (u32)(fake.nx && !hidden) << 20};
    }
}

// IA32_EFER.NXE cannot be set while the bit is not shown.
static bool refuses(u32 msr, u64 value)
{
    return msr == IA32_EFER && value & EFER_NXE && !(cpuid(0x80000001, 0).edx >> 20 & 1);
}

static bool refuses_all(u32 msr, u64 value)
{
    (void)msr, (void)value;
    return true;
}

static int setup(void **state)
{
    (void)state;
    fake_cpu_reset();
    fake_cpuid = processor_cpuid;
    fake_msr_refuses = refuses;
    fake.nx = fake.hides = fake.xsave = fake.keys = fake.mce = true;
    fake.leaves = 0x16;
    fake_msr_set(IA32_EFER, EFER_LME | EFER_LMA | EFER_SCE);
    fake_msr_set(IA32_MISC_ENABLE, OTHERS);
    return 0;
}

static void firmware_leaves_it_alone(void **state)
{
    (void)state;
    assert_null(processor_start());
    assert_int_equal(fake_msr(IA32_EFER), EFER);
    assert_int_equal(fake_msr_write_count, 1);
}

static void firmware_disables_xd(void **state)
{
    (void)state;
    fake_msr_set(IA32_MISC_ENABLE, OTHERS | XD_DISABLE);
    assert_null(processor_start());
    assert_int_equal(fake_msr(IA32_MISC_ENABLE), OTHERS);
    assert_int_equal(fake_msr(IA32_EFER), EFER);
}

static void is_refused(void)
{
    const char *why = processor_start();
    assert_non_null(why);
    assert_non_null(strstr(why, "enable Execute Disable"));
    assert_int_equal(fake_msr(IA32_EFER) & EFER_NXE, 0);
}

static void there_is_no_xd(void **state)
{
    (void)state;
    fake.nx = false;
    is_refused();
    assert_int_equal(fake_msr_write_count, 0);
}

// Of a hypervisor, say.
static void xd_stays_hidden(void **state)
{
    (void)state;
    fake.nx = false;
    fake_msr_set(IA32_MISC_ENABLE, XD_DISABLE);
    is_refused();
    fake.nx = true;
    fake_msr_set(IA32_MISC_ENABLE, XD_DISABLE);
    fake_msr_refuses = refuses_all;
    is_refused();
}

// Whatever it was: LA57, PCIDE, SMAP. MCE is on where there is one.
static void cr4_is_made_anew(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 32; i++) {
        fake.xsave = i & 1;
        fake.keys = i & 2;
        fake.leaves = i & 4 ? 7 : 6;
        fake_cr4 = i & 8 ? ~0ull : 0;
        fake.mce = i & 16;
        assert_null(processor_start());
        bool keys = fake.keys && fake.leaves >= 7;
        u64 wanted = 0x220 | (fake.xsave ? 0x40000 : 0) | (keys ? 0x400000 : 0) | (fake.mce ? 0x40 : 0);
        assert_int_equal(fake_cr4, wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(firmware_leaves_it_alone, setup),
        cmocka_unit_test_setup(firmware_disables_xd, setup),
        cmocka_unit_test_setup(there_is_no_xd, setup),
        cmocka_unit_test_setup(xd_stays_hidden, setup),
        cmocka_unit_test_setup(cr4_is_made_anew, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
