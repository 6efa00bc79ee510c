// The CPUID policy over processors made here: each feature row alone, what must stay hidden, the limits of
// the leaves, topology, XSAVE, CR4, and the TSC ratio over random rates.

// link: hv/policy/cpuid.c
#include "support.h"

#include <arch/cpu.h>
#include <hv/vmcall.h>

#include "hv/policy/cpuid.h"
#include "hv/vmcall.h"

#define LEAVES 40

// A processor: the leaves that it has. All others read as zeros.
struct fake_leaf {
    u32 leaf, subleaf;
    struct cpuid_regs regs;
};
static struct fake_leaf fake[LEAVES];
static unsigned fake_count;

static struct cpuid_regs fake_host(u32 leaf, u32 subleaf)
{
    for (unsigned i = 0; i < fake_count; i++) {
        if (fake[i].leaf == leaf && fake[i].subleaf == subleaf)
            return fake[i].regs;
    }
    return (struct cpuid_regs){{0}};
}

static void fake_add(u32 leaf, u32 subleaf, u32 eax, u32 ebx, u32 ecx, u32 edx)
{
    assert_true(fake_count < LEAVES);
    fake[fake_count++] = (struct fake_leaf){leaf, subleaf, {{eax, ebx, ecx, edx}}};
}

static u32 *fake_reg(u32 leaf, u32 subleaf, unsigned reg)
{
    for (unsigned i = 0; i < fake_count; i++) {
        if (fake[i].leaf == leaf && fake[i].subleaf == subleaf)
            return &fake[i].regs.r[reg];
    }
    fail_msg("no leaf %x", leaf);
    return NULL;
}

enum { EAX, EBX, ECX, EDX };

// Every feature bit is set that any register of a feature leaf has.
static void fake_everything(void)
{
    fake_count = 0;
    fake_add(0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69);
    fake_add(1, 0, 0x906ea, 0x12345678, 0xffffffff, 0xffffffff);
    fake_add(2, 0, 0x76036301, 0xf0b5ff, 0, 0xc30000);
    fake_add(4, 0, 0x1c004121, 0x1c0003f, 0x3f, 0);
    fake_add(4, 1, 0x1c004122, 0x1c0003f, 0x3f, 0);
    fake_add(4, 2, 0x1c004143, 0xc0003f, 0x3ff, 0);
    fake_add(4, 3, 0x1c03c163, 0x3c0003f, 0x3fff, 6);
    fake_add(5, 0, 0x40, 0x40, 3, 0x142120);
    fake_add(6, 0, 0xffffffff, 2, 9, 0);
    fake_add(7, 0, 2, 0xffffffff, 0xffffffff, 0xffffffff);
    fake_add(7, 1, 0xffffffff, 0, 0, 0);
    fake_add(7, 2, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff);
    fake_add(0xa, 0, 0x8300805, 0, 0, 0x603);
    fake_add(0xb, 0, 1, 2, 0x100, 5);
    fake_add(0xb, 1, 4, 12, 0x201, 5);
    fake_add(0xd, 0, 0x602e7, 0xa80, 0x2b00, 0);
    fake_add(0xd, 1, 0xffffffff, 0xa00, 0x1800, 0);
    fake_add(0xd, 2, 256, 576, 0, 0);   // AVX
    fake_add(0xd, 5, 64, 1088, 0, 0);   // opmask
    fake_add(0xd, 6, 512, 1152, 0, 0);  // ZMM_Hi256
    fake_add(0xd, 7, 1024, 1664, 0, 0); // Hi16_ZMM
    fake_add(0xd, 9, 8, 2688, 0, 0);    // PKRU
    fake_add(0xd, 11, 16, 0, 1, 0);     // CET, supervisor
    fake_add(0xd, 17, 64, 2752, 2, 0);  // AMX
    fake_add(0xd, 18, 8192, 2816, 6, 0);
    fake_add(0x15, 0, 2, 0x124, 24000000, 0);
    fake_add(0x16, 0, 0xdac, 0x1068, 100, 0);
    fake_add(0x80000000, 0, 0x80000008, 0, 0, 0);
    fake_add(0x80000001, 0, 0, 0, 0xffffffff, 0xffffffff);
    fake_add(0x80000002, 0, 0x65746e49, 0x2952286c, 0x726f4320, 0x4d542865);
    fake_add(0x80000006, 0, 0, 0, 0x1006040, 0);
    fake_add(0x80000007, 0, 0, 0, 0, 0xffffffff);
    fake_add(0x80000008, 0, 0x3934, 0, 0, 0); // 52 physical bits, 57 linear ones
}

