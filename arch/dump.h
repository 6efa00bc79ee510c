// The last words of the monitor: registers, backtrace, stop.
#pragma once

#include <arch/traps.h>

_Noreturn void dump_trap(const struct trap_frame *frame);
