// See trace.h.
#include <arch/lib.h>
#include <arch/phys.h>
#include <arch/vmcs.h>

#include <arch/console.h>
#include <hv/log.h>

#include "exit_names.h"
#include "trace.h"
#include "../vm.h"

#define MARK 0xffffffffu // in place of an exit reason

struct trace_record {
    u64 tsc;
    u64 spent; // v->monitor_cycles then: without what it costs itself
    u64 rip;
    u64 detail; // exit qualification; of a mark its value
    u32 reason;
    u32 verdict;
};

int trace_init(struct trace *t, struct frames *frames, u64 size)
{
    mfn_t block;
    *t = (struct trace){.size = size};
    if (!size)
        return 0;
    int error = frames_alloc(frames, frames_order(size * sizeof(struct trace_record)), FRAME_MONITOR, &block);
    if (!error)
        t->records = mfn_ptr(block);
    return error;
}

static void add(struct trace *t, struct trace_record record)
{
    t->records[t->count++ % t->size] = record;
}

void trace_exit(struct vcpu *v, enum verdict verdict)
{
    if (!trace_on(&v->vm->trace))
        return;
    add(&v->vm->trace, (struct trace_record){
                           .tsc = v->last_exit,
                           .spent = v->monitor_cycles,
                           .rip = vmcs_read(GUEST_RIP),
                           .detail = vmcs_read(EXIT_QUALIFICATION),
                           .reason = (u32)v->exit_reason,
                           .verdict = verdict,
                       });
}

void trace_mark(struct vcpu *v, u64 value)
{
    add(&v->vm->trace, (struct trace_record){
                           .tsc = v->last_exit,
                           .spent = v->monitor_cycles,
                           .rip = vmcs_read(GUEST_RIP),
                           .detail = value,
                           .reason = MARK,
                       });
}

static const struct trace_record *record_at(const struct trace *t, u64 n)
{
    return &t->records[n % t->size];
}

// What exit n has cost is known when there is a later one.
static void print_exit(const struct trace *t, u64 n)
{
    static const char *const verdicts[] = {[VERDICT_RESUME] = "resume",
                                           [VERDICT_SKIP] = "skip",
                                           [VERDICT_NEXT] = "next",
                                           [VERDICT_FAULT] = "fault",
                                           [VERDICT_STOP] = "stop"};
    const struct trace_record *r = record_at(t, n);
    char cycles[24] = "-";
    if (n + 1 < t->count)
        fmt(cycles, sizeof(cycles), "%lu", record_at(t, n + 1)->spent - r->spent);
    console_print("  %18lu %8s %-20s rip 0x%lx qualification 0x%lx %s\n", r->tsc, cycles,
                  exit_name(r->reason), r->rip, r->detail, verdicts[r->verdict]);
}

u64 trace_print(const struct trace *t)
{
    if (!t->records)
        return 0;
    u64 kept = t->count < t->size ? t->count : t->size;
    log_notice("trace:");
    console_print("\n  trace of the last %lu of %lu exits and marks: TSC, cycles in the monitor, what\n",
                  kept, t->count);
    for (u64 n = t->count - kept; n < t->count; n++) {
        const struct trace_record *r = record_at(t, n);
        if (r->reason == MARK)
            console_print("  %18lu %8s mark %lu rip 0x%lx\n", r->tsc, "", r->detail, r->rip);
        else
            print_exit(t, n);
    }
    console_print("\n");
    log_notice("end of the trace");
    return kept;
}