static struct cpuid_policy policy;

static struct cpuid_facts facts_make(void)
{
    return (struct cpuid_facts){
        .host = fake_host, .apic_id = 3, .tsc_hz = 3504000000, .crystal_hz = 24000000};
}

static void make(void)
{
    struct cpuid_facts facts = facts_make();
    cpuid_make(&policy, &facts);
}

static u32 shown(u32 leaf, u32 subleaf, unsigned reg)
{
    const struct cpuid_row *row = cpuid_find(&policy, leaf, subleaf);
    return row ? row->regs.r[reg] : 0;
}

struct feature {
    const char *name;
    u32 leaf;
    unsigned reg, bit;
};
static const struct feature features[] = {
#define FEATURE(name, leaf, reg, bit) {#name, leaf, reg, bit},
#include "hv/policy/cpuid.def"
#undef FEATURE
};

static u32 subleaf_of(const struct feature *f)
{
    return f->leaf < 0x80000000 ? f->leaf >> 16 : 0;
}

static u32 leaf_of(const struct feature *f)
{
    return f->leaf < 0x80000000 ? f->leaf & 0xffff : f->leaf;
}

// A processor without one feature shows the guest all others. Two follow the guest's own settings.
static void each_feature_needs_the_processor(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        const struct feature *f = &features[i];
        u32 leaf = leaf_of(f), subleaf = subleaf_of(f);
        bool dynamic = i == CPUID_APIC;
        fake_everything();
        make();
        assert_true(policy.has[i]);
        assert_int_equal(shown(leaf, subleaf, f->reg) >> f->bit & 1, !dynamic);
        *fake_reg(leaf, subleaf, f->reg) &= ~(1u << f->bit);
        make();
        assert_false(policy.has[i]);
        assert_int_equal(shown(leaf, subleaf, f->reg) >> f->bit & 1, 0);
        for (unsigned other = 0; other < ARRAY_SIZE(features); other++) {
            bool needs_it = (i == CPUID_XSAVE && features[other].leaf == 0x1000d) ||
                            (i == CPUID_IBRS_IBPB && features[other].leaf == 0x20007);
            assert_int_equal(policy.has[other], other != i && !needs_it);
        }
    }
}

// What a processor without IA32_ARCH_CAPABILITIES cannot say is said for it, but not in a virtual
// machine.
static void capabilities_are_told(void **state)
{
    (void)state;
    for (unsigned nested = 0; nested < 2; nested++) {
        fake_everything();
        *fake_reg(7, 0, EDX) &= ~(1u << 29);
        *fake_reg(1, 0, ECX) = nested << 31;
        make();
        assert_int_equal(policy.has[CPUID_ARCH_CAPABILITIES], !nested);
        assert_int_equal(shown(7, 0, EDX) >> 29 & 1, !nested);
    }
    struct cpuid_facts facts = facts_make();
    *fake_reg(1, 0, ECX) = 0;
    facts.hide[CPUID_ARCH_CAPABILITIES] = true;
    cpuid_make(&policy, &facts);
    assert_int_equal(shown(7, 0, EDX) >> 29 & 1, 0);
}

static void each_feature_can_be_hidden(void **state)
{
    (void)state;
    fake_everything();
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
        struct cpuid_facts facts = facts_make();
        facts.hide[i] = true;
        cpuid_make(&policy, &facts);
        assert_false(policy.has[i]);
        assert_int_equal(
            shown(leaf_of(&features[i]), subleaf_of(&features[i]), features[i].reg) >> features[i].bit & 1,
            0);
    }
}

