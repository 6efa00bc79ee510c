// What the hardware says went wrong with it.
#pragma once

#include <arch/mca.h>
#include <hv/log.h>

// A line for each bank of a processor's log: when it was, whose it is, what the bank holds.
void hardware_say(enum log_level level, const char *when, u32 apic_id, const struct mca_log *log);
