// The core's frequency on made-up processors: which registers are there, which take what is written, what is
// asked for by them, and what is said of it. The counters, in the monitor's tables. The guest has none of it.

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>
#include <arch/frequency.h>
#include <arch/io.h>

#include "hv/report/summary.h"

#define MISC_EIST   0x10000ull
#define MISC_NO_IDA 0x4000000000ull
#define NO_IDA      0x100000000ull

static struct {
    bool turbo, hwp, interrupt, eist, counters, bias, invariant;
    u32 leaves, vendor, signature;
    u32 refuses, drops; // writes of this register raise #GP; do nothing
    bool still;         // the counters stand
} fake;

static struct cpuid processor_cpuid(u32 leaf, u32 subleaf)
{
    (void)subleaf;
    bool turbo = fake.turbo && !(fake_msr(IA32_MISC_ENABLE) & MISC_NO_IDA);
    switch (leaf) {
    case 0:
        return (struct cpuid){fake.leaves, fake.vendor, 0, 0};
    case 1:
        return (struct cpuid){fake.signature, 0, (u32)fake.eist << 7, 0};
    case 6:
        assert_true(fake.leaves >= 6);
        return (struct cpuid){(u32)turbo << 1 | (u32)fake.hwp << 7 | (u32)fake.interrupt << 8, 0,
                              (u32)fake.counters | (u32)fake.bias << 3, 0};
    case 0x80000000:
        return (struct cpuid){0x80000008, 0, 0, 0};
    case 0x80000007:
        return (struct cpuid){0, 0, 0, (u32)fake.invariant << 8};
    default:
        return (struct cpuid){0, 0, 0, 0};
    }
}

static u64 before_write; // of the register that drops writes

static bool refuses(u32 msr, u64 value)
{
    (void)value;
    return msr == fake.refuses;
}

// Counters run while they are read.
static u64 reads(u32 msr, u64 value)
{
    if (msr == fake.drops)
        return before_write;
    if (fake.still || (msr != IA32_APERF && msr != IA32_MPERF))
        return value;
    fake_msr_set(msr, value + 1000);
    return value;
}

// A Skylake of 2.6 GHz with turbo to 3.7, as its firmware leaves it.
static int setup(void **state)
{
    (void)state;
    fake_cpu_reset();
    memset(&fake, 0, sizeof(fake));
    fake.turbo = fake.hwp = fake.interrupt = fake.eist = fake.counters = fake.bias = fake.invariant = true;
    fake.leaves = 0x16;
    fake.vendor = 0x756e6547;
    fake.signature = 0x506e3;
    fake_cpuid = processor_cpuid;
    fake_msr_refuses = refuses;
    fake_msr_reads = reads;
    fake_msr_set(IA32_MISC_ENABLE, 0x850089);
    fake_msr_set(IA32_ENERGY_PERF_BIAS, 0);
    fake_msr_set(IA32_PM_ENABLE, 0);
    fake_msr_set(IA32_HWP_CAPABILITIES, 0x01081a25);
    fake_msr_set(IA32_HWP_INTERRUPT, 3);
    fake_msr_set(IA32_HWP_REQUEST, 0x8000ff01);
    fake_msr_set(MSR_PLATFORM_INFO, 0x80838f1012a00);
    fake_msr_set(MSR_TURBO_RATIO_LIMIT, 0x22222325);
    fake_msr_set(IA32_PERF_CTL, 0x800);
    fake_msr_set(IA32_APERF, 0);
    fake_msr_set(IA32_MPERF, 0);
    fake_msr_set(MSR_SMI_COUNT, 7);
    return 0;
}

#define COUNTED "; counted: APERF and MPERF, SMIs"

static void set_says(enum frequency_choice choice, const char *says)
{
    struct frequency f;
    memset(&f, 0xcc, sizeof(f));
    frequency_set(&f, choice);
    assert_string_equal(f.says, says);
}

