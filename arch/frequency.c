// See arch/frequency.h. CPUID shows what may be there; only the registers, read back, show what is: firmware
// locks some, hypervisors leave out others or drop what is written.
#include <arch/cpu.h>
#include <arch/frequency.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/timer.h>
#include <arch/traps.h>

#define LEAF_POWER         0x6u
#define EAX_TURBO          BIT(1) // shown only while it is not switched off
#define EAX_HWP            BIT(7)
#define EAX_HWP_INTERRUPT  BIT(8)
#define ECX_COUNTERS       BIT(0)
#define ECX_BIAS           BIT(3)
#define CPUID_1_ECX_EIST   BIT(7)
#define MISC_ENABLE_EIST   BIT(16)
#define MISC_ENABLE_NO_IDA BIT(38) // turbo is off
#define PERF_CTL_NO_IDA    BIT(32)
#define PM_ENABLE_HWP      BIT(0)
#define HWP_LEVELS         0xffffull // of a request: lowest and highest
#define BIAS_MASK          0xfull
#define BIAS_NORMAL        6u
#define RATIO(value)       ((value) >> 8 & 0xff)

static struct cpuid power_leaf(void)
{
    return cpuid(0, 0).eax >= LEAF_POWER ? cpuid(LEAF_POWER, 0) : (struct cpuid){0, 0, 0, 0};
}

// Whether these bits of the register are then so.
static bool set_bits(u32 msr, u64 mask, u64 wanted)
{
    u64 value;
    if (!trap_try_rdmsr(msr, &value))
        return false;
    if ((value & mask) == wanted)
        return true;
    return trap_try_wrmsr(msr, (value & ~mask) | wanted) && trap_try_rdmsr(msr, &value) &&
           (value & mask) == wanted;
}

static printf_like(2) void say(struct frequency *f, const char *format, ...)
{
    size_t length = strlen(f->says);
    va_list args;
    va_start(args, format);
    fmtv(f->says + length, sizeof(f->says) - length, format, args);
    va_end(args);
}

static bool has_turbo(void)
{
    return power_leaf().eax & EAX_TURBO;
}

static const char *turbo_off(void)
{
    bool off = !has_turbo() || set_bits(IA32_MISC_ENABLE, MISC_ENABLE_NO_IDA, MISC_ENABLE_NO_IDA);
    return off ? "turbo off" : "turbo cannot be switched off";
}

static const char *turbo_on(void)
{
    bool on = has_turbo() || (set_bits(IA32_MISC_ENABLE, MISC_ENABLE_NO_IDA, 0) && has_turbo());
    return on ? "turbo on" : "no turbo";
}

// Linux does the same on the bare machine: what firmware leaves at 0 it sets to normal.
static void set_bias(void)
{
    u64 bias;
    if (power_leaf().ecx & ECX_BIAS && trap_try_rdmsr(IA32_ENERGY_PERF_BIAS, &bias) && !(bias & BIAS_MASK)) {
        bool set = set_bits(IA32_ENERGY_PERF_BIAS, BIAS_MASK, BIAS_NORMAL);
        (void)set; // a hint
    }
}

// 15.4.4: lowest and highest level the same, energy preference 0, nothing else asked for. A processor that
// guarantees no level has turbo switched off, which bounds the highest. False: this is no HWP.
static bool ask_hwp(struct frequency *f, bool base)
{
    u64 levels;
    u32 shown = power_leaf().eax;
    if (!(shown & EAX_HWP))
        return false;
    if (shown & EAX_HWP_INTERRUPT && !trap_try_wrmsr(IA32_HWP_INTERRUPT, 0))
        return false;
    if (!set_bits(IA32_PM_ENABLE, PM_ENABLE_HWP, PM_ENABLE_HWP) ||
        !trap_try_rdmsr(IA32_HWP_CAPABILITIES, &levels))
        return false;
    u64 highest = levels & 0xff, guaranteed = RATIO(levels),
        level = base && guaranteed ? guaranteed : highest;
    bool asked = level && trap_try_wrmsr(IA32_HWP_REQUEST, level << 8 | level) &&
                 set_bits(IA32_HWP_REQUEST, HWP_LEVELS, level << 8 | level);
    if (asked)
        say(f, "HWP level %lu of %lu to %lu", level, levels >> 24 & 0xff, highest);
    else
        say(f, "HWP is on and takes no level: as firmware left it");
    return true;
}

