// The last words of the monitor: registers, backtrace, stop.
#pragma once

#include <arch/traps.h>

_Noreturn void dump_trap(const struct trap_frame *frame);
// #MC in the monitor: the same, with what the machine-check banks hold.
_Noreturn void dump_machine_check(const struct trap_frame *frame);
