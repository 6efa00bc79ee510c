// Instructions that touch what is not RAM.
#pragma once

#include "verdict.h"

// Completes the instruction at RIP in software: its accesses go to RAM, to device models, or nowhere. What
// the exit said of the access, "gpa" or "gva" and the address, is for the sentence that ends the guest when
// the instruction is not known.
enum verdict mmio_emulate(struct vcpu *v, const char *space, u64 address);