static void by_hwp(void **state)
{
    (void)state;
    set_says(FREQUENCY_BASE, "turbo off, HWP level 26 of 1 to 37" COUNTED);
    assert_int_equal(fake_msr(IA32_MISC_ENABLE), 0x850089 | MISC_NO_IDA);
    assert_int_equal(fake_msr(IA32_PM_ENABLE), 1);
    assert_int_equal(fake_msr(IA32_HWP_INTERRUPT), 0);
    assert_int_equal(fake_msr(IA32_HWP_REQUEST), 0x1a1a);
    assert_int_equal(fake_msr(IA32_ENERGY_PERF_BIAS), 6);
    assert_int_equal(fake_msr(IA32_PERF_CTL), 0x800);
    set_says(FREQUENCY_TURBO, "turbo on, HWP level 37 of 1 to 37" COUNTED);
    assert_int_equal(fake_msr(IA32_MISC_ENABLE), 0x850089);
    assert_int_equal(fake_msr(IA32_HWP_REQUEST), 0x2525);
}

static void by_perf_ctl(void **state)
{
    (void)state;
    fake.hwp = false;
    fake_msr_set(IA32_ENERGY_PERF_BIAS, 4);
    fake_msr_set(IA32_MISC_ENABLE, 0x840089);
    set_says(FREQUENCY_BASE, "turbo off, IA32_PERF_CTL ratio 42" COUNTED);
    assert_int_equal(fake_msr(IA32_PERF_CTL), 0x2a00 | NO_IDA);
    assert_int_equal(fake_msr(IA32_MISC_ENABLE), 0x840089 | MISC_NO_IDA | MISC_EIST);
    assert_int_equal(fake_msr(IA32_PM_ENABLE), 0);
    assert_int_equal(fake_msr(IA32_ENERGY_PERF_BIAS), 4);
    fake_msr_set(MSR_TURBO_RATIO_LIMIT, 0x2d2e);
    set_says(FREQUENCY_TURBO, "turbo on, IA32_PERF_CTL ratio 46" COUNTED);
    assert_int_equal(fake_msr(IA32_PERF_CTL), 0x2e00);
    fake_msr_set(MSR_TURBO_RATIO_LIMIT, 0x1010); // not above: as ACPI has it, one more than the highest
    set_says(FREQUENCY_TURBO, "turbo on, IA32_PERF_CTL ratio 43" COUNTED);
}

static void kept(void **state)
{
    (void)state;
    set_says(FREQUENCY_KEEP, "as firmware left it" COUNTED);
    assert_int_equal(fake_msr_write_count, 0);
}

// Each register that may be locked, be dropped by a hypervisor, or raise #GP.
static void odd_registers(void **state)
{
    static const struct {
        u32 refuses, drops;
        bool no_hwp;
        const char *says;
    } rows[] = {
        {IA32_MISC_ENABLE, 0, false, "turbo cannot be switched off, HWP level 26 of 1 to 37" COUNTED},
        {0, IA32_MISC_ENABLE, false, "turbo cannot be switched off, HWP level 26 of 1 to 37" COUNTED},
        {IA32_PM_ENABLE, 0, false, "turbo off, IA32_PERF_CTL ratio 42" COUNTED},
        {0, IA32_PM_ENABLE, false, "turbo off, IA32_PERF_CTL ratio 42" COUNTED},
        {IA32_HWP_INTERRUPT, 0, false, "turbo off, IA32_PERF_CTL ratio 42" COUNTED},
        {IA32_HWP_REQUEST, 0, false, "turbo off, HWP is on and takes no level: as firmware left it" COUNTED},
        {0, IA32_HWP_REQUEST, false, "turbo off, HWP is on and takes no level: as firmware left it" COUNTED},
        {IA32_PERF_CTL, 0, true, "turbo off, as firmware left it: IA32_PERF_CTL takes no ratio" COUNTED},
        {0, IA32_PERF_CTL, true, "turbo off, as firmware left it: IA32_PERF_CTL takes no ratio" COUNTED},
        {IA32_ENERGY_PERF_BIAS, 0, false, "turbo off, HWP level 26 of 1 to 37" COUNTED},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        setup(state);
        fake.refuses = rows[i].refuses;
        fake.drops = rows[i].drops;
        fake.hwp = !rows[i].no_hwp;
        before_write = fake.drops ? fake_msr(fake.drops) : 0;
        fake_msr_set(IA32_MISC_ENABLE, 0x850089);
        set_says(FREQUENCY_BASE, rows[i].says);
    }
}