// Named from the SDM, independently of cpuid.def: what this monitor cannot give a guest.
static void unsupported_features_stay_hidden(void **state)
{
    (void)state;
    static const struct feature hidden[] = {
        {"DTES64", 1, ECX, 2},     {"MONITOR", 1, ECX, 3},   {"DS-CPL", 1, ECX, 4},
        {"VMX", 1, ECX, 5},        {"SMX", 1, ECX, 6},       {"EIST", 1, ECX, 7},
        {"TM2", 1, ECX, 8},        {"SDBG", 1, ECX, 11},     {"xTPR", 1, ECX, 14},
        {"PDCM", 1, ECX, 15},      {"DCA", 1, ECX, 18},      {"OSXSAVE", 1, ECX, 27},
        {"PSN", 1, EDX, 18},       {"DS", 1, EDX, 21},       {"ACPI", 1, EDX, 22},
        {"HTT", 1, EDX, 28},       {"TM", 1, EDX, 29},       {"PBE", 1, EDX, 31},
        {"SGX", 7, EBX, 2},        {"HLE", 7, EBX, 4},       {"RTM", 7, EBX, 11},
        {"RDT-M", 7, EBX, 12},     {"MPX", 7, EBX, 14},      {"RDT-A", 7, EBX, 15},
        {"PT", 7, EBX, 25},        {"OSPKE", 7, ECX, 4},     {"WAITPKG", 7, ECX, 5},
        {"CET_SS", 7, ECX, 7},     {"TME", 7, ECX, 13},      {"LA57", 7, ECX, 16},
        {"KL", 7, ECX, 23},        {"ENQCMD", 7, ECX, 29},   {"SGX_LC", 7, ECX, 30},
        {"PKS", 7, ECX, 31},       {"UINTR", 7, EDX, 5},     {"HYBRID", 7, EDX, 15},
        {"PCONFIG", 7, EDX, 18},   {"LBR", 7, EDX, 19},      {"CET_IBT", 7, EDX, 20},
        {"AMX-BF16", 7, EDX, 22},  {"AMX-TILE", 7, EDX, 24}, {"AMX-INT8", 7, EDX, 25},
        {"CORE_CAPS", 7, EDX, 30}, {"DTS", 6, EAX, 0},       {"TURBO", 6, EAX, 1},
        {"HWP", 6, EAX, 7},        {"XFD", 0xd, EAX, 17},    {"AMX data", 0xd, EAX, 18},
        {"BNDREGS", 0xd, EAX, 3},  {"BNDCSR", 0xd, EAX, 4},
    };
    fake_everything();
    make();
    for (unsigned i = 0; i < ARRAY_SIZE(hidden); i++) {
        if (shown(hidden[i].leaf, 0, hidden[i].reg) >> hidden[i].bit & 1)
            fail_msg("%s is shown", hidden[i].name);
    }
    assert_int_equal(shown(7, 0, EAX), 2);
    assert_int_equal(shown(7, 1, EAX), 0);
    assert_int_equal(shown(7, 2, EAX) | shown(7, 2, EBX) | shown(7, 2, ECX), 0);
    assert_int_equal(shown(7, 2, EDX), 0x3f); // of the bits of 1AH, 1B01H and others nothing
    assert_int_equal(shown(0xa, 0, EAX), 0);  // no performance counters
    assert_int_equal(shown(5, 0, EAX), 0);    // no MONITOR
    assert_int_equal(shown(0xd, 1, EAX) >> 4, 0);
    assert_int_equal(shown(1, 0, ECX) >> 31, 1); // the hypervisor bit
}