static u64 turbo_ratio(u64 base)
{
    u64 ratios;
    bool told = trap_try_rdmsr(MSR_TURBO_RATIO_LIMIT, &ratios) && (ratios & 0xff) > base;
    return told ? ratios & 0xff : base + 1;
}

// 15.1.2, and of processors with turbo 15.3.2.2: bit 32 keeps this processor out of it.
static const char *ask_perf_ctl(struct frequency *f, bool base)
{
    u64 info, lasting;
    if (!(cpuid(1, 0).ecx & CPUID_1_ECX_EIST))
        return "this processor shows neither HWP nor Enhanced SpeedStep";
    if (!set_bits(IA32_MISC_ENABLE, MISC_ENABLE_EIST, MISC_ENABLE_EIST))
        return "Enhanced SpeedStep is switched off";
    if (!trap_try_rdmsr(MSR_PLATFORM_INFO, &info) || !RATIO(info))
        return "this processor does not tell its highest ratio";
    u64 ratio = base ? RATIO(info) : turbo_ratio(RATIO(info)), request = ratio << 8;
    if (!(base && trap_try_wrmsr(IA32_PERF_CTL, request | PERF_CTL_NO_IDA)) &&
        !trap_try_wrmsr(IA32_PERF_CTL, request))
        return "IA32_PERF_CTL takes no ratio";
    if (!trap_try_rdmsr(IA32_PERF_CTL, &lasting) || RATIO(lasting) != ratio)
        return "IA32_PERF_CTL takes no ratio";
    say(f, "IA32_PERF_CTL ratio %lu", ratio);
    return NULL;
}

static void ask(struct frequency *f, bool base)
{
    say(f, "%s, ", base ? turbo_off() : turbo_on());
    set_bias();
    if (ask_hwp(f, base))
        return;
    const char *why = ask_perf_ctl(f, base);
    if (why)
        say(f, "as firmware left it: %s", why);
}

// Some hypervisors show them, and they stand still.
static bool they_count(void)
{
    u64 aperf, before, mperf;
    if (!(power_leaf().ecx & ECX_COUNTERS) || !trap_try_rdmsr(IA32_APERF, &aperf) ||
        !trap_try_rdmsr(IA32_MPERF, &before))
        return false;
    for (volatile unsigned i = 0; i < 1000; i++)
        ;
    return trap_try_rdmsr(IA32_MPERF, &mperf) && mperf != before;
}

// SDM vol. 4, tables 2-6 and 2-15: from Nehalem and Silvermont on, which all promise an invariant TSC. CPUID
// does not tell of it.
static bool has_smi_count(void)
{
    u64 count;
    return cpuid(0, 0).ebx == VENDOR_GENU && SIGNATURE_IS_FAMILY_6(cpuid(1, 0).eax) &&
           timer_tsc_is_invariant() && trap_try_rdmsr(MSR_SMI_COUNT, &count);
}

void frequency_set(struct frequency *f, enum frequency_choice choice)
{
    *f = (struct frequency){0};
    if (choice == FREQUENCY_KEEP)
        say(f, "as firmware left it");
    else
        ask(f, choice == FREQUENCY_BASE);
    f->counts = they_count();
    f->counts_smis = has_smi_count();
    say(f, "; counted: %s", f->counts ? "APERF and MPERF" : "not, as APERF and MPERF do not count");
    say(f, f->counts_smis ? ", SMIs" : "; no count of SMIs");
}

struct frequency_counts frequency_read(const struct frequency *f)
{
    struct frequency_counts now = {0, 0, 0};
    if (f->counts) {
        now.aperf = rdmsr(IA32_APERF);
        now.mperf = rdmsr(IA32_MPERF);
    }
    if (f->counts_smis)
        now.smis = rdmsr(MSR_SMI_COUNT);
    return now;
}

// MSR_SMI_COUNT has 32 bits.
struct frequency_counts frequency_between(const struct frequency_counts *begin,
                                          const struct frequency_counts *end)
{
    return (struct frequency_counts){
        .aperf = end->aperf - begin->aperf,
        .mperf = end->mperf - begin->mperf,
        .smis = (u32)(end->smis - begin->smis),
    };
}