// The second bit of IA32_PERF_CTL is not on every processor.
static bool refuses_disengage(u32 msr, u64 value)
{
    return msr == IA32_PERF_CTL && value & NO_IDA;
}

static void no_disengage(void **state)
{
    (void)state;
    fake.hwp = false;
    fake_msr_refuses = refuses_disengage;
    set_says(FREQUENCY_BASE, "turbo off, IA32_PERF_CTL ratio 42" COUNTED);
    assert_int_equal(fake_msr(IA32_PERF_CTL), 0x2a00);
}

static void odd_levels(void **state)
{
    (void)state;
    fake_msr_set(IA32_HWP_CAPABILITIES, 0x01080025); // none is guaranteed
    set_says(FREQUENCY_BASE, "turbo off, HWP level 37 of 1 to 37" COUNTED);
    fake_msr_set(IA32_HWP_CAPABILITIES, 0);
    set_says(FREQUENCY_BASE, "turbo off, HWP is on and takes no level: as firmware left it" COUNTED);
}

static void processors_with_less(void **state)
{
    (void)state;
    fake.hwp = fake.turbo = false;
    set_says(FREQUENCY_BASE, "turbo off, IA32_PERF_CTL ratio 42" COUNTED);
    set_says(FREQUENCY_TURBO, "no turbo, IA32_PERF_CTL ratio 43" COUNTED);
    fake_msr_set(MSR_PLATFORM_INFO, 0);
    set_says(FREQUENCY_BASE,
             "turbo off, as firmware left it: this processor does not tell its highest ratio" COUNTED);
    fake.eist = false;
    set_says(
        FREQUENCY_BASE,
        "turbo off, as firmware left it: this processor shows neither HWP nor Enhanced SpeedStep" COUNTED);
    fake.counters = fake.invariant = false;
    set_says(
        FREQUENCY_BASE,
        "turbo off, as firmware left it: this processor shows neither HWP nor Enhanced SpeedStep; counted: not, as APERF and MPERF do not count; no count of SMIs");
}

// A hypervisor that shows everything in CPUID and has no register; one without the leaf.
static void nothing_there(void **state)
{
    (void)state;
    fake_cpu_reset();
    fake_msr_set(IA32_MISC_ENABLE, 0);
    fake_cpuid = processor_cpuid;
    fake.refuses = IA32_MISC_ENABLE;
    fake_msr_refuses = refuses;
    set_says(
        FREQUENCY_BASE,
        "turbo cannot be switched off, as firmware left it: Enhanced SpeedStep is switched off; counted: not, as APERF and MPERF do not count; no count of SMIs");
    fake.leaves = 5;
    fake.eist = false;
    set_says(
        FREQUENCY_BASE,
        "turbo off, as firmware left it: this processor shows neither HWP nor Enhanced SpeedStep; counted: not, as APERF and MPERF do not count; no count of SMIs");
    assert_int_equal(fake_msr_write_count, 0);
}

static void counters_found(void **state)
{
    (void)state;
    struct frequency f;
    frequency_set(&f, FREQUENCY_KEEP);
    assert_true(f.counts && f.counts_smis);
    fake.still = true;
    frequency_set(&f, FREQUENCY_KEEP);
    assert_false(f.counts);
    fake.vendor = 0x68747541;
    frequency_set(&f, FREQUENCY_KEEP);
    assert_false(f.counts_smis);
    fake.vendor = 0x756e6547;
    fake.signature = 0xf43;
    frequency_set(&f, FREQUENCY_KEEP);
    assert_false(f.counts_smis);
    struct frequency_counts now = frequency_read(&f), nothing = {0, 0, 0};
    assert_memory_equal(&now, &nothing, sizeof(now)); // what is not there is not read
}

static void differences(void **state)
{
    (void)state;
    const struct frequency_counts begin = {~0ull, 100, 0xffffffff}, end = {5, 400, 1};
    struct frequency_counts d = frequency_between(&begin, &end);
    assert_int_equal(d.aperf, 6);
    assert_int_equal(d.mperf, 300);
    assert_int_equal(d.smis, 2);
}

