// See compare.h.
#include <arch/console.h>
#include <arch/lib.h>
#include <hv/log.h>

#include "compare.h"
#include "json.h"
#include "machine.h"
#include "summary.h"

// The machine, and what the report is to expect: else one that the log has nothing of would not be missed.
static void plan_json(const struct configurations *all, unsigned rounds, const struct host *host)
{
    const char *separator = "";
    machine_json_begin(host);
    console_print(",\"rounds\":%u,\"configurations\":[", rounds);
    for (unsigned i = 0; i < all->count; i++) {
        console_print("%s", separator);
        json_print(all->list[i].name);
        separator = ",";
    }
    console_print("]");
    machine_json_end();
}

// One run of one configuration.
struct run {
    const struct configuration *configuration;
    struct outcome *outcome;
    unsigned number, of; // of all runs, from 1
    unsigned round;      // from 1
};

static void line_begin(const char *what, const struct run *run)
{
    json_line(what);
    console_print(",\"run\":%u,\"round\":%u", run->number, run->round);
    json_text("configuration", run->configuration->name);
}

static void effect_json(const struct effect *e)
{
    json_params("parameters", &e->now);
    json_effects(e);
}

static void begin_json(const struct run *run)
{
    line_begin("begin", run);
    effect_json(&run->outcome->effect);
    console_print("}\n");
}

static void refuse(const struct run *run, const char *why)
{
    struct outcome *o = run->outcome;
    o->refused = true;
    fmt_mark_cut(o->why, sizeof(o->why), fmt(o->why, sizeof(o->why), "%s", why));
    log_error("%s cannot run here: %s", run->configuration->name, why);
    line_begin("refused", run);
    json_text("reason", why);
    console_print("}\n");
}

static void run_prepared(const struct run *run, struct vm *vm, struct host *host)
{
    struct outcome *o = run->outcome;
    vm->compare = true;
    vm->run = run->number;
    vm->round = run->round;
    vm->configuration = run->configuration->name;
    begin_json(run);
    run_guest(vm, host);
    if (!o->failed)
        fmt(o->why, sizeof(o->why), "%s", vm->end);
    o->failed |= vm->failed;
    if (!vm->machine_check)
        results_pool(&o->results, &vm->results);
    trace_print(&vm->trace);
    summary_json(vm);
    log_message(vm->failed ? LOG_ERROR : LOG_NOTICE, "comparison: %u of %u, %s: %s after %lu s, %u results",
                run->number, run->of, vm->configuration, vm->end, vm_milliseconds(vm) / 1000,
                vm->results.count);
}

static void run_one(const struct run *run, struct vm *vm, struct host *host)
{
    struct effect *effect = &run->outcome->effect;
    effect->asked = effect->now = run->configuration->params;
    log_notice("comparison: %u of %u, %s", run->number, run->of, run->configuration->name);
    const char *why = run_missing(&effect->asked, host);
    if (why) {
        refuse(run, why);
        return;
    }
    run_choose(effect, host);
    why = run_prepare(vm, host, effect);
    if (why)
        refuse(run, why);
    else
        run_prepared(run, vm, host);
    run_release(vm, host);
}

static void results_json(const struct comparison *c, unsigned configuration)
{
    const struct results *results = &c->outcomes[configuration].results;
    for (unsigned i = 0; i < results->count; i++) {
        const struct penumbra_result *r = &results->rows[i];
        json_line("result");
        json_text("configuration", c->configurations.list[configuration].name);
        console_print(",\"workload\":\"%s\",\"iterations\":%lu,\"repetitions\":%lu,\"median\":%lu,"
                      "\"lowest\":%lu,\"highest\":%lu,\"exits\":%lu}\n",
                      r->workload, r->iterations, r->repetitions, r->median, r->lowest, r->highest, r->exits);
    }
}

static void outcome_json(const struct comparison *c, unsigned configuration)
{
    const struct outcome *o = &c->outcomes[configuration];
    json_line("outcome");
    json_text("configuration", c->configurations.list[configuration].name);
    effect_json(&o->effect);
    console_print(",\"refused\":%s,\"failed\":%s", o->refused ? "true" : "false",
                  o->failed ? "true" : "false");
    json_text("end", o->why);
    console_print("}\n");
}

static void end_json(const struct comparison *c)
{
    unsigned refused = 0, failed = 0;
    for (unsigned i = 0; i < c->configurations.count; i++) {
        refused += c->outcomes[i].refused;
        failed += c->outcomes[i].failed;
    }
    json_line("end");
    console_print(",\"configurations\":%u,\"refused\":%u,\"failed\":%u}\n", c->configurations.count, refused,
                  failed);
}

void compare_json(const struct comparison *c, unsigned rounds, const struct host *host)
{
    plan_json(&c->configurations, rounds, host);
    for (unsigned i = 0; i < c->configurations.count; i++) {
        outcome_json(c, i);
        results_json(c, i);
    }
    end_json(c);
}

void compare_run(struct comparison *c, unsigned rounds, struct vm *vm, struct host *host)
{
    unsigned count = c->configurations.count;
    plan_json(&c->configurations, rounds, host);
    for (unsigned i = 0; i < rounds * count; i++) {
        unsigned which = (i + i / count) % count; // each round begins with another
        const struct run run = {
            .configuration = &c->configurations.list[which],
            .outcome = &c->outcomes[which],
            .number = i + 1,
            .of = rounds * count,
            .round = i / count + 1,
        };
        run_one(&run, vm, host);
    }
    for (unsigned i = 0; i < count; i++)
        results_json(c, i);
    end_json(c);
    log_notice("comparison: all have run; its table:");
    compare_table(c);
    log_notice("comparison: end of the table");
}
