// See arch/pmu.h. Two fixed counters have architectural events; what the others count, by processor, is in
// pmu_events.def.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/pmu.h>
#include <arch/traps.h>

#define LEAF_FEATURES 0x7
#define LEAF_PMU      0xa
#define LEAF_HYBRID   0x1a

#define EDX_HYBRID       BIT(15)
#define CORE_PERFORMANCE 0x40
#define VERSION_NEEDED   2 // the first with IA32_PERF_GLOBAL_CTRL
#define GENERAL_MOST     8

#define SELECT_RINGS         (BIT(16) | BIT(17)) // USR, OS
#define SELECT_ENABLE        BIT(22)
#define SELECT_INSTRUCTIONS  0x00c0 // instructions retired, an architectural event
#define FIXED_RINGS(n)       (3ull << 4 * (n))
#define GLOBAL_CTRL_FIXED(n) BIT(32 + (n))

const struct pmu_event_text pmu_event_texts[PMU_EVENTS] = {
#define EVENT(event, name, unit, help) {#name, unit, help},
#include <arch/pmu_counts.def>
#undef EVENT
};

enum family {
#define FAMILY(family, ...) FAMILY_##family,
#define CODE(...)
#include "pmu_events.def"
#undef FAMILY
#undef CODE
    FAMILIES
};

static const struct {
    const char *name;
    unsigned counters;
    u8 models[8];
} families[FAMILIES] = {
#define FAMILY(family, name, counters, ...) {name, counters, {__VA_ARGS__}},
#define CODE(...)
#include "pmu_events.def"
#undef FAMILY
#undef CODE
};

static const struct code {
    enum family family;
    enum pmu_event event;
    u8 select, umask;
} codes[] = {
#define FAMILY(...)
#define CODE(family, event, select, umask) {FAMILY_##family, PMU_##event, select, umask},
#include "pmu_events.def"
#undef FAMILY
#undef CODE
};

// What CPUID.0AH shows.
struct shown {
    unsigned version, general, fixed;
    u64 general_mask, fixed_mask;
};

static u64 mask_of(unsigned width)
{
    return width < 64 ? BIT(width) - 1 : ~0ull;
}

static struct shown shown(void)
{
    if (cpuid(0, 0).eax < LEAF_PMU)
        return (struct shown){0};
    struct cpuid r = cpuid(LEAF_PMU, 0);
    unsigned general = r.eax >> 8 & 0xff;
    return (struct shown){
        .version = r.eax & 0xff,
        .general = general < GENERAL_MOST ? general : GENERAL_MOST,
        .fixed = r.edx & 0x1f,
        .general_mask = mask_of(r.eax >> 16 & 0xff),
        .fixed_mask = mask_of(r.edx >> 5 & 0xff),
    };
}

// The efficient cores of a hybrid processor have its signature too, and other events.
static bool core_has_the_models_events(void)
{
    bool hybrid = cpuid(0, 0).eax >= LEAF_HYBRID && cpuid(LEAF_FEATURES, 0).edx & EDX_HYBRID;
    return !hybrid || cpuid(LEAF_HYBRID, 0).eax >> 24 == CORE_PERFORMANCE;
}

static enum family family_of(u32 signature)
{
    if (cpuid(0, 0).ebx != VENDOR_GENU || !SIGNATURE_IS_FAMILY_6(signature) || !core_has_the_models_events())
        return FAMILIES;
    for (unsigned i = 0; i < FAMILIES; i++) {
        for (size_t j = 0; j < ARRAY_SIZE(families[i].models) && families[i].models[j]; j++) {
            if (families[i].models[j] == SIGNATURE_MODEL(signature))
                return i;
        }
    }
    return FAMILIES;
}

static struct pmu_counter fixed_counter(const struct shown *s, unsigned n)
{
    return (struct pmu_counter){
        .msr = IA32_FIXED_CTR0 + n,
        .control = IA32_FIXED_CTR_CTRL,
        .select = FIXED_RINGS(n),
        .enable = GLOBAL_CTRL_FIXED(n),
        .mask = s->fixed_mask,
    };
}

static struct pmu_counter general_counter(const struct shown *s, unsigned n, u32 event)
{
    return (struct pmu_counter){
        .msr = IA32_PMC0 + n,
        .control = IA32_PERFEVTSEL0 + n,
        .select = event | SELECT_RINGS | SELECT_ENABLE,
        .enable = BIT(n),
        .mask = s->general_mask,
    };
}

// A thousand instructions at least.
static void spend_instructions(void)
{
    for (volatile unsigned i = 0; i < 1000; i++)
        ;
}

