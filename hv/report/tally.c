// See tally.h.
#include <arch/lib.h>
#include <arch/memory.h>

#include "exit_names.h"
#include "../vm.h"

#define MILLION 1000000u

const struct counter_row counter_rows[COUNTERS] = {
#define COUNTER(owner, name, unit, kind, ...) [COUNTER_##name] = {#name, unit, COUNTER_OF_##owner, kind},
#include <hv/counters.def>
};

// The rows of arch/pmu_counts.def stand together.
static enum pmu_event pmu_event_of(enum counter counter)
{
    return counter - COUNTER_pmu_instructions;
}

static bool clock_counts(const struct frequency *f, enum counter counter)
{
    return counter == COUNTER_smis ? f->counts_smis : f->counts;
}

static bool is_back_ends(const struct vm *vm, enum counter_owner owner)
{
    const struct mmu *mmu = vm->mmus;
    while (mmu && mmu->ops->owner != owner)
        mmu = mmu->next;
    return mmu;
}

bool counter_is_shown(const struct vm *vm, enum counter counter)
{
    enum counter_owner owner = counter_rows[counter].owner;
    return owner == COUNTER_OF_HV || owner == COUNTER_OF_MMU || is_back_ends(vm, owner) ||
           (owner == COUNTER_OF_CLOCK && clock_counts(vm->tally.frequency, counter)) ||
           (owner == COUNTER_OF_PMU && pmu_counts(&vm->pmu, pmu_event_of(counter))) ||
           (owner == COUNTER_OF_CHURN && vm->churn.period) ||
           (owner == COUNTER_OF_AUTO && vm->params->mmu_auto);
}

void tally_init(struct vm *vm, const struct frequency *frequency)
{
    vm->vcpu.vmcs.reads = vm->vcpu.vmcs.writes = 0;
    vm->tally.frequency = frequency;
    vm->tally.begin = frequency_read(frequency);
}

static void clock_counters(const struct vm *vm, u64 values[COUNTERS])
{
    const u64 *base = vm->tally.base;
    struct frequency_counts now = frequency_read(vm->tally.frequency);
    struct frequency_counts counts = frequency_between(&vm->tally.begin, &now);
    u64 milliseconds = (counts.mperf - base[COUNTER_mperf]) / (vm->tsc_hz / 1000);
    values[COUNTER_aperf] = counts.aperf;
    values[COUNTER_mperf] = counts.mperf;
    values[COUNTER_smis] = counts.smis;
    values[COUNTER_frequency] = milliseconds ? (counts.aperf - base[COUNTER_aperf]) / milliseconds / 1000 : 0;
}

static void pmu_counters(struct pmu *pmu, u64 values[COUNTERS])
{
    for (unsigned i = 0; i < PMU_EVENTS; i++)
        values[COUNTER_pmu_instructions + i] = pmu_read(pmu, i);
}

static void churn_counters(const struct churn_counts *counts, u64 values[COUNTERS])
{
#define COUNTER_CHURN(name, ...) values[COUNTER_##name] = counts->name;
#include <hv/counters.def>
}

// The rows of owners HV and AUTO, a function each: a row without one does not compile, nor does one without a
// row.
static u64 hv_exits(const struct vm *vm)
{
    u64 sum = 0;
    for (unsigned i = 0; i < EXIT_REASONS; i++)
        sum += vm->vcpu.exits[i].count;
    return sum;
}

static u64 hv_guest_cycles(const struct vm *vm)
{
    return vcpu_guest_cycles(&vm->vcpu);
}

static u64 hv_switch_cycles(const struct vm *vm)
{
    return hv_exits(vm) * vm->empty_exit_cycles;
}

static u64 hv_monitor_cycles(const struct vm *vm)
{
    return vm->vcpu.monitor_cycles;
}

static u64 hv_milliseconds(const struct vm *vm)
{
    return vm_milliseconds(vm);
}

static u64 hv_exits_per_second(const struct vm *vm)
{
    const u64 *base = vm->tally.base;
    u64 milliseconds = hv_milliseconds(vm) - base[COUNTER_milliseconds];
    return milliseconds ? (hv_exits(vm) - base[COUNTER_exits]) * 1000 / milliseconds : 0;
}

static u64 hv_vmreads(const struct vm *vm)
{
    return vm->vcpu.vmcs.reads;
}

static u64 hv_vmwrites(const struct vm *vm)
{
    return vm->vcpu.vmcs.writes;
}

static u64 hv_cr3_writes(const struct vm *vm)
{
    return vm->vcpu.cr3_writes;
}

static u64 hv_mode_changes(const struct vm *vm)
{
    return vm->modes.changes;
}

static u64 hv_p2m_4k(const struct vm *vm)
{
    return vm->p2m.leaves[P2M_LEVEL_4K];
}

static u64 hv_p2m_2m(const struct vm *vm)
{
    return vm->p2m.leaves[P2M_LEVEL_2M];
}

static u64 hv_p2m_1g(const struct vm *vm)
{
    return vm->p2m.leaves[P2M_LEVEL_1G];
}

static u64 hv_p2m_tables(const struct vm *vm)
{
    return vm->p2m.tables;
}

