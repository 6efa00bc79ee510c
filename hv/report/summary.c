// See summary.h. The counters' own table serves both forms.
#include <arch/console.h>
#include <hv/log.h>

#include "exit_names.h"
#include "json.h"
#include "summary.h"

// [n] to [n + 1] of a histogram by powers of two: the first and the last bucket that is not empty.
struct range {
    unsigned first, last;
};

static struct range buckets_used(const struct exit_account *e)
{
    struct range r = {0, ARRAY_SIZE(e->log2) - 1};
    while (r.last > 0 && !e->log2[r.last])
        r.last--;
    while (r.first < r.last && !e->log2[r.first])
        r.first++;
    return r;
}

// A histogram as one character for each power of two: the share in tenths, `.' less than one, `-' none, `#'
// all.
static void print_spread(const struct exit_account *e)
{
    struct range r = buckets_used(e);
    u64 all = 0;
    for (unsigned i = r.first; i <= r.last; i++)
        all += e->log2[i];
    console_print(" 2^%u ", r.first);
    for (unsigned i = r.first; i <= r.last; i++) {
        u64 tenths = all ? e->log2[i] * 10 / all : 0;
        console_print("%c", !e->log2[i] ? '-' : tenths == 10 ? '#' : tenths ? (int)('0' + tenths) : '.');
    }
}

// Tenths of a percent of what is in millionths.
#define TENTHS 1000

static void print_auto_effect(const u64 values[COUNTERS])
{
    u64 predicted = values[COUNTER_auto_predicted] / TENTHS, seen = values[COUNTER_auto_seen] / TENTHS;
    if (values[COUNTER_auto_effects])
        console_print(
            "  mmu=auto: at the last change whose effect was seen, the new mode was predicted to cost %lu.%lu %% of the guest's own work, and cost %lu.%lu %%\n",
            predicted / 10, predicted % 10, seen / 10, seen % 10);
    else
        console_print("  mmu=auto: no change's effect has been seen yet\n");
}

static void print_auto(const struct vm *vm, const u64 values[COUNTERS])
{
    console_print(
        "  mmu=auto: %lu ms under EPT, %lu ms under shadow paging, %lu changes of the guest's mode\n",
        values[COUNTER_auto_ept], values[COUNTER_auto_shadow], values[COUNTER_auto_changes]);
    if (vm->params->auto_roots)
        console_print(
            "  mmu=auto: by root: %lu changes of a root's mode, %lu visits to roots of the other mode, of %lu cycles each for the change\n",
            values[COUNTER_auto_root_changes], values[COUNTER_auto_visits],
            values[COUNTER_auto_visit_cycles]);
    if (values[COUNTER_auto_changes] + values[COUNTER_auto_root_changes])
        print_auto_effect(values);
}

void summary_table(struct vm *vm)
{
    u64 values[COUNTERS];
    tally_read(vm, values);
    profile_settle(&vm->profile);
    log_notice("statistics:");
    console_print("\n  mmu=%s vpid=%s\n", vm->mmu->ops->name, vm->params->vpid == VPID_ON ? "on" : "off");
    for (unsigned i = 0; i < COUNTERS; i++) {
        if (counter_is_shown(vm, i))
            console_print("  %-28s %18lu %s\n", counter_rows[i].name, values[i], counter_rows[i].unit);
    }
    console_print(
        "  exits by reason: number, cycles, cycles of one, tenths of them by powers of two from 2^N cycles on\n");
    for (unsigned i = 0; i < EXIT_REASONS; i++) {
        const struct exit_account *e = &vm->vcpu.exits[i];
        if (!e->count)
            continue;
        console_print("    %-18s %12lu %18lu %10lu", exit_name(i), e->count, e->cycles, e->cycles / e->count);
        print_spread(e);
        if (e->highest)
            console_print(" from %lu to %lu", e->lowest, e->highest);
        console_print("\n");
    }
    profile_table(&vm->profile);
    if (vm->empty_exit_cycles)
        console_print("  each exit takes %u cycles more by itself: switch_cycles\n", vm->empty_exit_cycles);
    if (counter_is_shown(vm, COUNTER_auto_changes))
        print_auto(vm, values);
    if (vm->vcpu.polled)
        console_print("  console input was polled: the exits PREEMPTION_TIMER are the monitor's\n");
    console_print("\n");
    log_notice("end of the statistics");
}

static void print_exits_json(const char *name, const struct exit_account *e)
{
    const char *comma = "";
    console_print("\"%s\":{\"count\":%lu,\"cycles\":%lu,", name, e->count, e->cycles);
    if (e->highest)
        console_print("\"lowest\":%lu,\"highest\":%lu,", e->lowest, e->highest);
    console_print("\"log2\":{");
    for (unsigned i = 0; i < ARRAY_SIZE(e->log2); i++) {
        if (!e->log2[i])
            continue;
        console_print("%s\"%u\":%lu", comma, i, e->log2[i]);
        comma = ",";
    }
    console_print("}}");
}

void summary_json(struct vm *vm)
{
    u64 values[COUNTERS];
    tally_read(vm, values);
    profile_settle(&vm->profile);
    json_line("summary");
    if (vm->compare) {
        console_print(",\"run\":%u,\"round\":%u", vm->run, vm->round);
        json_text("configuration", vm->configuration);
    } else {
        json_params("parameters", vm->params);
    }
    console_print(",\"mmu\":\"%s\",\"vpid\":%s,\"failed\":%s", vm->mmu->ops->name,
                  vm->params->vpid == VPID_ON ? "true" : "false", vm->failed ? "true" : "false");
    json_text("end", vm->end);
    if (vm->machine_check)
        console_print(",\"machine_check\":true");
    if (vm->far_memory)
        console_print(",\"far_memory\":true");
    if (vm->vcpu.polled)
        console_print(",\"polled\":true");
    if (vm->status_given)
        console_print(",\"status\":%lu", vm->status);
    for (unsigned i = 0; i < COUNTERS; i++) {
        if (counter_is_shown(vm, i))
            console_print(",\"%s\":%lu", counter_rows[i].name, values[i]);
    }
    console_print(",\"exit_reasons\":{");
    const char *comma = "";
    for (unsigned i = 0; i < EXIT_REASONS; i++) {
        if (!vm->vcpu.exits[i].count)
            continue;
        console_print("%s", comma);
        print_exits_json(exit_name(i), &vm->vcpu.exits[i]);
        comma = ",";
    }
    console_print("}");
    profile_json(&vm->profile);
    console_print("}\n");
}
