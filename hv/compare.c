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
    struct configurations *turns; // of by_switch: what the machine can do of it
    struct effect *turn_effects;
    const struct configuration *configuration;
    struct outcome *outcome;
    unsigned number, of; // of all runs, from 1
    unsigned round;      // from 1
};

static void line_begin(const char *what, const struct run *run, const char *configuration)
{
    json_line(what);
    console_print(",\"run\":%u,\"round\":%u", run->number, run->round);
    json_text("configuration", configuration);
}

static void effect_json(const struct effect *e)
{
    json_params("parameters", &e->now);
    json_effects(e);
}

// What the guest may tell results of: the report believes it in no other mode.
static void turns_json(const struct run *run)
{
    const char *separator = ",\"modes\":[{";
    for (unsigned i = 0; i < run->turns->count; i++) {
        console_print("%s\"mode\":", separator);
        json_print(run->turns->list[i].name);
        effect_json(&run->turn_effects[i]);
        separator = "},{";
    }
    console_print("}]");
}

static void begin_json(const struct run *run)
{
    line_begin("begin", run, run->configuration->name);
    effect_json(&run->outcome->effect);
    if (run->configuration->by_switch)
        turns_json(run);
    console_print("}\n");
}

static void refused_say(const struct run *run, const char *configuration, const char *why)
{
    log_error("%s cannot run here: %s", configuration, why);
    line_begin("refused", run, configuration);
    json_text("reason", why);
    console_print("}\n");
}

static void refuse(const struct run *run, const char *why)
{
    struct outcome *o = run->outcome;
    o->refused = true;
    fmt_mark_cut(o->why, sizeof(o->why), fmt(o->why, sizeof(o->why), "%s", why));
    refused_say(run, run->configuration->name, why);
}

// Makes the list of what the guest of this run measures by turns: what the machine can do of it. NULL, or why
// nothing of it can run. Each has its time of limit=.
static const char *turns_choose(const struct run *run, const struct configurations *asked,
                                const struct host *host)
{
    struct configurations *turns = run->turns;
    const char *why = NULL;
    turns->count = 0;
    for (unsigned i = 0; i < asked->count; i++) {
        if (!configuration_by_switch(run->configuration, &asked->list[i]))
            continue;
        struct configuration *turn = &turns->list[turns->count];
        *turn = asked->list[i];
        turn->params.mmu_switch = true;
        const char *missing = run_missing(&turn->params, host);
        turns->count += !missing;
        if (missing)
            refused_say(run, turn->name, why = missing);
    }
    for (unsigned i = 0; i < turns->count; i++) {
        struct params *p = &turns->list[i].params;
        p->limit *= turns->count;
        run->turn_effects[i].asked = *p;
        log_notice("by turns: %s", turns->list[i].name);
        run_choose(&run->turn_effects[i], host);
    }
    return turns->count ? NULL : why;
}

static void run_prepared(const struct run *run, struct vm *vm, struct host *host)
{
    struct outcome *o = run->outcome;
    vm->compare = true;
    vm->run = run->number;
    vm->round = run->round;
    vm->configuration = run->configuration->name;
    if (run->configuration->by_switch)
        vm->modes.turns = run->turns;
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

// NULL, or why it cannot run.
static const char *run_ask(const struct run *run, const struct configurations *asked, const struct host *host)
{
    struct effect *effect = &run->outcome->effect;
    effect->asked = effect->now = run->configuration->params;
    if (run->configuration->by_switch) {
        const char *why = turns_choose(run, asked, host);
        if (!why)
            *effect = run->turn_effects[0];
        return why;
    }
    const char *why = run_missing(&effect->asked, host);
    if (!why)
        run_choose(effect, host);
    return why;
}

static void run_one(const struct run *run, const struct configurations *asked, struct vm *vm,
                    struct host *host)
{
    struct effect *effect = &run->outcome->effect;
    log_notice("comparison: %u of %u, %s", run->number, run->of, run->configuration->name);
    const char *why = run_ask(run, asked, host);
    if (why) {
        refuse(run, why);
        return;
    }
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
            .turns = &c->turns,
            .turn_effects = c->turn_effects,
            .configuration = &c->configurations.list[which],
            .outcome = &c->outcomes[which],
            .number = i + 1,
            .of = rounds * count,
            .round = i / count + 1,
        };
        run_one(&run, &c->asked, vm, host);
    }
    for (unsigned i = 0; i < count; i++)
        results_json(c, i);
    end_json(c);
    log_notice("comparison: all have run; its table:");
    compare_table(c);
    log_notice("comparison: end of the table");
}