// SDM vol. 2, CPUID: a basic leaf above the highest reads as the highest basic leaf, also for the extended
// ones.
static void leaves_out_of_range(void **state)
{
    (void)state;
    fake_everything();
    make();
    assert_int_equal(shown(0, 0, EAX), 0x16);
    assert_int_equal(shown(0, 0, EBX), 0x756e6547);
    static const u32 above[] = {0x17, 0x20, 0x1f, 0x3fffffff, 0x40000002, 0x80000009, 0xffffffff};
    for (unsigned i = 0; i < ARRAY_SIZE(above); i++) {
        const struct cpuid_row *row = cpuid_find(&policy, above[i], 0);
        assert_non_null(row);
        assert_int_equal(row->leaf, 0x16);
    }
    static const u32 absent[] = {3, 5, 8, 9, 0xc, 0x14};
    for (unsigned i = 0; i < ARRAY_SIZE(absent); i++)
        assert_null(cpuid_find(&policy, absent[i], 0));
    assert_int_equal(shown(0x40000000, 0, EAX), 0x40000001);
    assert_int_equal(shown(0x40000000, 0, EBX), 0x756e6550); // "Penu"
    assert_int_equal(shown(0x40000001, 0, EAX), PENUMBRA_INTERFACE);
    assert_int_equal(shown(0x40000001, 0, EBX), 0);
    assert_int_equal(shown(0x80000000, 0, EAX), 0x80000008);
    assert_int_equal(shown(0x80000002, 0, EBX), 0x2952286c);
    assert_int_equal(shown(0x80000008, 0, EAX), 0x3034); // LA57 hidden: 48 linear bits
}

// A leaf without subleaves answers whatever ECX is, one with them only those it has.
static void subleaves(void **state)
{
    (void)state;
    fake_everything();
    make();
    assert_int_equal(shown(0, 77, EBX), 0x756e6547);
    assert_int_equal(shown(0x80000008, 5, EAX), 0x3034);
    assert_null(cpuid_find(&policy, 7, 1));
    assert_null(cpuid_find(&policy, 4, 4));
    assert_null(cpuid_find(&policy, 0xd, 3));
    assert_null(cpuid_find(&policy, 0xd, 11));
    for (unsigned i = 1; i < policy.count; i++) {
        const struct cpuid_row *a = &policy.rows[i - 1], *b = &policy.rows[i];
        assert_true(a->leaf < b->leaf || (a->leaf == b->leaf && a->subleaf < b->subleaf));
    }
}

static void one_processor(void **state)
{
    (void)state;
    fake_everything();
    make();
    assert_int_equal(shown(1, 0, EAX), 0x906ea);
    assert_int_equal(shown(1, 0, EBX), 0x03015678); // APIC id 3, one logical processor
    static const u8 kinds[4] = {1, 2, 3, 3};        // data, instructions, unified
    for (u32 i = 0; i < 4; i++) {
        assert_int_equal(shown(4, i, EAX) & 0x1f, kinds[i]);
        assert_int_equal(shown(4, i, EAX) >> 14, 0); // shared by one thread, one core
    }
    assert_int_equal(shown(0xb, 0, EBX), 1);
    assert_int_equal(shown(0xb, 0, ECX), 0x100); // SMT
    assert_int_equal(shown(0xb, 1, EBX), 1);
    assert_int_equal(shown(0xb, 1, ECX), 0x201); // core
    assert_int_equal(shown(0xb, 1, EDX), 3);
    assert_null(cpuid_find(&policy, 0xb, 2));
}

static void xsave(void **state)
{
    (void)state;
    fake_everything();
    make();
    assert_int_equal(policy.xcr0, 0x2e7);
    assert_int_equal(shown(0xd, 0, EAX), 0x2e7);
    assert_int_equal(shown(0xd, 0, ECX), 2696); // PKRU ends it: AMX would have made it 11008
    assert_int_equal(shown(0xd, 1, EAX), 0xf);
    assert_int_equal(shown(0xd, 1, ECX), 0); // no supervisor state
    assert_int_equal(shown(0xd, 6, EBX), 1152);
    assert_null(cpuid_find(&policy, 0xd, 17));

    struct cpuid_facts facts = facts_make();
    facts.hide[CPUID_PKU] = true;
    cpuid_make(&policy, &facts);
    assert_int_equal(policy.xcr0, 0xe7);
    assert_int_equal(shown(0xd, 0, ECX), 2688);

    *fake_reg(0xd, 0, EAX) = 3;
    make();
    assert_int_equal(shown(0xd, 0, ECX), 576);

    *fake_reg(1, 0, ECX) &= ~(1u << 26);
    make();
    assert_int_equal(policy.xcr0, 0);
    assert_null(cpuid_find(&policy, 0xd, 0));
}

