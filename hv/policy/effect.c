// See effect.h.
#include <arch/lib.h>
#include <arch/vmx.h>
#include <hv/log.h>
#include <hv/p2m.h>

#include "effect.h"

static const bool traces[SHADOW_STRATEGIES] = {
#define STRATEGY(name, word, traces) [SHADOW_##name] = traces,
#include <hv/strategies.def>
};

// A condition: `asked` as they were given, `now` after the rows above.
#define WHERE(name, condition)                                             \
    static bool name(const struct params *asked, const struct params *now, \
                     const struct effect_machine *machine)                 \
    {                                                                      \
        (void)asked, (void)now, (void)machine;                             \
        return condition;                                                  \
    }

#define SHADOW (now->mmu == MMU_SHADOW)
#define EPT    (now->mmu == MMU_EPT)

WHERE(compares_nothing, now->compare == COMPARE_OFF)
// With mmu.switch=on it may mean something later.
WHERE(has_no_shadow, EPT && !now->mmu_switch)
WHERE(shadow_has_no_pcid, SHADOW && !now->shadow_pcid)
WHERE(may_be_shadow_without_pcid, now->mmu_switch && !now->shadow_pcid)
WHERE(ept_has_no_2m, EPT && !(machine->caps->ept_vpid & EPT_CAP_2M))
WHERE(ept_has_no_1g, EPT && now->p2m_max == P2M_LEVEL_1G && !(machine->caps->ept_vpid & EPT_CAP_1G))
WHERE(has_no_pcid, !machine->pcid)
WHERE(shadow_pcid_is_off, (SHADOW || now->mmu_switch) && !asked->pcid)
WHERE(shadow_lacks_pcid, (SHADOW || now->mmu_switch) && !machine->pcid)
WHERE(has_pcid, now->pcid)
WHERE(has_no_pku, !machine->pku)
WHERE(traces_nothing, SHADOW && !traces[now->shadow])
WHERE(vpid_is_off, SHADOW && now->vpid == VPID_OFF)
WHERE(has_no_vpid, SHADOW && now->vpid == VPID_OFF && asked->vpid == VPID_AUTO)
WHERE(has_no_bit, SHADOW && machine->physical_bits > MMU_MARK_BIT)
WHERE(bit_does_not_fault, SHADOW && !machine->mark_faults)
WHERE(has_no_targets, SHADOW && !vmx_cr3_targets(machine->caps))
WHERE(may_not_switch, !now->mmu_switch)
WHERE(counts_no_walks, !machine->counts_walks && !now->auto_feed)
WHERE(chooses_nothing, !now->mmu_auto)
WHERE(has_no_timer, !(machine->caps->pin.may & PIN_PREEMPTION_TIMER))
WHERE(has_no_ept, !(machine->caps->proc2.may & PROC2_EPT))
WHERE(p2m_has_no_2m, SHADOW && now->p2m_max == P2M_LEVEL_4K)

#define ROW(field, value, cause, found, why)                 \
    {                                                        \
        PARAM_INDEX_##field, cause, false, value, why, found \
    }
#define MEANS_NOTHING(field, found, why)                           \
    {                                                              \
        PARAM_INDEX_##field, BY_CONFIGURATION, true, 0, why, found \
    }

#define UNDER_EPT "mmu=ept has no shadow tables"
#define UNTRACED  "this strategy does not write-protect the guest's tables, so "

