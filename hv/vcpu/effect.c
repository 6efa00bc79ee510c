// See effect.h.
#include "effect.h"

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

void effect_choose(struct params *params, const struct mmu_ops *ops, const struct mmu_options *machine)
{
    struct mmu_options options = effect_options(params, machine);
    mmu_choose(ops, &options);
    params->p2m_max = options.p2m_max;
    params->directpf = options.directpf;
    params->shadow_cr3 = options.in_place;
    if (params->vpid != VPID_AUTO)
        return;
    params->vpid = has_vpid(params, ops, machine->caps) ? VPID_ON : VPID_OFF;
    log_info("vpid=auto is vpid=%s on this processor", params->vpid ? "on" : "off");
}
