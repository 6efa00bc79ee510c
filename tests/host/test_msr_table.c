// The MSR bitmap against the table that it is made from, for every index that it covers and random features;
// the accesses that must exit or fault whatever the rows say.

// link: hv/policy/msr_table.c
#include "support.h"

#include <arch/cpu.h>

#include "hv/policy/msr_table.h"

#define LOW_MSRS   0x2000u
#define HIGH_FIRST 0xc0000000u
#define ROUNDS     20

static u8 bitmap[PAGE_SIZE];
static struct cpuid_policy cpuid;

// SDM vol. 3, 25.6.9: a bit for each MSR, 1 exits; reads and writes, low and high, of 1 KiB each.
static bool exits(u32 index, bool write)
{
    u32 base = (write ? 2048 : 0) + (index >= HIGH_FIRST ? 1024 : 0);
    u32 bit = index & 0x1fff;
    return bitmap[base + bit / 8] & 1 << bit % 8;
}

static void check_one(u32 index)
{
    struct msr_policy policy = msr_find(&cpuid, index);
    if (exits(index, false) != (policy.read != MSR_DIRECT) ||
        exits(index, true) != (policy.write != MSR_DIRECT))
        fail_msg("MSR %x (%s)", index, policy.name);
}

static void random_features(void)
{
    for (unsigned i = 0; i < CPUID_FEATURES; i++)
        cpuid.has[i] = random_u64() & 1;
}

static void bitmap_follows_the_table(void **state)
{
    (void)state;
    random_start();
    for (unsigned round = 0; round < ROUNDS; round++) {
        random_features();
        msr_bitmap_make(&cpuid, bitmap);
        for (u32 i = 0; i < LOW_MSRS; i++) {
            check_one(i);
            check_one(HIGH_FIRST + i);
        }
    }
}

// The table has no row that the bitmap cannot cover, so that a DIRECT one would exit for ever.
static void outside_the_bitmap_all_faults(void **state)
{
    (void)state;
    memset(cpuid.has, true, sizeof(cpuid.has));
    static const u32 edges[] = {
        LOW_MSRS,  0x3fffffff, 0x40000000, 0x400000ff, 0x80000000, HIGH_FIRST - 1, HIGH_FIRST + LOW_MSRS,
        0xffffffff};
    for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
        assert_int_equal(msr_find(&cpuid, edges[i]).read, MSR_FAULT);
        assert_int_equal(msr_find(&cpuid, edges[i]).write, MSR_FAULT);
    }
}

// MSRs that would let the guest harm the monitor or the machine: whatever features it has.
static void dangerous_writes_exit(void **state)
{
    (void)state;
    static const struct {
        u32 first, last;
    } dangerous[] = {
        {IA32_APIC_BASE, IA32_APIC_BASE},
        {IA32_FEATURE_CONTROL, IA32_FEATURE_CONTROL},
        {IA32_BIOS_SIGN_ID - 0x12, IA32_BIOS_SIGN_ID}, // 79H loads microcode
        {IA32_TIME_STAMP_COUNTER, IA32_TIME_STAMP_COUNTER},
        {IA32_TSC_ADJUST, IA32_TSC_ADJUST},
        {IA32_MISC_ENABLE, IA32_MISC_ENABLE},
        {0x199, 0x19b}, // clock and thermal control
        {0x200, 0x276}, // MTRRs
        {0x278, 0x2ff},
        {0x38d, 0x390}, // performance counters
        {IA32_VMX_BASIC, 0x491},
        {0x570, 0x58f},                        // processor trace
        {IA32_X2APIC_FIRST, IA32_X2APIC_LAST}, // msr.c opens these for a guest in x2APIC mode
        {IA32_XSS, IA32_XSS},
        {IA32_EFER, IA32_EFER},
    };
    memset(cpuid.has, true, sizeof(cpuid.has));
    msr_bitmap_make(&cpuid, bitmap);
    for (size_t i = 0; i < ARRAY_SIZE(dangerous); i++) {
        for (u32 index = dangerous[i].first; index <= dangerous[i].last; index++)
            assert_true(exits(index, true));
    }
}

static void what_has_no_feature_faults(void **state)
{
    (void)state;
    memset(cpuid.has, 0, sizeof(cpuid.has));
    assert_int_equal(msr_find(&cpuid, IA32_TSC_ADJUST).read, MSR_FAULT);
    assert_int_equal(msr_find(&cpuid, IA32_TSC_DEADLINE).write, MSR_FAULT);
    assert_int_equal(msr_find(&cpuid, IA32_PAT).read, MSR_FAULT);
    assert_int_equal(msr_find(&cpuid, 0xc0000082).write, MSR_FAULT);
    cpuid.has[CPUID_LM] = true;
    assert_int_equal(msr_find(&cpuid, 0xc0000082).write, MSR_DIRECT);
    assert_int_equal(msr_find(&cpuid, 0xc0000103).write, MSR_FAULT);
    assert_int_equal(msr_find(&cpuid, IA32_VMX_BASIC).read, MSR_FAULT);
}

// Opening and closing one MSR changes its bit only.
static void one_bit_at_a_time(void **state)
{
    (void)state;
    random_features();
    msr_bitmap_make(&cpuid, bitmap);
    for (unsigned i = 0; i < 5000; i++) {
        static u8 before[PAGE_SIZE];
        memcpy(before, bitmap, sizeof(before));
        u32 index = (u32)random_below(LOW_MSRS) + (i % 2 ? HIGH_FIRST : 0);
        bool write = random_u64() & 1, direct = random_u64() & 1;
        (write ? msr_bitmap_write : msr_bitmap_read)(bitmap, index, direct);
        assert_int_equal(exits(index, write), !direct);
        unsigned changed = 0;
        for (unsigned byte = 0; byte < PAGE_SIZE; byte++)
            changed += (unsigned)__builtin_popcount(before[byte] ^ bitmap[byte]);
        assert_true(changed <= 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bitmap_follows_the_table), cmocka_unit_test(outside_the_bitmap_all_faults),
        cmocka_unit_test(dangerous_writes_exit),    cmocka_unit_test(what_has_no_feature_faults),
        cmocka_unit_test(one_bit_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
