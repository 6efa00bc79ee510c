// The run loop and the dispatcher: from the exit reason to a handler, from its verdict to the next entry.
#include <arch/console.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/panic.h>
#include <hv/log.h>
#include <hv/mmu.h>

#include "auto_mode.h"
#include "debug.h"
#include "devices.h"
#include "due.h"
#include "dump_vmcs.h"
#include "event.h"
#include "exit.h"
#include "exit_names.h"
#include "guest_access.h"
#include "keys.h"
#include "legacy.h"
#include "mode.h"
#include "nmi.h"
#include "paging.h"
#include "profile.h"
#include "stop.h"
#include "trace.h"
#include "../vm.h"

#define REASON_BASIC   0xffff
#define REASON_FAILURE BIT(31)
#define DELIVERY       1

struct exit_row {
    enum verdict (*handle)(struct vcpu *);
    unsigned flags;
};

static const struct exit_row exits[EXIT_REASONS] = {
#define EXIT(number, name, handler, flags) [number] = {handler, flags},
#include "exits.def"
#undef EXIT
};

// The dump reads fields that the processor may not have: each such VMREAD leaves its own error number.
static enum verdict entry_failed(struct vcpu *v)
{
    u64 error = 0;
    bool known = vmcs_try_read(VM_INSTRUCTION_ERROR, &error);
    vmcs_dump();
    return vm_fail(v, "VM entry failed: VM-instruction error %lu (SDM vol. 3, 31.4)", known ? error : 0);
}

static enum verdict unexpected(struct vcpu *v, u64 reason)
{
    if ((reason & REASON_BASIC) == EXIT_ENTRY_FAILURE_MACHINE_CHECK)
        return exit_machine_check(v);
    vmcs_dump();
    if (reason & REASON_FAILURE)
        return vm_fail(v, "VM entry failed: %s, qualification %lu: %s", exit_name(reason & REASON_BASIC),
                       vmcs_read(EXIT_QUALIFICATION), vmcs_guest_state_problem());
    return vm_fail(v, "unexpected exit %lu (%s)", reason & REASON_BASIC, exit_name(reason & REASON_BASIC));
}

static void skip_instruction(struct vcpu *v)
{
    u64 rip = vmcs_read(GUEST_RIP);
    u64 next = rip + vmcs_read(EXIT_INSTRUCTION_LENGTH);
    if ((rip ^ next) >> 32 && vcpu_code_bits(v) != 64)
        next = (u32)next; // EIP wraps
    vmcs_write(GUEST_RIP, next);
    u64 rflags = vmcs_read(GUEST_RFLAGS);
    event_instruction_done(v, rflags, rflags);
}

// Past an instruction that is done.
static inline void move_rip(struct vcpu *v, enum verdict verdict)
{
    if (verdict == VERDICT_SKIP)
        skip_instruction(v);
    else if (verdict == VERDICT_NEXT)
        vmcs_write(GUEST_RIP, v->next_rip);
}

// audit=: after every v->audit exits one of the tables that the back end keeps.
static enum verdict audit(struct vcpu *v)
{
    char wrong[160];
    if (!v->audit || !v->mmu->ops->audit || ++v->unaudited < v->audit)
        return VERDICT_RESUME;
    v->unaudited = 0;
    if (mmu_audit(v, 1, wrong, sizeof(wrong)))
        return VERDICT_RESUME;
    return vm_stop_unsupported(v, "audit: after exit %s: %s", exit_name((unsigned)v->exit_reason), wrong);
}

// What was asked for since the last entry is done before the next one.
static inline enum verdict follow(struct vcpu *v)
{
    if (unlikely(v->vm->modes.asked)) {
        mode_change(v);
        auto_mode_follow(v);
    }
    if (v->unsupported)
        return vm_stop_unsupported(v, "%s", v->unsupported);
    if (v->refresh || v->refresh_controls)
        paging_refresh(v);
    return VERDICT_RESUME;
}

// For who wants to know each exit.
static void observe(struct vcpu *v, enum verdict verdict)
{
    trace_exit(v, verdict);
    profile_exit(v);
}

