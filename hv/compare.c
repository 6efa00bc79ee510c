// See compare.h.
#include <arch/console.h>
#include <arch/lib.h>
#include <hv/log.h>

#include "compare.h"
#include "json.h"
#include "machine.h"
#include "summary.h"

static void machine_json(const struct comparison *c, const struct host *host)
{
    struct machine m;
    machine_read(&m);
    console_print("{\"penumbra\":\"machine\",\"version\":");
    json_print(machine_monitor_version);
    console_print(",\"processor\":");
    json_print(m.processor);
    console_print(",\"signature\":\"0x%x\",\"microcode\":\"0x%x\",\"hypervisor\":", m.signature, m.microcode);
    json_print(m.hypervisor);
    console_print(",\"clock\":\"%s\",\"tsc_khz\":%lu,\"free_mib\":%lu,\"configurations\":%u}\n",
                  m.counts_instructions ? "instructions" : "time", host->rates.tsc_hz / 1000,
                  host->frames.count[FRAME_FREE] * PAGE_SIZE / MIB, c->configurations.count);
}

// The begin of a line about one configuration.
static void line_begin(const char *what, unsigned run, const struct configuration *configuration)
{
    console_print("{\"penumbra\":\"%s\",\"run\":%u,\"configuration\":", what, run);
    json_print(configuration->name);
}

static void begin_json(unsigned run, const struct configuration *configuration)
{
    char text[1024];
    params_text(&configuration->params, text, sizeof(text));
    line_begin("begin", run, configuration);
    console_print(",\"parameters\":");
    json_print(text);
    console_print("}\n");
}

static void refuse(struct outcome *o, unsigned run, const struct configuration *configuration,
                   const char *why)
{
    o->refused = true;
    fmt(o->why, sizeof(o->why), "%s", why);
    log_error("%s cannot run here: %s", configuration->name, why);
    line_begin("refused", run, configuration);
    console_print(",\"reason\":");
    json_print(why);
    console_print("}\n");
}

static void run_prepared(struct outcome *o, struct vm *vm)
{
    run_guest(vm);
    o->failed = vm->failed;
    o->milliseconds = vm_milliseconds(vm);
    o->results = vm->results;
    fmt(o->why, sizeof(o->why), "%s", vm->end);
    trace_print(&vm->trace);
    summary_json(vm);
}

static void run_one(struct comparison *c, unsigned i, struct vm *vm, struct host *host)
{
    struct configuration *configuration = &c->configurations.list[i];
    struct outcome *o = &c->outcomes[i];
    unsigned run = i + 1, of = c->configurations.count;
    log_notice("comparison: %u of %u, %s", run, of, configuration->name);
    const char *why = run_missing(&configuration->params, host);
    if (why) {
        refuse(o, run, configuration, why);
        return;
    }
    why = run_prepare(vm, host, &configuration->params);
    vm->compare = true;
    vm->run = run;
    vm->configuration = configuration->name;
    if (why) {
        refuse(o, run, configuration, why);
    } else {
        begin_json(run, configuration);
        run_prepared(o, vm);
        log_message(o->failed ? LOG_ERROR : LOG_NOTICE,
                    "comparison: %u of %u, %s: %s after %lu s, %u results", run, of, configuration->name,
                    o->why, o->milliseconds / 1000, o->results.count);
    }
    run_release(vm, host);
}

static void results_json(const struct comparison *c)
{
    for (unsigned i = 0; i < c->configurations.count; i++) {
        const struct results *results = &c->outcomes[i].results;
        for (unsigned j = 0; j < results->count; j++) {
            const struct penumbra_result *r = &results->rows[j];
            line_begin("result", i + 1, &c->configurations.list[i]);
            console_print(",\"workload\":\"%s\",\"iterations\":%lu,\"repetitions\":%lu,\"median\":%lu,"
                          "\"lowest\":%lu,\"highest\":%lu,\"exits\":%lu}\n",
                          r->workload, r->iterations, r->repetitions, r->median, r->lowest, r->highest,
                          r->exits);
        }
    }
}

static void end_json(const struct comparison *c)
{
    unsigned refused = 0, failed = 0;
    for (unsigned i = 0; i < c->configurations.count; i++) {
        refused += c->outcomes[i].refused;
        failed += c->outcomes[i].failed;
    }
    console_print("{\"penumbra\":\"end\",\"configurations\":%u,\"refused\":%u,\"failed\":%u}\n",
                  c->configurations.count, refused, failed);
}

void compare_run(struct comparison *c, struct vm *vm, struct host *host)
{
    machine_json(c, host);
    for (unsigned i = 0; i < c->configurations.count; i++)
        run_one(c, i, vm, host);
    results_json(c);
    end_json(c);
    compare_table(c);
}
