// One VM exit: one handler, one verdict. Only the dispatcher (exit.c) moves RIP.
#pragma once

#include <hv/vcpu.h>

enum verdict {
    VERDICT_RESUME, // run on at the same RIP: the instruction is run again, or has not begun
    VERDICT_SKIP,   // the instruction is done: move RIP past it
    VERDICT_FAULT,  // an exception is queued (event.h): same RIP
    VERDICT_STOP,   // the guest has ended: vm->end says why
};

enum exit_reason {
#define EXIT(number, name, handler, flags) EXIT_##name = number,
#include "exits.def"
#undef EXIT
};

enum verdict exit_exception(struct vcpu *v);
enum verdict exit_triple_fault(struct vcpu *v);
enum verdict exit_init(struct vcpu *v);
enum verdict exit_interrupt_window(struct vcpu *v);
enum verdict exit_nmi_window(struct vcpu *v);
enum verdict exit_task_switch(struct vcpu *v);
enum verdict exit_cpuid(struct vcpu *v);
enum verdict exit_undefined(struct vcpu *v);
enum verdict exit_invd(struct vcpu *v);
enum verdict exit_rdpmc(struct vcpu *v);
enum verdict exit_vmcall(struct vcpu *v);
enum verdict exit_cr_access(struct vcpu *v);
enum verdict exit_mov_dr(struct vcpu *v);
enum verdict exit_io(struct vcpu *v);
enum verdict exit_rdmsr(struct vcpu *v);
enum verdict exit_wrmsr(struct vcpu *v);
enum verdict exit_ept_violation(struct vcpu *v);
enum verdict exit_xsetbv(struct vcpu *v);
enum verdict exit_invlpg(struct vcpu *v);
enum verdict exit_preemption_timer(struct vcpu *v);

// A #PF that exited: shadow paging (fault.c).
enum verdict exit_page_fault(struct vcpu *v);

// The name of a basic exit reason, or "?".
const char *exit_name(unsigned reason);

// Whether there can be exits of this reason that do not stop the guest.
bool exit_is_handled(unsigned reason);

// Runs the guest until it ends.
void vcpu_run(struct vcpu *v);
