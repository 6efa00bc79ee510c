// The world switch: one VM entry and the VM exit that follows it, as one function call.
#pragma once

#include <arch/gprs.h>
#include <arch/types.h>

struct world {
    struct gprs regs; // the guest's, but RSP
    u64 host_rsp;     // the value that the VMCS holds in HOST_RSP
    u64 launched;     // 0: VMLAUNCH, else VMRESUME
};

enum world_result {
    WORLD_EXIT = 0,   // a VM exit: the exit fields of the VMCS tell
    WORLD_FAILED = 1, // VMLAUNCH or VMRESUME failed with VMfail: VM_INSTRUCTION_ERROR tells
    WORLD_NMI = 2,    // not entered: an NMI has come since the last world_nmi_take
};

// Enters the guest of the current VMCS. Sets `launched`. Interrupts stay off throughout. It is no ordinary
// call: most registers that a function keeps for its caller are lost here, so that nothing is saved but what
// the caller needs.
static inline enum world_result world_switch(struct world *w)
{
    enum world_result result;
    __asm__ volatile("call world_enter"
                     : "=a"(result), "+D"(w)
                     :
                     : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc",
                       "memory");
    return result;
}

// NMIs that arrived in root mode since the last call.
u64 world_nmi_take(void);
