// See keys.h.
#include <arch/console.h>
#include <hv/log.h>

#include "keys.h"
#include "mode.h"
#include "stop.h"
#include "summary.h"
#include "../vm.h"

#define ESCAPE 0x01 // Ctrl-A

static enum verdict key_help(struct vcpu *v)
{
    (void)v;
    log_notice(
        "Ctrl-A h: this help; s: statistics; t: trace of the last exits (trace=); m: the next mode (mmu.switch=on); x: stop the guest; Ctrl-A Ctrl-A: send Ctrl-A to the guest");
    return VERDICT_RESUME;
}

static enum verdict key_statistics(struct vcpu *v)
{
    summary_table(v->vm);
    return VERDICT_RESUME;
}

static enum verdict key_trace(struct vcpu *v)
{
    if (!trace_on(&v->vm->trace))
        log_notice("no exits are traced: boot with trace=");
    trace_print(&v->vm->trace);
    return VERDICT_RESUME;
}

static enum verdict key_mode(struct vcpu *v)
{
    const char *why = mode_ask_next(v);
    const struct params *next = &v->vm->modes.wanted.now;
    char mmu[32], strategy[32];
    if (why) {
        log_warn("%s", why);
        return VERDICT_RESUME;
    }
    params_format(next, PARAM_INDEX_mmu, mmu, sizeof(mmu));
    params_format(next, PARAM_INDEX_shadow, strategy, sizeof(strategy));
    log_notice("the next mode: %s %s", mmu, next->mmu == MMU_SHADOW ? strategy : "");
    effect_say(&v->vm->modes.wanted);
    return VERDICT_RESUME;
}

static enum verdict key_stop(struct vcpu *v)
{
    return vm_stop(v, "stopped from the console");
}

static enum verdict key_escape(struct vcpu *v)
{
    uart_receive(&v->vm->uart, ESCAPE);
    return VERDICT_RESUME;
}

static const struct {
    u8 key;
    enum verdict (*act)(struct vcpu *);
} commands[] = {
    {'h', key_help}, {'s', key_statistics}, {'t', key_trace},
    {'m', key_mode}, {'x', key_stop},       {ESCAPE, key_escape},
};

static enum verdict command(struct vcpu *v, u8 key)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (commands[i].key == key)
            return commands[i].act(v);
    }
    return key_help(v);
}

enum verdict keys_read(struct vcpu *v, bool *any)
{
    bool *escaped = &v->vm->escaped;
    int byte;
    while ((byte = console_read()) >= 0) {
        *any = true;
        if (*escaped) {
            *escaped = false;
            if (command(v, (u8)byte) == VERDICT_STOP)
                return VERDICT_STOP;
        } else if (byte == ESCAPE) {
            *escaped = true;
        } else {
            uart_receive(&v->vm->uart, (u8)byte);
        }
    }
    return VERDICT_RESUME;
}
