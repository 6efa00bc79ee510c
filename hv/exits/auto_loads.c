// See auto_loads.h.
#include <arch/io.h>
#include <arch/lib.h>

#include "auto_loads.h"
#include "exit_names.h"
#include "mode_ask.h"
#include "../vm.h"

// Changes at loads take at most this part of an epoch, whatever the guest does; then it stays as it is.
#define MOVES_PART 8u

#define TRACE_MARK 0x6175746f00000000ull // "auto", and the mode

static bool contains(const u64 *list, unsigned count, u64 cr3)
{
    for (unsigned i = 0; i < count; i++) {
        if (list[i] == cr3)
            return true;
    }
    return false;
}

static u64 weight(const struct auto_mode *a)
{
    return a->epoch / a->sample;
}

void auto_loads_begin(struct vcpu *v)
{
    struct auto_loads *l = &v->vm->auto_mode.loads;
    l->root = vcpu_cr3(v);
    l->since = auto_reading_take(v, l->root);
}

void auto_loads_ran(struct vcpu *v)
{
    struct auto_mode *a = &v->vm->auto_mode;
    struct auto_loads *l = &a->loads;
    const struct auto_reading now = auto_reading_take(v, l->root);
    struct auto_epoch ran = auto_reading_passed(v, &l->since, &now);
    u64 times = weight(a);
    ran.cycles *= times;
    ran.walks *= times;
    ran.shadow *= times;
    ran.faults *= times;
    auto_roots_ran(&a->roots, l->root, v->vm->params->mmu, &ran);
    l->since = now;
}

// Under EPT nothing exits while all roots have one mode.
static bool exits_for_sample(const struct auto_mode *a, u64 cr3)
{
    const struct auto_loads *l = &a->loads;
    return (a->mode == MMU_EPT && !a->roots.others) || contains(l->unwatched, l->unwatched_count, cr3);
}

static void sampled(struct vcpu *v, u64 cr3)
{
    struct auto_mode *a = &v->vm->auto_mode;
    auto_loads_ran(v);
    auto_roots_switched(&a->roots, a->loads.root, cr3, weight(a));
    a->loads.root = cr3;
    if (!exits_for_sample(a, cr3))
        return;
    u64 cycles = auto_exit_cycles(v, EXIT_CR_ACCESS);
    a->spent += cycles;
    if (a->mode == MMU_SHADOW)
        a->needless += cycles;
}

static void target_add(struct vcpu *v, u64 cr3)
{
    struct auto_loads *l = &v->vm->auto_mode.loads;
    unsigned most = (unsigned)lesser(vmx_cr3_targets(v->caps), VCPU_CR3_TARGETS);
    if (!most || contains(l->target, l->targets, cr3))
        return;
    if (l->targets < most)
        l->next = l->targets++;
    l->target[l->next] = cr3;
    l->next = (l->next + 1) % most;
    v->refresh_controls = true;
}

static bool move(struct vcpu *v, enum mmu_mode mode, bool at_load)
{
    struct auto_loads *l = &v->vm->auto_mode.loads;
    const struct effect *wanted = &l->effects[mode];
    if (mode_unfit(v, wanted))
        return false;
    mode_ask_for(v, wanted);
    v->vm->modes.chosen = true;
    l->at_load = at_load;
    return true;
}

bool auto_loads_seen(struct vcpu *v, u64 cr3)
{
    struct auto_mode *a = &v->vm->auto_mode;
    if (a->samples)
        sampled(v, cr3);
    if (!a->roots.others)
        return false;
    enum mmu_mode mode = auto_roots_mode(&a->roots, cr3);
    if (mode == MMU_EPT)
        target_add(v, cr3);
    return mode != a->mode && a->loads.moved < a->epoch / MOVES_PART && move(v, mode, true);
}

static void keep_own(const struct auto_roots *roots, struct mmu_controls *wanted)
{
    unsigned count = 0;
    for (unsigned i = 0; i < wanted->cr3_targets; i++) {
        if (auto_roots_mode(roots, wanted->cr3_target[i]) == MMU_SHADOW)
            wanted->cr3_target[count++] = wanted->cr3_target[i];
    }
    wanted->cr3_targets = count;
}

void auto_loads_controls(struct vcpu *v, struct mmu_controls *wanted)
{
    struct auto_mode *a = &v->vm->auto_mode;
    struct auto_loads *l = &a->loads;
    wanted->proc |= PROC_CR3_LOAD_EXITING;
    if (v->vm->params->mmu == MMU_SHADOW) {
        keep_own(&a->roots, wanted);
    } else {
        wanted->cr3_targets = l->targets;
        memcpy(wanted->cr3_target, l->target, sizeof(l->target));
    }
    if (!a->samples)
        return;
    l->unwatched_count = wanted->cr3_targets;
    memcpy(l->unwatched, wanted->cr3_target, sizeof(l->unwatched));
    wanted->cr3_targets = 0;
}

void auto_loads_ask(struct vcpu *v)
{
    struct auto_mode *a = &v->vm->auto_mode;
    enum mmu_mode mode = auto_roots_mode(&a->roots, vcpu_cr3(v));
    a->loads.targets = 0; // some of them may have another mode by now
    if (mode != a->mode)
        (void)move(v, mode, false);
}

// A visit's changes are nobody's work: the readings begin after them.
void auto_loads_moved(struct vcpu *v, u64 now)
{
    struct auto_mode *a = &v->vm->auto_mode;
    struct auto_loads *l = &a->loads;
    u64 cycles = now - v->last_exit + v->vm->empty_exit_cycles;
    auto_roots_visited(&a->roots, cycles);
    if (trace_on(&v->vm->trace))
        trace_mark(v, TRACE_MARK | a->mode);
    if (a->samples) {
        auto_loads_begin(v);
        l->since.at = now;
    }
    if (!l->at_load)
        return;
    l->moved += cycles;
    l->visits++;
}

bool auto_loads_can_move(const struct vcpu *v)
{
    const struct auto_mode *a = &v->vm->auto_mode;
    return !a->loads.stuck && !mode_unfit(v, &a->loads.effects[mmu_mode_other(a->mode)]);
}

void auto_loads_prepare(struct vcpu *v)
{
    static const char *const words[MMU_MODES] = {[MMU_EPT] = "mmu=ept", [MMU_SHADOW] = "mmu=shadow"};
    struct auto_loads *l = &v->vm->auto_mode.loads;
    l->stuck = false;
    for (unsigned mode = 0; mode < MMU_MODES; mode++)
        l->stuck |= mode_prepare(v->vm, words[mode], &l->effects[mode]) != NULL;
}

void auto_loads_watch(struct vcpu *v)
{
    const struct auto_mode *a = &v->vm->auto_mode;
    v->watches_roots = v->vm->params->auto_roots && (a->samples || a->roots.others);
}