// Leaf 7 says that it has a subleaf 2 where the processor has one and the guest has IA32_SPEC_CTRL.
static void spec_ctrl(void **state)
{
    (void)state;
    fake_everything();
    *fake_reg(7, 0, EAX) = 1;
    make();
    assert_int_equal(shown(7, 0, EAX), 0);
    assert_null(cpuid_find(&policy, 7, 2));
    assert_false(policy.has[CPUID_BHI_CTRL]);
    fake_everything();
    struct cpuid_facts facts = facts_make();
    facts.hide[CPUID_IBRS_IBPB] = true;
    cpuid_make(&policy, &facts);
    assert_int_equal(shown(7, 0, EAX), 0);
    assert_null(cpuid_find(&policy, 7, 2));
}

// An early processor with VMX: basic leaves to 6 only, extended ones to 80000008H.
static void old_processor(void **state)
{
    (void)state;
    fake_count = 0;
    fake_add(0, 0, 6, 0x756e6547, 0x6c65746e, 0x49656e69);
    fake_add(1, 0, 0x10676, 0x20800, 0x8e3bd, 0xbfebfbff);
    fake_add(7, 0, 0, 0xffffffff, 0,
             0); // what such a processor answers above its limit is not to be believed
    fake_add(0xd, 0, 7, 0, 0, 0);
    fake_add(0x80000000, 0, 0x80000008, 0, 0, 0);
    fake_add(0x80000001, 0, 0, 0, 1, 0x20100800);
    fake_add(0x80000008, 0, 0x3024, 0, 0, 0);
    make();
    assert_false(policy.has[CPUID_FSGSBASE]);
    assert_false(policy.has[CPUID_SMEP]);
    assert_int_equal(shown(7, 0, EDX), 1u << 29); // what is told in its place
    assert_int_equal(shown(7, 0, EAX) | shown(7, 0, EBX) | shown(7, 0, ECX), 0);
    assert_null(cpuid_find(&policy, 0xb, 0));
    assert_null(cpuid_find(&policy, 0xd, 0));
    assert_int_equal(policy.xcr0, 0);
    assert_int_equal(shown(0x16, 0, EAX), 3504);
    assert_true(policy.has[CPUID_LM] && policy.has[CPUID_NX] && policy.has[CPUID_SSE4_1]);
    assert_int_equal(shown(0x80000008, 0, EAX), 0x3024);
    assert_int_equal(cpuid_cr4_allowed(&policy) & (CR4_SMEP | CR4_OSXSAVE | CR4_PCIDE | CR4_FSGSBASE), 0);
    assert_int_equal(cpuid_cr4_allowed(&policy) & (CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT),
                     CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT);

    *fake_reg(0x80000000, 0, EAX) = 0x80000001;
    make();
    assert_int_equal(shown(0x80000000, 0, EAX), 0x80000001);
    assert_int_equal(cpuid_find(&policy, 0x80000008, 0)->leaf, 0x16);
}

