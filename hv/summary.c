// See summary.h. One list of figures serves both forms.
#include <arch/console.h>
#include <arch/lib.h>
#include <arch/memory.h>

#include "summary.h"

static printf_like(1) void say(const char *format, ...)
{
    char line[160];
    va_list args;
    va_start(args, format);
    int length = fmtv(line, sizeof(line), format, args);
    va_end(args);
    console_write(line, length < (int)sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

struct figure {
    const char *name, *unit;
    u64 value;
};

#define FIGURES       64
#define CHURN_FIGURES 4

static u64 all_exits(const struct vcpu *v)
{
    u64 sum = 0;
    for (unsigned i = 0; i < EXIT_REASONS; i++)
        sum += v->exits[i];
    return sum;
}

static unsigned translation_figures(struct figure *f)
{
    struct mmu_figure translation[MMU_FIGURES];
    unsigned count = mmu_figures(translation);
    for (unsigned i = 0; i < count; i++)
        f[i] = (struct figure){translation[i].name, "", translation[i].value};
    return count;
}

static unsigned churn_figures(const struct churn *c, struct figure *f)
{
    const struct figure all[CHURN_FIGURES] = {
        {"churn_moved", "pages", c->moved},
        {"churn_protected", "pages", c->protected},
        {"churn_taken", "pages", c->taken},
        {"churn_touched", "pages", c->touched},
    };
    if (!c->period)
        return 0;
    memcpy(f, all, sizeof(all));
    return CHURN_FIGURES;
}

static unsigned figures(const struct vm *vm, struct figure *f)
{
    const struct vcpu *v = &vm->vcpu;
    u64 exits = all_exits(v), cycles = v->last_exit - v->started;
    u64 milliseconds = cycles / (vm->tsc_hz / 1000);
    const struct figure all[] = {
        {"exits", "", exits},
        {"exits_per_second", "/s", milliseconds ? exits * 1000 / milliseconds : 0},
        {"guest_cycles", "TSC cycles", vcpu_guest_cycles(v)},
        {"monitor_cycles", "TSC cycles", v->monitor_cycles},
        {"milliseconds", "ms", milliseconds},
        {"vmreads", "", vmcs_counts.reads},
        {"vmwrites", "", vmcs_counts.writes},
        {"p2m_4k", "pages", vm->p2m.leaves[P2M_LEVEL_4K]},
        {"p2m_2m", "pages", vm->p2m.leaves[P2M_LEVEL_2M]},
        {"p2m_1g", "pages", vm->p2m.leaves[P2M_LEVEL_1G]},
        {"p2m_tables", "frames", vm->p2m.tables},
        {"monitor_memory", "KiB", (vm->frames->count[FRAME_MONITOR] * PAGE_SIZE + memory_kept_bytes()) / KIB},
    };
    _Static_assert(ARRAY_SIZE(all) + CHURN_FIGURES + MMU_FIGURES <= FIGURES, "FIGURES is too small");
    memcpy(f, all, sizeof(all));
    unsigned count = ARRAY_SIZE(all);
    count += churn_figures(&vm->churn, f + count);
    return count + translation_figures(f + count);
}

void summary_table(const struct vm *vm)
{
    struct figure f[FIGURES];
    unsigned count = figures(vm, f);
    say("\n  mmu=%s vpid=%s\n", mmu->name, vm->params->vpid ? "on" : "off");
    for (unsigned i = 0; i < count; i++)
        say("  %-28s %18lu %s\n", f[i].name, f[i].value, f[i].unit);
    say("  exits by reason:\n");
    for (unsigned i = 0; i < EXIT_REASONS; i++) {
        if (vm->vcpu.exits[i])
            say("    %-26s %18lu\n", exit_name(i), vm->vcpu.exits[i]);
    }
    say("\n");
}

void summary_json(const struct vm *vm)
{
    struct figure f[FIGURES];
    unsigned count = figures(vm, f);
    say("{\"penumbra\":\"summary\",\"mmu\":\"%s\",\"vpid\":%s,\"failed\":%s,", mmu->name,
        vm->params->vpid ? "true" : "false", vm->failed ? "true" : "false");
    if (vm->status_given)
        say("\"status\":%lu,", vm->status);
    for (unsigned i = 0; i < count; i++)
        say("\"%s\":%lu,", f[i].name, f[i].value);
    say("\"exit_reasons\":{");
    const char *comma = "";
    for (unsigned i = 0; i < EXIT_REASONS; i++) {
        if (!vm->vcpu.exits[i])
            continue;
        say("%s\"%s\":%lu", comma, exit_name(i), vm->vcpu.exits[i]);
        comma = ",";
    }
    say("}}\n");
}