static void tally_begin(struct vcpu *v)
{
    fake_msr_set(IA32_APERF, 1000);
    fake_msr_set(IA32_MPERF, 5000);
    fake_msr_set(MSR_SMI_COUNT, 3);
    tally_init(v->vm, &machine_frequency);
}

// A guest at 1,300 MHz where the TSC has 1,000; what came before it is not its own, nor before a reset.
static void in_the_tables(void **state)
{
    (void)state;
    u64 values[COUNTERS];
    struct vcpu *v = machine_make(0);
    machine_frequency = (struct frequency){.counts = true, .counts_smis = true};
    tally_begin(v);
    fake_msr_set(IA32_APERF, 1000 + 13000000);
    fake_msr_set(IA32_MPERF, 5000 + 10000000);
    fake_msr_set(MSR_SMI_COUNT, 5);
    tally_read(v->vm, values);
    assert_int_equal(values[COUNTER_aperf], 13000000);
    assert_int_equal(values[COUNTER_mperf], 10000000);
    assert_int_equal(values[COUNTER_frequency], 1300);
    assert_int_equal(values[COUNTER_smis], 2);
    tally_reset(v->vm);
    fake_msr_set(IA32_APERF, 1000 + 13000000 + 800000);
    fake_msr_set(IA32_MPERF, 5000 + 10000000 + 1000000);
    tally_read(v->vm, values);
    assert_int_equal(values[COUNTER_aperf], 800000);
    assert_int_equal(values[COUNTER_frequency], 800);
    assert_int_equal(values[COUNTER_smis], 0);
    machine_gone();
}

static void shown_where_counted(void **state)
{
    (void)state;
    struct vcpu *v = machine_make(0);
    for (unsigned i = 0; i < 4; i++) {
        machine_frequency = (struct frequency){.counts = i & 1, .counts_smis = i & 2};
        tally_begin(v);
        assert_int_equal(counter_is_shown(v->vm, COUNTER_aperf), i & 1);
        assert_int_equal(counter_is_shown(v->vm, COUNTER_mperf), i & 1);
        assert_int_equal(counter_is_shown(v->vm, COUNTER_frequency), i & 1);
        assert_int_equal(counter_is_shown(v->vm, COUNTER_smis), i >> 1);
    }
    machine_gone();
}

// Neither read nor written, by bitmap and by exit; and CPUID shows nothing of it.
static void hidden_from_the_guest(void **state)
{
    (void)state;
    static const u32 registers[] = {0x34,  0xce,  0xe7,  0xe8,  0x198, 0x199, 0x19a, 0x1ad, 0x1b0, 0x1fc,
                                    0x610, 0x620, 0x64b, 0x770, 0x771, 0x772, 0x773, 0x774, 0x777};
    struct vcpu *v = machine_make(0);
    machine_start_64(v);
    machine_hides(v, registers, ARRAY_SIZE(registers));
    const struct cpuid_row *row = cpuid_find(&v->vm->cpuid, 6, 0);
    assert_true(!row || !(row->regs.r[0] & ~4u)); // but ARAT
    assert_true(!row || !(row->regs.r[1] | row->regs.r[2] | row->regs.r[3]));
    assert_int_equal(cpuid_find(&v->vm->cpuid, 1, 0)->regs.r[2] & 1 << 7, 0); // EIST
    machine_gone();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(by_hwp, setup),
        cmocka_unit_test_setup(by_perf_ctl, setup),
        cmocka_unit_test_setup(kept, setup),
        cmocka_unit_test_setup(odd_registers, setup),
        cmocka_unit_test_setup(no_disengage, setup),
        cmocka_unit_test_setup(odd_levels, setup),
        cmocka_unit_test_setup(processors_with_less, setup),
        cmocka_unit_test_setup(nothing_there, setup),
        cmocka_unit_test_setup(counters_found, setup),
        cmocka_unit_test(differences),
        cmocka_unit_test(in_the_tables),
        cmocka_unit_test(shown_where_counted),
        cmocka_unit_test(hidden_from_the_guest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
