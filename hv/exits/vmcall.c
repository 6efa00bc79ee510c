// VMCALL: what the guest may ask of the monitor (hv/vmcall.h is the contract, and for guest programs too).
// Guest memory is reached as the caller itself would reach it, in pieces of 8 bytes, and no more of it than
// the monitor has to tell: all arguments are the guest's, and may be anything. Nothing here injects an
// exception.
#include <arch/lib.h>

#include "auto_mode.h"
#include "exit.h"
#include "configurations.h"
#include "guest_access.h"
#include "mode.h"
#include "stop.h"
#include "../vm.h"

#define PIECE 8u

struct call {
    struct vcpu *v;
    struct guest_access memory;
    u64 argument[3];
    u64 address_mask; // addresses and arguments are as wide as the caller's mode makes them
    bool ends;        // the guest ends
};

static s64 piece_copy(struct call *c, u64 address, void *data, unsigned bytes, bool to_guest)
{
    u64 gva = address & c->address_mask, last = (gva + bytes - 1) & c->address_mask;
    if (last < gva) // the address space ends in it
        return PENUMBRA_FAULT;
    struct insn_address at = {gva, GUEST_FLAT};
    int error =
        to_guest ? guest_write(&c->memory, at, data, bytes) : guest_read(&c->memory, at, data, bytes, false);
    return error ? PENUMBRA_FAULT : 0;
}

static s64 copy(struct call *c, u64 address, void *data, u64 bytes, bool to_guest)
{
    for (u64 done = 0; done < bytes; done += PIECE) {
        unsigned part = bytes - done < PIECE ? (unsigned)(bytes - done) : PIECE;
        s64 error = piece_copy(c, address + done, (u8 *)data + done, part, to_guest);
        if (error)
            return error;
    }
    return 0;
}

static s64 call_counters(struct call *c)
{
    u64 values[COUNTERS_LISTED];
    u64 count = tally_list(c->v->vm, values), wanted = c->argument[1];
    s64 error = copy(c, c->argument[0], values, (wanted < count ? wanted : count) * sizeof(values[0]), true);
    return error ? error : (s64)count;
}

static s64 call_counter(struct call *c)
{
    struct penumbra_counter counter;
    if (tally_describe(c->v->vm, c->argument[0], &counter))
        return PENUMBRA_ARGUMENT;
    return copy(c, c->argument[1], &counter, sizeof(counter), true);
}

static s64 call_reset(struct call *c)
{
    tally_reset(c->v->vm);
    return 0;
}

static s64 call_mark(struct call *c)
{
    if (!trace_on(&c->v->vm->trace))
        return PENUMBRA_OFF;
    trace_mark(c->v, c->argument[0]);
    return 0;
}

static s64 call_trace(struct call *c)
{
    const struct trace *t = &c->v->vm->trace;
    return trace_on(t) ? (s64)trace_print(t) : PENUMBRA_OFF;
}

// Into the caller's buffer, (char *text, bytes), what there is room for.
static s64 answer(struct call *c, char *text)
{
    u64 bytes = strlen(text) + 1, room = c->argument[1];
    if (!room)
        return 0;
    if (bytes > room) {
        bytes = room;
        text[room - 1] = 0;
    }
    return copy(c, c->argument[0], text, bytes, true);
}

static s64 call_mode(struct call *c)
{
    char text[PARAMS_TEXT];
    s64 length = params_text(c->v->vm->params, text, sizeof(text));
    s64 error = answer(c, text);
    return error ? error : length;
}

static s64 call_stop(struct call *c)
{
    struct vm *vm = c->v->vm;
    vm->status = (u32)c->argument[0];
    vm->status_given = c->ends = true;
    return 0;
}

static s64 call_result(struct call *c)
{
    struct penumbra_result result;
    s64 error = copy(c, c->argument[0], &result, sizeof(result), false);
    return error ? error : results_add(c->v->vm, &result);
}

static s64 refuse(struct call *c, const char *why)
{
    char text[sizeof(c->v->vm->modes.why)];
    fmt(text, sizeof(text), "%s", why);
    s64 error = answer(c, text);
    return error ? error : PENUMBRA_ARGUMENT;
}

static s64 call_switch(struct call *c)
{
    char words[CONFIGURATION_TEXT + 1] = "";
    u64 room = c->argument[1];
    if (!c->v->vm->params->mmu_switch)
        return PENUMBRA_OFF;
    s64 error = copy(c, c->argument[0], words, room < CONFIGURATION_TEXT ? room : CONFIGURATION_TEXT, false);
    if (error)
        return error;
    if (strlen(words) == CONFIGURATION_TEXT)
        return refuse(c, "A mode has at most 63 characters.");
    const char *why = mode_ask(c->v, words);
    if (!why && c->argument[2])
        mode_lasts(c->v, lesser(c->argument[2], MODE_SECONDS_MAX));
    return why ? refuse(c, why) : 0;
}

static s64 call_feed(struct call *c)
{
    if (!c->v->vm->params->auto_feed)
        return PENUMBRA_OFF;
    auto_mode_feed(c->v, c->argument[0]);
    return 0;
}

static s64 call_modes(struct call *c)
{
    const struct configurations *turns = c->v->vm->modes.turns;
    char text[CONFIGURATIONS_MAX * CONFIGURATION_TEXT];
    size_t length = 0;
    if (!turns)
        return PENUMBRA_OFF;
    for (unsigned i = 0; i < turns->count; i++)
        length += (size_t)fmt(text + length, sizeof(text) - length, i ? "/%s" : "%s", turns->list[i].name);
    s64 error = answer(c, text);
    return error ? error : (s64)length;
}

static s64 (*const calls[])(struct call *) = {
    [PENUMBRA_COUNTERS] = call_counters, [PENUMBRA_COUNTER] = call_counter, [PENUMBRA_RESET] = call_reset,
    [PENUMBRA_MARK] = call_mark,         [PENUMBRA_TRACE] = call_trace,     [PENUMBRA_MODE] = call_mode,
    [PENUMBRA_STOP] = call_stop,         [PENUMBRA_RESULT] = call_result,   [PENUMBRA_SWITCH] = call_switch,
    [PENUMBRA_FEED] = call_feed,         [PENUMBRA_MODES] = call_modes,
};

static void call_make(struct call *c, struct vcpu *v)
{
    static const unsigned registers[] = {GPR_RDI, GPR_RSI, GPR_RDX};
    *c = (struct call){.v = v, .address_mask = vcpu_code_bits(v) == 64 ? ~0ul : 0xffffffff};
    for (unsigned i = 0; i < ARRAY_SIZE(registers); i++)
        c->argument[i] = *vcpu_reg(v, registers[i]) & c->address_mask;
    guest_access_init(&c->memory, v);
}

static s64 call_carry_out(struct call *c)
{
    struct vcpu *v = c->v;
    u64 number = *vcpu_reg(v, GPR_RAX) & c->address_mask;
    if (c->memory.walk.cpl == 3 && v->vm->params->vmcall != VMCALL_USER)
        return PENUMBRA_DENIED;
    if (number >= ARRAY_SIZE(calls) || !calls[number])
        return PENUMBRA_UNKNOWN;
    return calls[number](c);
}

enum verdict exit_vmcall(struct vcpu *v)
{
    struct call c;
    call_make(&c, v);
    *vcpu_reg(v, GPR_RAX) = (u64)call_carry_out(&c);
    return c.ends ? vm_stop(v, "guest ended with status %u", (u32)v->vm->status) : VERDICT_SKIP;
}
