// How a guest ends: recorded here by whoever ends it, acted upon by the run loop (exit.c), which gets the
// verdict.
#pragma once

#include "verdict.h"

// Ends the guest: what is said becomes vm->end. vm_fail: by a mistake, so that a comparison does not count
// the run. vm_stop_unsupported is for what the monitor cannot do: the same, and the run loop adds RIP and the
// bytes of the instruction.
enum verdict vm_stop(struct vcpu *v, const char *format, ...) printf_like(2);
enum verdict vm_fail(struct vcpu *v, const char *format, ...) printf_like(2);
enum verdict vm_stop_unsupported(struct vcpu *v, const char *format, ...) printf_like(2);
