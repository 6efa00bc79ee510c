// See auto_reading.h.
#include <arch/lib.h>

#include "auto_reading.h"
#include "exit_names.h"
#include "../vm.h"

#define THOUSAND 1000u

u64 auto_exit_cycles(const struct vcpu *v, unsigned reason)
{
    const struct exit_account *e = &v->exits[reason];
    return (e->count ? e->cycles / e->count : 0) + v->vm->empty_exit_cycles;
}

static u64 walks_fed(struct vcpu *v, u64 root)
{
    struct auto_feed *f = &v->vm->auto_mode.feed;
    u64 cycles = vcpu_guest_cycles(v);
    if (!f->one || auto_roots_same(f->root, root))
        f->walks += (cycles - f->at) / THOUSAND * f->part;
    f->at = cycles;
    return f->walks;
}

static u64 walks_now(struct vcpu *v, u64 root)
{
    struct pmu *pmu = &v->vm->pmu;
    if (v->vm->params->auto_feed)
        return walks_fed(v, root);
    return pmu_read(pmu, PMU_WALK_CYCLES_LOAD) + pmu_read(pmu, PMU_WALK_CYCLES_STORE) +
           pmu_read(pmu, PMU_WALK_CYCLES_FETCH);
}

// Exits that shadow paging has and EPT has not, with what an exit takes by itself, but for those that are
// only there to be counted.
static u64 shadow_now(const struct vcpu *v)
{
    static const unsigned reasons[] = {EXIT_EXCEPTION_OR_NMI, EXIT_INVLPG, EXIT_CR_ACCESS};
    u64 cycles = 0, needless = v->vm->auto_mode.needless;
    for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        const struct exit_account *e = &v->exits[reasons[i]];
        cycles += e->cycles + e->count * v->vm->empty_exit_cycles;
    }
    return cycles - lesser(cycles, needless);
}

struct auto_reading auto_reading_take(struct vcpu *v, u64 root)
{
    return (struct auto_reading){
        .at = v->last_exit,
        .walks = walks_now(v, root),
        .shadow = shadow_now(v),
        .faults = v->vm->auto_mode.faults,
    };
}

// PENUMBRA_RESET may have set the counts back.
static u64 grown(u64 from, u64 to)
{
    return to > from ? to - from : 0;
}

struct auto_epoch auto_reading_passed(const struct vcpu *v, const struct auto_reading *from,
                                      const struct auto_reading *to)
{
    bool shadow = v->vm->params->mmu == MMU_SHADOW;
    return (struct auto_epoch){
        .cycles = grown(from->at, to->at),
        .walks = grown(from->walks, to->walks),
        .shadow = shadow ? grown(from->shadow, to->shadow) : 0,
        .faults = grown(from->faults, to->faults),
    };
}
