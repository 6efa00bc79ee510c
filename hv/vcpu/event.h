// Events for the guest: exceptions that it caused, NMIs, and deliveries that an exit interrupted.
// SDM vol. 3, 25.8.3 (injection) and 25.9.3 (IDT-vectoring information).
#pragma once

#include <arch/cpu.h>

#include "verdict.h"

#define INFO_VALID         BIT(31) // of an interruption-information field
#define INFO_VECTOR        0xff
#define INFO_TYPE(t)       ((u64)(t) << 8)
#define INFO_TYPE_OF(info) ((info) >> 8 & 7)
// Of an exit's, and of an EPT violation's qualification: an IRET that has not completed has unblocked NMIs
// (SDM vol. 3, 28.2.3).
#define NMI_UNBLOCKED BIT(12)

enum {
    TYPE_INTERRUPT = 0,
    TYPE_NMI = 2,
    TYPE_EXCEPTION = 3,
    TYPE_SOFTWARE_INTERRUPT = 4,
    TYPE_INT1 = 5, // "privileged software exception"
    TYPE_SOFTWARE_EXCEPTION = 6
};

#define BLOCKING_STI    BIT(0) // of the interruptibility state
#define BLOCKING_MOV_SS BIT(1)

// Queue an exception for the next entry and return VERDICT_FAULT. It is a fault of the instruction at RIP:
// its frame has RFLAGS.RF set (SDM vol. 3, 18.3.1.1). Without CR0.PE there is no error code.
enum verdict event_ud(struct vcpu *v);
enum verdict event_gp(struct vcpu *v); // error code 0
enum verdict event_exception(struct vcpu *v, unsigned vector, u32 error_code);
enum verdict event_pf(struct vcpu *v, u64 gva, u32 error_code); // also sets CR2

// The same for a #PF that exited, while nothing was being delivered: what the processor has saved at the exit
// fits its delivery already, so none of it is read.
enum verdict event_pf_that_exited(struct vcpu *v, u64 gva, u32 error_code);

// Queues a #DB, or an INT1 of so many bytes (0: it is no INT1), with RFLAGS.RF as it is. What #DB does to
// debug registers is debug.h's.
enum verdict event_debug(struct vcpu *v, u64 int1_length);

// If the exit interrupted the delivery of an event, queues that event again. True if it did.
void event_queue_again(struct vcpu *v, u64 idt_vectoring_info);
static inline bool event_redeliver(struct vcpu *v)
{
    u64 info = vmcs_read(IDT_VECTORING_INFO);
    if (likely(!(info & INFO_VALID)))
        return false;
    event_queue_again(v, info);
    return true;
}

// A true #PF while the event of the IDT-vectoring information was being delivered: in place of what
// event_redeliver has queued a #PF, after a #PF a #DF, after a #DF the end of the run (SDM vol. 3, table
// 6-5).
enum verdict event_pf_in_delivery(struct vcpu *v, u64 gva, u32 error_code);

// The instruction at RIP is an IRET that runs again after an exit with NMI_UNBLOCKED: it finds NMIs blocked
// as it did before. Not where the exit interrupted a delivery, in which the bit means nothing.
void event_block_nmis(struct vcpu *v);

// Whether an external interrupt can be injected at the next entry; the injection, if so; and an exit as soon
// as one can be, or no longer.
bool event_takes_interrupt(struct vcpu *v);
void event_interrupt(struct vcpu *v, u8 vector);
void event_interrupt_window(struct vcpu *v, bool wanted);

// The first processors with VT-x have no virtual NMIs. There an NMI for the guest blocks the machine's own
// NMIs, the console's too, and the guest's IRET does not end that (SDM vol. 3, 26.3). So from each NMI on
// there is an exit as soon as the guest takes interrupts: then its handler is taken to have ended, NMIs are
// unblocked, and one that waits is delivered. For the handler of that exit, before it looks at its own.
void event_nmi_by_interrupt_window(struct vcpu *v);

// Gives the guest an NMI: at once, or as soon as NMIs are not blocked. At an exit between two instructions;
// later: also while an instruction is carried out, at its end or after it.
void event_nmi(struct vcpu *v);
void event_nmi_later(struct vcpu *v);

// After an instruction was completed by the monitor, or one iteration of a repeated one, which is not the
// last. RFLAGS were `before`, and `after` is what the instruction makes of them. They are written: RF is
// clear after an instruction and set between iterations. STI and MOV SS blocking ends, single-stepping traps.
void event_single_step(struct vcpu *v);
static inline void event_progress(struct vcpu *v, u64 before, u64 rflags)
{
    u64 blocking = vmcs_read(GUEST_INTERRUPTIBILITY);
    if (unlikely(blocking & (BLOCKING_STI | BLOCKING_MOV_SS)))
        vmcs_write(GUEST_INTERRUPTIBILITY, blocking & ~(BLOCKING_STI | BLOCKING_MOV_SS));
    if (rflags != before)
        vmcs_write(GUEST_RFLAGS, rflags);
    if (unlikely(before & RFLAGS_TF))
        event_single_step(v);
}
static inline void event_instruction_done(struct vcpu *v, u64 before, u64 after)
{
    event_progress(v, before, after & ~RFLAGS_RF);
}
static inline void event_iteration_done(struct vcpu *v, u64 before, u64 after)
{
    event_progress(v, before, after | RFLAGS_RF);
}

// The handlers of a triple fault, and of an NMI window.
enum verdict exit_triple_fault(struct vcpu *v);
enum verdict exit_nmi_window(struct vcpu *v);
