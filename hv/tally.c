// See tally.h.
#include <arch/lib.h>
#include <arch/memory.h>

#include "vm.h"

const struct counter_row counter_rows[COUNTERS] = {
#define COUNTER(owner, name, unit, kind, ...) [COUNTER_##name] = {#name, unit, COUNTER_OF_##owner, kind},
#include <hv/counters.def>
};

// The rows of arch/pmu_counts.def stand together.
static enum pmu_event pmu_event_of(enum counter counter)
{
    return counter - COUNTER_pmu_instructions;
}

bool counter_is_shown(const struct vm *vm, enum counter counter)
{
    enum counter_owner owner = counter_rows[counter].owner;
    return owner == COUNTER_OF_HV || owner == COUNTER_OF_MMU || owner == mmu->owner ||
           (owner == COUNTER_OF_PMU && pmu_counts(&vm->pmu, pmu_event_of(counter))) ||
           (owner == COUNTER_OF_CHURN && vm->churn.period);
}

void tally_init(void)
{
    vmcs_counts = (struct vmcs_counts){0, 0};
}

static u64 all_exits(const struct vcpu *v)
{
    u64 sum = 0;
    for (unsigned i = 0; i < EXIT_REASONS; i++)
        sum += v->exits[i].count;
    return sum;
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

static void hv_counters(const struct vm *vm, u64 values[COUNTERS])
{
    const struct vcpu *v = &vm->vcpu;
    values[COUNTER_exits] = all_exits(v);
    values[COUNTER_guest_cycles] = vcpu_guest_cycles(v);
    values[COUNTER_monitor_cycles] = v->monitor_cycles;
    values[COUNTER_milliseconds] = vm_milliseconds(vm);
    values[COUNTER_vmreads] = vmcs_counts.reads;
    values[COUNTER_vmwrites] = vmcs_counts.writes;
    values[COUNTER_cr3_writes] = v->cr3_writes;
    values[COUNTER_p2m_4k] = vm->p2m.leaves[P2M_LEVEL_4K];
    values[COUNTER_p2m_2m] = vm->p2m.leaves[P2M_LEVEL_2M];
    values[COUNTER_p2m_1g] = vm->p2m.leaves[P2M_LEVEL_1G];
    values[COUNTER_p2m_tables] = vm->p2m.tables;
    u64 frames = vm->frames->count[FRAME_MONITOR] + vm->frames->count[FRAME_KEPT];
    values[COUNTER_monitor_memory] = (frames * PAGE_SIZE + memory_kept_bytes()) / KIB;
}

static void collect(struct vm *vm, u64 values[COUNTERS])
{
    memset(values, 0, COUNTERS * sizeof(values[0]));
    hv_counters(vm, values);
    pmu_counters(&vm->pmu, values);
    churn_counters(&vm->churn.counts, values);
    mmu_counters(values);
}

void tally_read(struct vm *vm, u64 values[COUNTERS])
{
    collect(vm, values);
    for (unsigned i = 0; i < COUNTERS; i++) {
        if (counter_rows[i].kind == PENUMBRA_COUNT)
            values[i] -= vm->tally.base[i];
    }
    u64 milliseconds = values[COUNTER_milliseconds];
    values[COUNTER_exits_per_second] = milliseconds ? values[COUNTER_exits] * 1000 / milliseconds : 0;
}

void tally_reset(struct vm *vm)
{
    memset(vm->vcpu.exits, 0, sizeof(vm->vcpu.exits));
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