// What is seldom to be done after an exit.
static __attribute__((noinline)) enum verdict attend(struct vcpu *v, enum verdict verdict)
{
    if (v->observed)
        observe(v, verdict);
    move_rip(v, verdict);
    if (verdict == VERDICT_STOP)
        return verdict;
    if (v->observed) {
        churn_exit(v);
        mode_churn(v);
    }
    if (follow(v) == VERDICT_STOP)
        return VERDICT_STOP;
    return v->observed ? audit(v) : verdict;
}

static enum verdict dispatch(struct vcpu *v)
{
    u64 reason = vmcs_read(EXIT_REASON);
    v->exit_reason = reason & REASON_BASIC;
    if (reason >= EXIT_REASONS || !exits[reason].handle)
        return unexpected(v, reason);
    struct exit_account *account = &v->exits[reason];
    account->count++;
    v->account = account;
    const struct exit_row *row = &exits[reason];
    v->delivering = row->flags & DELIVERY && event_redeliver(v);
    enum verdict verdict = row->handle(v);
    bool seldom = v->refresh || v->refresh_controls || v->observed;
    if (unlikely(seldom))
        return attend(v, verdict);
    move_rip(v, verdict);
    return verdict;
}

static __attribute__((noinline)) enum verdict not_entered(struct vcpu *v, enum world_result result)
{
    v->account = &v->outside;
    return result == WORLD_NMI ? nmi_take(v) : entry_failed(v);
}

// Puts what the monitor has spent since the last exit to that exit's account. The TSC of now.
static inline u64 account_exit(struct vcpu *v)
{
    struct exit_account *to = v->account;
    u64 now = rdtsc(), cycles = now - v->last_exit;
    v->monitor_cycles += cycles;
    to->cycles += cycles;
    to->log2[__builtin_clzl(cycles | 1) ^ 63]++;
    return now;
}

// Does what is due by the clock. What it costs is no exit's.
static __attribute__((noinline)) enum verdict take_due(struct vcpu *v, u64 now)
{
    if (due_end_reached(v, now))
        return due_end(v);
    v->last_exit = now;
    v->account = &v->outside;
    v->behind = false;
    console_draw();
    devices_due(v);
    bool any;
    enum verdict verdict = v->polled ? keys_read(v, &any) : VERDICT_RESUME;
    auto_mode_due(v, now);
    mode_due(v, now);
    due_set(v, now);
    due_arm(v, legacy_wait(v));
    return verdict == VERDICT_STOP ? verdict : follow(v);
}

// Enters the guest once and handles what comes of it.
static enum verdict run_once(struct vcpu *v)
{
    u64 now = account_exit(v);
    if (unlikely(now - v->due_from >= v->due_after))
        return take_due(v, now);
    enum world_result result = world_switch(&v->world);
    bool entered = result == WORLD_EXIT;
    v->last_exit = rdtsc();
    v->cr3_unseen = true;
    return likely(entered) ? dispatch(v) : not_entered(v, result);
}

// The instruction that ended the guest, found by a walk that changes nothing.
static void say_last_words(struct vcpu *v)
{
    u8 bytes[15];
    char text[64] = "?";
    unsigned count = guest_last_bytes(v, bytes, sizeof(bytes));
    for (unsigned i = 0; i < count; i++)
        fmt(text + 3 * i, sizeof(text) - 3 * i, "%02x ", bytes[i]);
    log_error("at RIP 0x%lx: %s", vmcs_read(GUEST_RIP), text);
}

// In the middle of an exit: the screen will be drawn a little later.
static void screen_behind(void *told)
{
    struct vcpu *v = told;
    due_draw(v);
    due_arm(v, legacy_wait(v));
}

// Where nothing makes a guest exit, the screen is drawn at once.
void vcpu_run(struct vcpu *v)
{
    u64 pause = v->vm->tsc_hz / DUE_DRAWS_PER_SECOND;
    v->started = v->last_exit = rdtsc();
    v->account = &v->outside;
    auto_mode_follow(v);
    due_set(v, v->started);
    console_draw_every(due_has_timer(v) ? pause : 0, screen_behind, v);
    enum verdict verdict = attend(v, VERDICT_RESUME);
    while (likely(verdict != VERDICT_STOP))
        verdict = run_once(v);
    console_draw_every(pause, NULL, NULL); // the statistics follow
    if (v->vm->says_where)
        say_last_words(v);
}