static u64 hv_monitor_memory(const struct vm *vm)
{
    u64 frames = vm->frames->count[FRAME_MONITOR] + vm->frames->count[FRAME_KEPT];
    return (frames * PAGE_SIZE + memory_kept_bytes()) / KIB;
}

static u64 auto_milliseconds(const struct vm *vm, enum mmu_mode mode)
{
    return vm->auto_mode.cycles[mode] / (vm->tsc_hz / 1000);
}

static u64 hv_auto_ept(const struct vm *vm)
{
    return auto_milliseconds(vm, MMU_EPT);
}

static u64 hv_auto_shadow(const struct vm *vm)
{
    return auto_milliseconds(vm, MMU_SHADOW);
}

static u64 hv_auto_changes(const struct vm *vm)
{
    return vm->auto_mode.changes;
}

static u64 hv_auto_root_changes(const struct vm *vm)
{
    return vm->auto_mode.roots.changes;
}

static u64 hv_auto_visits(const struct vm *vm)
{
    return vm->auto_mode.loads.visits;
}

static u64 hv_auto_visit_cycles(const struct vm *vm)
{
    return hv_auto_visits(vm) ? vm->auto_mode.roots.visit_cycles : 0;
}

static u64 hv_auto_roots_ept(const struct vm *vm)
{
    return auto_roots_count(&vm->auto_mode.roots, MMU_EPT);
}

static u64 hv_auto_roots_shadow(const struct vm *vm)
{
    return auto_roots_count(&vm->auto_mode.roots, MMU_SHADOW);
}

static u64 hv_auto_effects(const struct vm *vm)
{
    return vm->auto_mode.roots.effects;
}

// A price in millionths of the guest's own work.
static u64 price_ppm(u64 price)
{
    return price / AUTO_PRICE_ONE * MILLION + price % AUTO_PRICE_ONE * MILLION / AUTO_PRICE_ONE;
}

static u64 hv_auto_predicted(const struct vm *vm)
{
    return price_ppm(vm->auto_mode.roots.predicted);
}

static u64 hv_auto_seen(const struct vm *vm)
{
    return price_ppm(vm->auto_mode.roots.seen);
}

static void hv_counters(const struct vm *vm, u64 values[COUNTERS])
{
#define COUNTER_HV(name, ...)   values[COUNTER_##name] = hv_##name(vm);
#define COUNTER_AUTO(name, ...) values[COUNTER_##name] = hv_##name(vm);
#include <hv/counters.def>
}

static void collect(struct vm *vm, u64 values[COUNTERS])
{
    memset(values, 0, COUNTERS * sizeof(values[0]));
    hv_counters(vm, values);
    clock_counters(vm, values);
    pmu_counters(&vm->pmu, values);
    churn_counters(&vm->churn.counts, values);
    for (const struct mmu *mmu = vm->mmus; mmu; mmu = mmu->next)
        mmu_counters(mmu, values);
}

void tally_read(struct vm *vm, u64 values[COUNTERS])
{
    collect(vm, values);
    for (unsigned i = 0; i < COUNTERS; i++) {
        if (counter_rows[i].kind == PENUMBRA_COUNT)
            values[i] -= vm->tally.base[i];
    }
}

void tally_reset(struct vm *vm)
{
    memset(vm->vcpu.exits, 0, sizeof(vm->vcpu.exits));
    profile_reset(&vm->profile);
    vm->vcpu.account = &vm->vcpu.outside; // the exit that asks for it is not counted any more
    collect(vm, vm->tally.base);
}

unsigned tally_list(struct vm *vm, u64 list[COUNTERS_LISTED])
{
    u64 values[COUNTERS];
    unsigned count = 0;
    tally_read(vm, values);
    for (unsigned i = 0; i < COUNTERS; i++) {
        if (counter_is_shown(vm, i))
            list[count++] = values[i];
    }
    for (unsigned i = 0; i < EXIT_REASONS; i++) {
        if (!exit_is_handled(i))
            continue;
        list[count++] = vm->vcpu.exits[i].count;
        list[count++] = vm->vcpu.exits[i].cycles;
    }
    return count;
}

static void describe_row(const struct counter_row *row, struct penumbra_counter *counter)
{
    fmt(counter->name, sizeof(counter->name), "%s", row->name);
    fmt(counter->unit, sizeof(counter->unit), "%s", row->unit);
    counter->kind = row->kind;
}

static void describe_exits(unsigned reason, bool cycles, struct penumbra_counter *counter)
{
    fmt(counter->name, sizeof(counter->name), "%s.%s", cycles ? "cycles" : "exit", exit_name(reason));
    fmt(counter->unit, sizeof(counter->unit), "%s", cycles ? "TSC cycles" : "");
    counter->kind = PENUMBRA_COUNT;
}

int tally_describe(const struct vm *vm, u64 index, struct penumbra_counter *counter)
{
    memset(counter, 0, sizeof(*counter));
    for (unsigned i = 0; i < COUNTERS; i++) {
        if (!counter_is_shown(vm, i) || index--)
            continue;
        describe_row(&counter_rows[i], counter);
        return 0;
    }
    for (unsigned i = 0; i < EXIT_REASONS; i++) {
        if (!exit_is_handled(i))
            continue;
        if (index < 2) {
            describe_exits(i, index == 1, counter);
            return 0;
        }
        index -= 2;
    }
    return ERR_ABSENT;
}