// In this order: the first row that is found for a parameter says why.
const struct effect_row effect_rows[] = {
    ROW(how, COMPARE_BOOT, BY_CONFIGURATION, compares_nothing, "nothing is compared without compare="),
    ROW(repeat, 1, BY_CONFIGURATION, compares_nothing, "nothing is compared without compare="),
    ROW(p2m_max, P2M_LEVEL_4K, BY_MACHINE, ept_has_no_2m, "its EPT has no larger pages"),
    ROW(p2m_max, P2M_LEVEL_2M, BY_MACHINE, ept_has_no_1g, "its EPT has no larger pages"),
    ROW(pcid, false, BY_CONFIGURATION, shadow_has_no_pcid,
        "mmu=shadow offers process-context identifiers only with shadow.pcid=on"),
    ROW(pcid, false, BY_CONFIGURATION, may_be_shadow_without_pcid,
        "mmu.switch=on offers what all modes have, and mmu=shadow has process-context identifiers only with shadow.pcid=on"),
    ROW(pcid, false, BY_MACHINE, has_no_pcid, "it has no process-context identifiers"),
    ROW(pku, false, BY_MACHINE, has_no_pku, "it has no protection keys"),
    MEANS_NOTHING(shadow, has_no_shadow, UNDER_EPT),
    MEANS_NOTHING(shadow_vpid, has_no_shadow, UNDER_EPT),
    MEANS_NOTHING(directpf, has_no_shadow, UNDER_EPT),
    MEANS_NOTHING(direct_invlpg, has_no_shadow, UNDER_EPT),
    MEANS_NOTHING(shadow_cr3, has_no_shadow, UNDER_EPT),
    MEANS_NOTHING(shadow_pcid, has_no_shadow, UNDER_EPT),
    MEANS_NOTHING(large, has_no_shadow, UNDER_EPT),
    MEANS_NOTHING(prefetch, has_no_shadow, UNDER_EPT),
    MEANS_NOTHING(pool, has_no_shadow, UNDER_EPT),
    ROW(shadow_vpid, false, BY_CONFIGURATION, traces_nothing, UNTRACED "no root outlives a load of CR3"),
    ROW(shadow_vpid, false, BY_MACHINE, has_no_vpid, "it has no VPIDs"),
    ROW(shadow_vpid, false, BY_CONFIGURATION, vpid_is_off, "vpid=off uses no VPIDs"),
    ROW(directpf, false, BY_CONFIGURATION, traces_nothing,
        UNTRACED "no fault is known to be the guest's own"),
    ROW(directpf, false, BY_MACHINE, has_no_bit,
        "its physical addresses have 52 bits, so no bit of a page-table entry is reserved"),
    ROW(directpf, false, BY_MACHINE, bit_does_not_fault,
        "CPUID says that bit 51 of a page-table entry is reserved, but it does not fault: a hypervisor below shows fewer address bits than its processor has"),
    ROW(direct_invlpg, false, BY_CONFIGURATION, traces_nothing, UNTRACED "each INVLPG must be seen"),
    ROW(shadow_cr3, false, BY_CONFIGURATION, traces_nothing, UNTRACED "each load of CR3 must be seen"),
    ROW(shadow_cr3, false, BY_MACHINE, has_no_targets,
        "it has no CR3-target values, so each load of CR3 exits"),
    ROW(shadow_pcid, false, BY_CONFIGURATION, shadow_pcid_is_off,
        "pcid=off offers no process-context identifiers"),
    ROW(shadow_pcid, false, BY_MACHINE, shadow_lacks_pcid, "it has no process-context identifiers"),
    ROW(mmu_auto, false, BY_CONFIGURATION, may_not_switch, "the mode can only change with mmu.switch=on"),
    ROW(mmu_auto, false, BY_MACHINE, has_no_ept, "it has no EPT to choose"),
    ROW(mmu_auto, false, BY_MACHINE, counts_no_walks, "its performance counters count no page walks"),
    ROW(mmu_auto, false, BY_MACHINE, has_no_timer, "it has no VMX-preemption timer, which ends epochs"),
    ROW(auto_roots, false, BY_CONFIGURATION, chooses_nothing, "only mmu=auto chooses"),
    ROW(auto_roots, false, BY_CONFIGURATION, has_pcid,
        "with process-context identifiers a root is loaded by several values of CR3"),
    ROW(large, false, BY_CONFIGURATION, p2m_has_no_2m, "p2m.max=4k leaves it no page of 2M"),
};
const unsigned effect_rows_count = ARRAY_SIZE(effect_rows);

// Whether guests of these parameters have VPIDs: with vpid=auto where the back end could use them here.
static bool has_vpid(const struct params *params, const struct mmu_ops *ops, const struct vmx_caps *caps)
{
    if (params->vpid != VPID_AUTO)
        return params->vpid == VPID_ON;
    return !mmu_missing(ops, caps, true);
}

const char *effect_missing(const struct params *params, const struct mmu_ops *ops,
                           const struct vmx_caps *caps)
{
    if (params->audit && !ops->audit && !params->mmu_switch)
        return "audit= checks shadow tables, and mmu=ept has none: use mmu=shadow, or audit=off.";
    if (params->mode_churn && !params->mmu_switch)
        return "mmu.churn= changes the mode, which can only change with mmu.switch=on: add it, or leave mmu.churn= out.";
    return mmu_missing(ops, caps, has_vpid(params, ops, caps));
}

static bool matters(const struct effect_row *row, const struct params *now)
{
    if (row->stays)
        return !params_is_default(now, row->param);
    return params_value(now, row->param) != row->instead;
}

void effect_choose(struct effect *e, const struct mmu_ops *ops, const struct effect_machine *machine)
{
    _Static_assert(ARRAY_SIZE(effect_rows) <= EFFECT_ROWS_MAX, "a set of rows is one u64");
    e->now = e->asked;
    e->found = 0;
    e->now.vpid = has_vpid(&e->asked, ops, machine->caps) ? VPID_ON : VPID_OFF;
    e->now.pmu = e->asked.pmu && machine->counts;
    for (unsigned i = 0; i < effect_rows_count; i++) {
        const struct effect_row *row = &effect_rows[i];
        if (!matters(row, &e->now) || !row->found(&e->asked, &e->now, machine))
            continue;
        e->found |= BIT(i);
        if (!row->stays)
            params_set(&e->now, row->param, row->instead);
    }
}

static void say(const struct effect *e, const struct effect_row *row)
{
    char asked[80], now[80];
    params_format(&e->asked, row->param, asked, sizeof(asked));
    params_format(&e->now, row->param, now, sizeof(now));
    log_info("%s %s%s %s: %s", asked, row->stays ? "has no effect" : "is ", row->stays ? "" : now,
             row->cause == BY_MACHINE ? "on this processor" : "in this configuration", row->why);
}

void effect_say(const struct effect *e)
{
    if (e->asked.vpid == VPID_AUTO)
        log_info("vpid=auto is vpid=%s on this processor", e->now.vpid ? "on" : "off");
    for (unsigned i = 0; i < effect_rows_count; i++) {
        if (e->found & BIT(i))
            say(e, &effect_rows[i]);
    }
}

struct mmu_options effect_options(const struct params *params, const struct mmu_options *machine)
{
    struct mmu_options options = *machine;
    options.ram = params->mem;
    options.vpid = params->vpid == VPID_ON;
    options.p2m_max = params->p2m_max;
    options.strategy = params->shadow;
    options.root_vpids = params->shadow_vpid;
    options.large = params->large;
    options.directpf = params->directpf;
    options.direct_invlpg = params->direct_invlpg;
    options.in_place = params->shadow_cr3;
    options.prefetch = params->prefetch;
    options.pool = params->pool;
    return options;
}
