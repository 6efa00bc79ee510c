// What of the parameters takes effect, for every strategy, with and without VPIDs, for every page size of the
// p2m, on machines that have or lack each thing: against a second statement of it, and who is to blame.

// link: hv/policy/effect.c hv/policy/params.c
#include "support.h"

#include <arch/vmx.h>
#include <hv/p2m.h>

#include "hv/policy/effect.h"

static struct vmx_caps caps;
static struct effect_machine machine;
static bool vpid_works;

static const char *missing(const struct vmx_caps *of, bool vpid)
{
    (void)of;
    return vpid && !vpid_works ? "no VPID" : NULL;
}
static const struct mmu_ops back_end = {.missing = missing};

// The log: a line each.
static char said[2048];

void log_message(enum log_level level, const char *format, ...)
{
    size_t length = strlen(said);
    va_list args;
    assert_int_equal(level, LOG_INFO);
    va_start(args, format);
    length += (size_t)fmtv(said + length, sizeof(said) - length, format, args);
    va_end(args);
    fmt(said + length, sizeof(said) - length, "\n");
}

// Bit by bit what a machine lacks; 0: nothing.
enum {
    NO_2M = 1,
    NO_1G = 2,
    NO_TARGETS = 4,
    NO_BIT = 8,
    NO_FAULT = 16,
    NO_VPID = 32,
    NO_KEYS = 64,
    NO_COUNTERS = 128
};
#define MACHINES 256u

static void machine_make(unsigned lacks)
{
    memset(&caps, 0, sizeof(caps));
    caps.ept_vpid = (lacks & NO_2M ? 0 : EPT_CAP_2M) | (lacks & NO_1G ? 0 : EPT_CAP_1G);
    caps.pin.may = PIN_PREEMPTION_TIMER;
    caps.proc2.may = PROC2_EPT;
    caps.misc = ~(0x1ffull << 16) | (lacks & NO_TARGETS ? 0 : 4ull << 16);
    machine = (struct effect_machine){.caps = &caps,
                                      .physical_bits = lacks & NO_BIT ? 52 : 51,
                                      .mark_faults = !(lacks & NO_FAULT),
                                      .pcid = !(lacks & NO_KEYS),
                                      .pku = !(lacks & NO_KEYS),
                                      .counts = !(lacks & NO_COUNTERS),
                                      .counts_walks = !(lacks & NO_COUNTERS)};
    vpid_works = !(lacks & NO_VPID);
}

static struct params parsed(const char *words)
{
    char message[512];
    struct params p;
    if (params_parse(&p, words, message, sizeof(message)))
        fail_msg("%s", message);
    return p;
}

static unsigned lower(unsigned one, unsigned other)
{
    return one < other ? one : other;
}

// The second statement.
static struct params expected(struct params p, unsigned lacks)
{
    bool shadow = p.mmu == MMU_SHADOW, traces = p.shadow == SHADOW_TRACE || p.shadow == SHADOW_ADAPTIVE;
    if (p.vpid == VPID_AUTO)
        p.vpid = lacks & NO_VPID ? VPID_OFF : VPID_ON;
    p.pmu = p.pmu && !(lacks & NO_COUNTERS);
    bool pcid = p.pcid && !(lacks & NO_KEYS), may_be_shadow = shadow || p.mmu_switch;
    p.pcid = pcid && (!may_be_shadow || p.shadow_pcid);
    p.shadow_pcid = p.shadow_pcid && (!may_be_shadow || pcid);
    p.pku = p.pku && !(lacks & NO_KEYS);
    if (!shadow) {
        p.p2m_max = lower(p.p2m_max, lacks & NO_2M   ? P2M_LEVEL_4K
                                     : lacks & NO_1G ? P2M_LEVEL_2M
                                                     : P2M_LEVEL_1G);
        return p;
    }
    p.shadow_vpid = p.shadow_vpid && traces && p.vpid == VPID_ON;
    p.directpf = p.directpf && traces && !(lacks & (NO_BIT | NO_FAULT));
    p.direct_invlpg = p.direct_invlpg && traces;
    p.shadow_cr3 = p.shadow_cr3 && traces && !(lacks & NO_TARGETS);
    p.large = p.large && p.p2m_max != P2M_LEVEL_4K;
    return p;
}

