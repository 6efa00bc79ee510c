// The run loop, and the handlers that its table (exits.def) calls: one VM exit, one handler, one verdict.
// Handlers of lower layers are in debug.h, event.h and legacy.h.
#pragma once

#include "verdict.h"

enum verdict exit_exception(struct vcpu *v);
enum verdict exit_machine_check(struct vcpu *v);
enum verdict exit_init(struct vcpu *v);
enum verdict exit_task_switch(struct vcpu *v);
enum verdict exit_cpuid(struct vcpu *v);
enum verdict exit_undefined(struct vcpu *v);
enum verdict exit_invd(struct vcpu *v);
enum verdict exit_rdpmc(struct vcpu *v);
enum verdict exit_vmcall(struct vcpu *v);
enum verdict exit_cr_access(struct vcpu *v);
enum verdict exit_io(struct vcpu *v);
enum verdict exit_rdmsr(struct vcpu *v);
enum verdict exit_wrmsr(struct vcpu *v);
enum verdict exit_ept_violation(struct vcpu *v);
enum verdict exit_ept_misconfiguration(struct vcpu *v);
enum verdict exit_xsetbv(struct vcpu *v);
enum verdict exit_invlpg(struct vcpu *v);
enum verdict exit_invpcid(struct vcpu *v);

// A #PF that exited: shadow paging (fault.c).
enum verdict exit_page_fault(struct vcpu *v);

// Runs the guest until it ends.
void vcpu_run(struct vcpu *v);
