// Instructions that touch what is not RAM.
#pragma once

#include "exit.h"

// Completes the instruction at RIP in software: its accesses go to RAM, to device models, or nowhere.
enum verdict mmio_emulate(struct vcpu *v);
