// See compare.h.
#include <arch/console.h>
#include <arch/lib.h>
#include <hv/log.h>

#include "compare.h"
#include "json.h"
#include "machine.h"
#include "summary.h"

#define NAME_BYTES 160 // of a configuration's name in JSON
#define TEXT_BYTES 600

static void machine_json(const struct comparison *c, const struct host *host)
{
    struct machine m;
    char version[64], processor[120], hypervisor[32];
    machine_read(&m);
    json_quote(version, sizeof(version), machine_monitor_version);
    json_quote(processor, sizeof(processor), m.processor);
    json_quote(hypervisor, sizeof(hypervisor), m.hypervisor);
    console_say("{\"penumbra\":\"machine\",\"version\":%s,\"processor\":%s,\"signature\":\"0x%x\","
                "\"microcode\":\"0x%x\",\"hypervisor\":%s,",
                version, processor, m.signature, m.microcode, hypervisor);
    console_say("\"clock\":\"%s\",\"tsc_khz\":%lu,\"free_mib\":%lu,\"configurations\":%u}\n",
                m.counts_instructions ? "instructions" : "time", host->rates.tsc_hz / 1000,
                host->frames.count[FRAME_FREE] * PAGE_SIZE / MIB, c->configurations.count);
}

static void begin_json(unsigned run, const struct configuration *configuration)
{
    char name[NAME_BYTES], text[1024], parameters[1024];
    json_quote(name, sizeof(name), configuration->name);
    params_text(&configuration->params, text, sizeof(text));
    json_quote(parameters, sizeof(parameters), text);
    console_say("{\"penumbra\":\"begin\",\"run\":%u,\"configuration\":%s,", run, name);
    console_say("\"parameters\":%s}\n", parameters);
}

static void refuse(struct outcome *o, unsigned run, const struct configuration *configuration,
                   const char *why)
{
    char name[NAME_BYTES], reason[TEXT_BYTES];
    o->refused = true;
    fmt(o->why, sizeof(o->why), "%s", why);
    log_error("%s cannot run here: %s", configuration->name, why);
    json_quote(name, sizeof(name), configuration->name);
    json_quote(reason, sizeof(reason), why);
    console_say("{\"penumbra\":\"refused\",\"run\":%u,\"configuration\":%s,\"reason\":%s}\n", run, name,
                reason);
}

static void run_one(struct comparison *c, unsigned i, struct vm *vm, struct host *host)
{
    struct configuration *configuration = &c->configurations.list[i];
    struct outcome *o = &c->outcomes[i];
    log_notice("comparison: %u of %u, %s", i + 1, c->configurations.count, configuration->name);
    const char *why = run_missing(&configuration->params, host);
    if (why) {
        refuse(o, i + 1, configuration, why);
        return;
    }
    why = run_prepare(vm, host, &configuration->params);
    vm->run = i + 1;
    vm->configuration = configuration->name;
    vm->compare = true;
    if (why) {
        refuse(o, i + 1, configuration, why);
    } else {
        begin_json(i + 1, configuration);
        run_guest(vm);
        o->failed = vm->failed;
        o->milliseconds = vm_milliseconds(vm);
        o->results = vm->results;
        fmt(o->why, sizeof(o->why), "%s", vm->end);
        summary_json(vm);
        log_message(vm->failed ? LOG_ERROR : LOG_NOTICE,
                    "comparison: %u of %u, %s: %s after %lu s, %u results", i + 1, c->configurations.count,
                    configuration->name, vm->end, o->milliseconds / 1000, vm->results.count);
    }
    run_release(vm, host);
}

static void results_json(const struct comparison *c)
{
    unsigned refused = 0, failed = 0;
    for (unsigned i = 0; i < c->configurations.count; i++) {
        const struct outcome *o = &c->outcomes[i];
        char name[NAME_BYTES];
        json_quote(name, sizeof(name), c->configurations.list[i].name);
        refused += o->refused;
        failed += o->failed;
        for (unsigned j = 0; j < o->results.count; j++) {
            const struct penumbra_result *r = &o->results.rows[j];
            console_say("{\"penumbra\":\"result\",\"run\":%u,\"configuration\":%s,\"workload\":\"%s\",",
                        i + 1, name, r->workload);
            console_say(
                "\"iterations\":%lu,\"repetitions\":%lu,\"median\":%lu,\"lowest\":%lu,\"highest\":%lu,"
                "\"exits\":%lu}\n",
                r->iterations, r->repetitions, r->median, r->lowest, r->highest, r->exits);
        }
    }
    console_say("{\"penumbra\":\"end\",\"configurations\":%u,\"refused\":%u,\"failed\":%u}\n",
                c->configurations.count, refused, failed);
}

void compare_run(struct comparison *c, struct vm *vm, struct host *host)
{
    machine_json(c, host);
    for (unsigned i = 0; i < c->configurations.count; i++)
        run_one(c, i, vm, host);
    results_json(c);
    compare_table(c);
}
