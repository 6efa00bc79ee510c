// The guest's general-purpose registers as the world switch saves and loads them, and as the emulation of an
// instruction changes them. The order is that of their encoding in instructions, so that a register number
// taken from a ModRM byte or from an exit qualification is an index. RSP, RIP and RFLAGS live in the VMCS:
// whoever uses r[GPR_RSP] copies it there and back.
#pragma once

#include <arch/types.h>

enum gpr {
    GPR_RAX,
    GPR_RCX,
    GPR_RDX,
    GPR_RBX,
    GPR_RSP,
    GPR_RBP,
    GPR_RSI,
    GPR_RDI,
    GPR_R8,
    GPR_R15 = 15,
    GPRS
};

struct gprs {
    u64 r[GPRS];
};