static struct effect chosen(struct params asked, unsigned lacks)
{
    struct effect e;
    memset(&e, 0xa5, sizeof(e));
    e.asked = asked;
    machine_make(lacks);
    effect_choose(&e, &back_end, &machine);
    assert_memory_equal(&e.asked, &asked, sizeof(asked));
    return e;
}

static bool any(u64 found, enum effect_cause cause)
{
    for (unsigned i = 0; i < effect_rows_count; i++) {
        if (found & BIT(i) && effect_rows[i].cause == cause)
            return true;
    }
    return false;
}

static void check_on(struct params asked, unsigned lacks)
{
    struct effect perfect = chosen(asked, 0), e = chosen(asked, lacks), again = chosen(e.now, lacks);
    struct params right = expected(asked, lacks);
    for (unsigned i = 0; i < PARAMS_COUNT; i++)
        assert_int_equal(params_value(&e.now, i), params_value(&right, i));
    assert_false(any(perfect.found, BY_MACHINE));
    for (unsigned i = 0; i < effect_rows_count; i++) {
        if (effect_rows[i].cause == BY_CONFIGURATION)
            assert_true(!(e.found & BIT(i)) || perfect.found & BIT(i)); // it is so on every machine
        assert_true(!(again.found & BIT(i)) || effect_rows[i].stays);
    }
    assert_memory_equal(&again.now, &e.now, sizeof(e.now));
}

static const char *const words[] = {"",
                                    "pcid=off pku=off pmu=off shadow.vpid=one",
                                    "shadow.pcid=on",
                                    "mmu.switch=on shadow.pcid=on",
                                    "mmu.switch=on shadow.pcid=on pcid=off",
                                    "shadow.directpf=off shadow.large=off",
                                    "mmu.switch=on shadow.prefetch=0",
                                    "shadow.invlpg=exit shadow.cr3=exit shadow.prefetch=0"};

static void every_machine(void **state)
{
    (void)state;
    for (unsigned n = 0; n < ARRAY_SIZE(words); n++) {
        struct params p = parsed(words[n]);
        for (unsigned i = 0; i < 2 * SHADOW_STRATEGIES * 3 * 3; i++) {
            p.mmu = i % 2 ? MMU_SHADOW : MMU_EPT;
            p.shadow = (enum shadow_strategy_name)(i / 2 % SHADOW_STRATEGIES);
            p.vpid = (enum vpid_choice)(i / 2 / SHADOW_STRATEGIES % 3);
            p.p2m_max = P2M_LEVEL_4K + i / 2 / SHADOW_STRATEGIES / 3;
            for (unsigned lacks = 0; lacks < MACHINES; lacks++)
                check_on(p, lacks);
        }
    }
}

// All that is said of these words on this machine.
static const char *says(const char *words_of, unsigned lacks)
{
    struct effect e = chosen(parsed(words_of), lacks);
    said[0] = 0;
    effect_say(&e);
    return said;
}