// Does it count? False too where a register does not exist. It is off then.
static bool try_counter(const struct pmu_counter *c)
{
    u64 value = 0;
    bool set = trap_try_wrmsr(c->control, c->select) && trap_try_wrmsr(c->msr, 0) &&
               trap_try_wrmsr(IA32_PERF_GLOBAL_CTRL, c->enable);
    if (set)
        spend_instructions();
    bool stopped = trap_try_wrmsr(IA32_PERF_GLOBAL_CTRL, 0) && trap_try_wrmsr(c->control, 0);
    return set && stopped && trap_try_rdmsr(c->msr, &value) && value;
}

static void use_counter(struct pmu *p, enum pmu_event event, struct pmu_counter counter)
{
    p->counters[event] = counter;
    p->enabled |= counter.enable;
}

// Instructions and cycles are the events of the first two.
static void find_fixed(struct pmu *p, const struct shown *s)
{
    static const enum pmu_event events[] = {PMU_INSTRUCTIONS, PMU_CYCLES};
    for (unsigned n = 0; n < ARRAY_SIZE(events) && n < s->fixed; n++) {
        struct pmu_counter counter = fixed_counter(s, n);
        if (try_counter(&counter))
            use_counter(p, events[n], counter);
    }
}

// The next general-purpose counter from `n` on that counts; `limit` if there is none. It is tried with
// instructions, since the loop may need no page walk.
static unsigned next_general(const struct shown *s, unsigned n, unsigned limit)
{
    for (; n < limit; n++) {
        struct pmu_counter counter = general_counter(s, n, SELECT_INSTRUCTIONS);
        if (try_counter(&counter))
            break;
    }
    return n;
}

static void find_general(struct pmu *p, const struct shown *s, enum family family)
{
    unsigned limit = families[family].counters < s->general ? families[family].counters : s->general;
    unsigned n = next_general(s, 0, limit);
    for (size_t i = 0; i < ARRAY_SIZE(codes) && n < limit; i++) {
        if (codes[i].family != family)
            continue;
        use_counter(p, codes[i].event, general_counter(s, n, codes[i].select | (u32)codes[i].umask << 8));
        n = next_general(s, n + 1, limit);
    }
}

bool pmu_counts(const struct pmu *p, enum pmu_event event)
{
    return p->counters[event].msr;
}

static void say_none(struct pmu *p, const char *why)
{
    fmt(p->says, sizeof(p->says), "none: %s", why);
}

static void say_what(struct pmu *p, enum family family, u32 signature)
{
    size_t length = 0;
    for (unsigned i = 0; i < PMU_EVENTS; i++) {
        if (pmu_counts(p, i))
            length += (size_t)fmt(p->says + length, sizeof(p->says) - length, "%s ", pmu_event_texts[i].name);
    }
    if (family < FAMILIES)
        fmt(p->says + length, sizeof(p->says) - length, "(%s)", families[family].name);
    else
        fmt(p->says + length, sizeof(p->says) - length,
            "(no page walks: this processor, signature 0x%x, is not in the table of their events)",
            signature);
}

// Finds what counts. False: not even the register is there that starts and stops all counters.
static bool find_all(struct pmu *p, const struct shown *s, enum family family)
{
    if (!trap_try_wrmsr(IA32_PERF_GLOBAL_CTRL, 0))
        return false;
    find_fixed(p, s);
    if (family < FAMILIES)
        find_general(p, s, family);
    return true;
}

void pmu_detect(struct pmu *p)
{
    struct shown s = shown();
    u32 signature = cpuid(1, 0).eax;
    enum family family = family_of(signature);
    *p = (struct pmu){0};
    if (s.version < VERSION_NEEDED)
        say_none(p, s.version ? "CPUID.0AH shows version 1, which cannot be switched with the guest"
                              : "CPUID.0AH shows version 0");
    else if (!find_all(p, &s, family))
        say_none(p, "CPUID.0AH shows some, but their registers do not exist");
    else if (!p->enabled)
        say_none(p, "CPUID.0AH shows some, but they do not count");
    else
        say_what(p, family, signature);
}

void pmu_start(struct pmu *p)
{
    u64 fixed = 0;
    for (unsigned i = 0; i < PMU_EVENTS; i++) {
        struct pmu_counter *c = &p->counters[i];
        if (!pmu_counts(p, i))
            continue;
        fixed |= c->control == IA32_FIXED_CTR_CTRL ? c->select : 0;
        wrmsr(c->control, c->control == IA32_FIXED_CTR_CTRL ? fixed : c->select);
        wrmsr(c->msr, 0);
        c->seen = c->total = 0;
    }
}

u64 pmu_read(struct pmu *p, enum pmu_event event)
{
    struct pmu_counter *c = &p->counters[event];
    if (!pmu_counts(p, event))
        return 0;
    u64 now = rdmsr(c->msr);
    c->total += (now - c->seen) & c->mask;
    c->seen = now;
    return c->total;
}