static void cr4(void **state)
{
    (void)state;
    static const struct {
        u64 bits;
        enum cpuid_feature feature;
    } needs[] = {
        {CR4_VME | CR4_PVI, CPUID_VME}, {CR4_TSD, CPUID_TSC},     {CR4_DE, CPUID_DE},
        {CR4_PSE, CPUID_PSE},           {CR4_PAE, CPUID_PAE},     {CR4_MCE, CPUID_MCE},
        {CR4_PGE, CPUID_PGE},           {CR4_OSFXSR, CPUID_FXSR}, {CR4_OSXMMEXCPT, CPUID_SSE},
        {CR4_UMIP, CPUID_UMIP},         {CR4_PCIDE, CPUID_PCID},  {CR4_FSGSBASE, CPUID_FSGSBASE},
        {CR4_OSXSAVE, CPUID_XSAVE},     {CR4_SMEP, CPUID_SMEP},   {CR4_SMAP, CPUID_SMAP},
        {CR4_PKE, CPUID_PKU},
    };
    fake_everything();
    make();
    u64 all = cpuid_cr4_allowed(&policy);
    assert_int_equal(all & (CR4_VMXE | CR4_SMXE | CR4_LA57 | BIT(23) | BIT(24)), 0); // BIT(23): CET
    assert_int_equal(all >> 25, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(needs); i++) {
        struct cpuid_facts facts = facts_make();
        facts.hide[needs[i].feature] = true;
        cpuid_make(&policy, &facts);
        assert_int_equal(cpuid_cr4_allowed(&policy), all & ~needs[i].bits);
    }
}

// What Linux does with leaf 15H (native_calibrate_tsc): crystal_khz * numerator in 32 bits, by the
// denominator.
static u64 linux_tsc_khz(struct cpuid_ratio r)
{
    u64 crystal_khz = r.crystal_hz / 1000;
    u64 product = crystal_khz * r.numerator;
    assert_true(product <= 0xffffffff);
    return (u32)product / r.denominator;
}

static u64 distance(u64 a, u64 b)
{
    return a > b ? a - b : b - a;
}

static void ratio_over_random_rates(void **state)
{
    (void)state;
    random_start();
    for (unsigned i = 0; i < 200000; i++) {
        u64 crystal = 1000000 + random_below(199000000);
        u64 tsc = 400000000 + random_below(5600000000);
        if (i % 4 == 0) // a local APIC timer that runs at the TSC's rate, measured alike but for the noise
            crystal = tsc = 10000000 + random_below(3500000000);
        struct cpuid_ratio r = cpuid_tsc_ratio(tsc, crystal);
        assert_true(r.denominator > 0 && r.numerator > 0);
        assert_int_equal(r.crystal_hz, crystal);
        u64 hz = (u64)((unsigned __int128)r.crystal_hz * r.numerator / r.denominator);
        // 32 bits leave room for a denominator of at least 100, and the ratio is rounded.
        assert_true(distance(hz, tsc) <= crystal / 200 + 1);
        assert_true(distance(linux_tsc_khz(r), hz / 1000) <= r.numerator / r.denominator + 2);
    }
}

static void ratio_of_known_processors(void **state)
{
    (void)state;
    struct cpuid_ratio r = cpuid_tsc_ratio(50000000, 50000000); // Bochs
    assert_true(r.denominator == 1 && r.numerator == 1 && r.crystal_hz == 50000000);
    r = cpuid_tsc_ratio(3504000000, 24000000);
    assert_true(r.denominator == 1 && r.numerator == 146);
    r = cpuid_tsc_ratio(1996800000, 19200000);
    assert_int_equal(linux_tsc_khz(r), 1996800);
    r = cpuid_tsc_ratio(2995200000, 25000000); // 119.808, and 32 bits leave room for two digits
    assert_true(distance(linux_tsc_khz(r), 2995200) <= 125);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_feature_needs_the_processor),
        cmocka_unit_test(capabilities_are_told),
        cmocka_unit_test(each_feature_can_be_hidden),
        cmocka_unit_test(unsupported_features_stay_hidden),
        cmocka_unit_test(leaves_out_of_range),
        cmocka_unit_test(subleaves),
        cmocka_unit_test(one_processor),
        cmocka_unit_test(spec_ctrl),
        cmocka_unit_test(xsave),
        cmocka_unit_test(old_processor),
        cmocka_unit_test(cr4),
        cmocka_unit_test(ratio_over_random_rates),
        cmocka_unit_test(ratio_of_known_processors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
