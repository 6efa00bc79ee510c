// What the handler of a VM exit says of it. Only the dispatcher (exit.c) moves RIP.
#pragma once

#include <hv/vcpu.h>

enum verdict {
    VERDICT_RESUME, // run on at the same RIP: the instruction is run again, or has not begun
    VERDICT_SKIP,   // the instruction is done: move RIP past it
    VERDICT_NEXT,   // it is done, RFLAGS too (event_instruction_done): move RIP to v->next_rip
    VERDICT_FAULT,  // an exception is queued (event.h): same RIP
    VERDICT_STOP,   // the guest has ended: vm->end says why
};