static void sentences(void **state)
{
    (void)state;
    assert_string_equal(says("vpid=on", 0), "");
    assert_string_equal(says("vpid=off", 0), "");
    assert_string_equal(says("", NO_2M),
                        "vpid=auto is vpid=on on this processor\n"
                        "p2m.max=1g is p2m.max=4k on this processor: its EPT has no larger pages\n");
    assert_string_equal(says("vpid=on p2m.max=2m", NO_1G), "");
    assert_string_equal(
        says("vpid=on mmu=shadow pcid=off", NO_TARGETS),
        "shadow.cr3=inplace is shadow.cr3=exit on this processor: it has no CR3-target values, so each load of CR3 exits\n");
    assert_non_null(
        strstr(says("vpid=on mmu=shadow", NO_BIT), "on this processor: its physical addresses have 52 bits"));
    assert_non_null(
        strstr(says("vpid=on mmu=shadow", NO_FAULT),
               "shadow.directpf=on is shadow.directpf=off on this processor: CPUID says that bit 51"));
    assert_string_equal(says("mmu=shadow pcid=off", NO_VPID),
                        "vpid=auto is vpid=off on this processor\n"
                        "shadow.vpid=root is shadow.vpid=one on this processor: it has no VPIDs\n");
    assert_string_equal(
        says("mmu=shadow pcid=off vpid=off", NO_VPID),
        "shadow.vpid=root is shadow.vpid=one in this configuration: vpid=off uses no VPIDs\n");
    assert_string_equal(
        says("vpid=on mmu=shadow", 0),
        "pcid=on is pcid=off in this configuration: mmu=shadow offers process-context identifiers only with shadow.pcid=on\n");
    assert_string_equal(says("vpid=on mmu=shadow shadow.pcid=on", 0), "");
    assert_string_equal(says("vpid=on mmu.switch=on shadow.pcid=on", 0), "");
    assert_string_equal(
        says("vpid=on mmu=shadow shadow.pcid=on pcid=off", 0),
        "shadow.pcid=on is shadow.pcid=off in this configuration: pcid=off offers no process-context identifiers\n");
    assert_string_equal(
        says("vpid=on pku=off mmu=shadow shadow.pcid=on", NO_KEYS),
        "pcid=on is pcid=off on this processor: it has no process-context identifiers\n"
        "shadow.pcid=on is shadow.pcid=off on this processor: it has no process-context identifiers\n");
    assert_string_equal(says("vpid=on shadow.pcid=on", 0),
                        "shadow.pcid=on has no effect in this configuration: mmu=ept has no shadow tables\n");
    assert_string_equal(
        says("vpid=on mmu=auto auto.by=root shadow.pcid=on", 0),
        "auto.by=root is auto.by=guest in this configuration: with process-context identifiers a root is loaded by several values of CR3\n");
    assert_string_equal(says("vpid=on mmu=auto auto.by=root pcid=off", 0), "");
    assert_string_equal(
        says("vpid=on mmu=shadow pcid=off p2m.max=4k", 0),
        "shadow.large=on is shadow.large=off in this configuration: p2m.max=4k leaves it no page of 2M\n");
    assert_string_equal(
        says("vpid=on shadow.cr3=exit", 0),
        "shadow.cr3=exit has no effect in this configuration: mmu=ept has no shadow tables\n");
    assert_string_equal(
        says("vpid=on compare.repeat=3", 0),
        "compare.repeat=3 is compare.repeat=1 in this configuration: nothing is compared without compare=\n");
    assert_string_equal(
        says("vpid=on compare.how=both", 0),
        "compare.how=both is compare.how=boot in this configuration: nothing is compared without compare=\n");
    assert_string_equal(says("vpid=on pcid=off mmu.switch=on shadow.cr3=exit", 0), "");
    assert_string_equal(says("vpid=on compare=ept compare.repeat=3", 0), "");
}

// What shadow paging does by tracing is off in strategies that do not, whatever the machine has.
static void by_strategy(void **state)
{
    (void)state;
    static const char why[] =
        "in this configuration: this strategy does not write-protect the guest's tables, so ";
    static const char *const off[] = {
        "shadow.vpid=root is shadow.vpid=one ", "shadow.directpf=on is shadow.directpf=off ",
        "shadow.invlpg=direct is shadow.invlpg=exit ", "shadow.cr3=inplace is shadow.cr3=exit "};
    static const char *const lines[] = {"mmu=shadow shadow=lazy", "mmu=shadow shadow=eager",
                                        "mmu=shadow shadow=lazy vpid=off"};
    for (unsigned i = 0; i < ARRAY_SIZE(lines) * 2; i++) {
        const char *text = says(lines[i / 2], i % 2 ? NO_TARGETS | NO_FAULT | NO_VPID : 0);
        for (unsigned n = 0; n < ARRAY_SIZE(off); n++) {
            const char *at = strstr(text, off[n]);
            assert_non_null(at);
            assert_memory_equal(at + strlen(off[n]), why, sizeof(why) - 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_machine),
        cmocka_unit_test(sentences),
        cmocka_unit_test(by_strategy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
