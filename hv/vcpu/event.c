// See event.h.
#include <arch/cpu.h>
#include <arch/io.h>

#include "event.h"
#include "exit_names.h"
#include "stop.h"
#include "../vm.h"

#define INFO_ERROR_CODE BIT(11)
#define INFO_REDELIVER  (INFO_VALID | INFO_ERROR_CODE | 0x7ff) // bit 12 of IDT-vectoring is undefined

#define BLOCKING_NMI    BIT(3)
#define PENDING_BS      BIT(14)
#define ACTIVITY_ACTIVE 0
#define DEBUGCTL_BTF    BIT(1) // RFLAGS.TF then traps after branches only (SDM vol. 3, 18.4.3)

// The exceptions that push an error code (SDM vol. 3, table 6-1): #DF #TS #NP #SS #GP #PF #AC #CP.
#define HAS_ERROR_CODE (BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17) | BIT(21))

static void set_rf(bool set)
{
    u64 is = vmcs_read(GUEST_RFLAGS), rflags = set ? is | RFLAGS_RF : is & ~RFLAGS_RF;
    if (rflags != is)
        vmcs_write(GUEST_RFLAGS, rflags);
}

// An NMI whose delivery an exception interrupts is lost, and blocks NMIs until the handler's IRET.
static u64 blocking_of_delivery(void)
{
    return INFO_TYPE_OF(vmcs_read(IDT_VECTORING_INFO)) == TYPE_NMI ? BLOCKING_NMI : 0;
}

// An exception that is delivered ends what STI and MOV SS block, and a wait in HLT. VM entry refuses some
// that do not fit these (SDM vol. 3, 27.3.1.5).
static enum verdict queue_exception(struct vcpu *v, u64 info)
{
    u64 before = vmcs_read(GUEST_INTERRUPTIBILITY), blocking = before & ~(BLOCKING_STI | BLOCKING_MOV_SS);
    if (v->delivering) {
        blocking |= blocking_of_delivery();
        vmcs_write(GUEST_ACTIVITY_STATE, ACTIVITY_ACTIVE);
    }
    if (blocking != before)
        vmcs_write(GUEST_INTERRUPTIBILITY, blocking);
    vmcs_write(ENTRY_INTERRUPTION_INFO, info);
    return VERDICT_FAULT;
}

enum verdict event_exception(struct vcpu *v, unsigned vector, u32 error_code)
{
    u64 info = INFO_VALID | INFO_TYPE(TYPE_EXCEPTION) | vector;
    if (HAS_ERROR_CODE & BIT(vector) && vmcs_read(GUEST_CR0) & CR0_PE) {
        info |= INFO_ERROR_CODE;
        vmcs_write(ENTRY_EXCEPTION_ERROR_CODE, error_code);
    }
    set_rf(true);
    return queue_exception(v, info);
}

enum verdict event_debug(struct vcpu *v, u64 int1_length)
{
    if (int1_length)
        vmcs_write(ENTRY_INSTRUCTION_LENGTH, int1_length);
    unsigned type = int1_length ? TYPE_INT1 : TYPE_EXCEPTION;
    return queue_exception(v, INFO_VALID | INFO_TYPE(type) | VECTOR_DB);
}

enum verdict event_ud(struct vcpu *v)
{
    return event_exception(v, VECTOR_UD, 0);
}

enum verdict event_gp(struct vcpu *v)
{
    return event_exception(v, VECTOR_GP, 0);
}

enum verdict event_pf(struct vcpu *v, u64 gva, u32 error_code)
{
    write_cr2(gva); // the guest's CR2 is the processor's: neither entry nor exit touches it
    return event_exception(v, VECTOR_PF, error_code);
}

enum verdict event_pf_that_exited(struct vcpu *v, u64 gva, u32 error_code)
{
    (void)v;
    write_cr2(gva);
    vmcs_write(ENTRY_EXCEPTION_ERROR_CODE, error_code);
    vmcs_write(ENTRY_INTERRUPTION_INFO, INFO_VALID | INFO_ERROR_CODE | INFO_TYPE(TYPE_EXCEPTION) | VECTOR_PF);
    return VERDICT_FAULT;
}

static void unblock_nmis(void)
{
    u64 blocking = vmcs_read(GUEST_INTERRUPTIBILITY);
    if (blocking & BLOCKING_NMI)
        vmcs_write(GUEST_INTERRUPTIBILITY, blocking & ~BLOCKING_NMI);
}

// A #PF exit has saved RFLAGS with RF as in the frame of the #PF, which is set. In the frame of what was
// being delivered it is set for faults; for interrupts between iterations too, which nobody can tell any
// more.
static void rf_of_delivery(const struct vcpu *v, u64 info)
{
    bool fault = INFO_TYPE_OF(info) == TYPE_EXCEPTION && (info & INFO_VECTOR) != VECTOR_DB;
    if (v->exit_reason == EXIT_EXCEPTION_OR_NMI && !fault)
        set_rf(false);
}

// Exits as soon as the guest can take an NMI, or an interrupt.
static void window(struct vcpu *v, u32 control, bool open)
{
    u32 controls = open ? v->proc_controls | control : v->proc_controls & ~control;
    if (controls != v->proc_controls)
        vmcs_write(PROCESSOR_BASED_CONTROLS, controls);
    v->proc_controls = controls;
}

static bool has_virtual_nmis(const struct vcpu *v)
{
    return v->caps->pin.may & PIN_VIRTUAL_NMIS;
}

// See event.h, exit_interrupt_window.
static void nmi_window(struct vcpu *v, bool open)
{
    if (has_virtual_nmis(v)) {
        window(v, PROC_NMI_WINDOW_EXITING, open);
        return;
    }
    v->nmi_by_interrupt_window = open;
    if (open)
        window(v, PROC_INTERRUPT_WINDOW_EXITING, true);
}

// It will block NMIs when it is delivered.
static void queue_nmi(struct vcpu *v)
{
    vmcs_write(ENTRY_INTERRUPTION_INFO, INFO_VALID | INFO_TYPE(TYPE_NMI) | VECTOR_NMI);
    if (!has_virtual_nmis(v))
        nmi_window(v, true);
}

void event_queue_again(struct vcpu *v, u64 info)
{
    rf_of_delivery(v, info);
    vmcs_write(ENTRY_INTERRUPTION_INFO, info & INFO_REDELIVER);
    if (info & INFO_ERROR_CODE)
        vmcs_write(ENTRY_EXCEPTION_ERROR_CODE, vmcs_read(IDT_VECTORING_ERROR_CODE));
    u64 type = INFO_TYPE_OF(info);
    if (type >= TYPE_SOFTWARE_INTERRUPT && type <= TYPE_SOFTWARE_EXCEPTION)
        vmcs_write(ENTRY_INSTRUCTION_LENGTH, vmcs_read(EXIT_INSTRUCTION_LENGTH));
    if (type == TYPE_NMI) {
        unblock_nmis();
        queue_nmi(v);
    }
}

enum verdict exit_triple_fault(struct vcpu *v)
{
    return vm_fail(v, "guest triple fault at RIP 0x%lx", vmcs_read(GUEST_RIP));
}

// What makes a #PF during its delivery worse than a #PF (SDM vol. 3, table 6-5): #PF itself, and #VE. One
// during the delivery of #GP or another contributory exception is handled like any #PF.
#define PAGE_FAULTS (BIT(14) | BIT(20))

enum verdict event_pf_in_delivery(struct vcpu *v, u64 gva, u32 error_code)
{
    u64 info = vmcs_read(IDT_VECTORING_INFO);
    bool exception = INFO_TYPE_OF(info) == TYPE_EXCEPTION;
    if (exception && (info & 31) == VECTOR_DF)
        return exit_triple_fault(v);
    if (!exception || !(PAGE_FAULTS & BIT(info & 31)))
        return event_pf(v, gva, error_code);
    write_cr2(gva); // set before the processor knows that it becomes a double fault
    return event_exception(v, VECTOR_DF, 0);
}

void event_block_nmis(struct vcpu *v)
{
    if (!v->delivering && has_virtual_nmis(v))
        vmcs_write(GUEST_INTERRUPTIBILITY, vmcs_read(GUEST_INTERRUPTIBILITY) | BLOCKING_NMI);
}

bool event_takes_interrupt(struct vcpu *v)
{
    (void)v;
    return vmcs_read(GUEST_RFLAGS) & RFLAGS_IF &&
           !(vmcs_read(GUEST_INTERRUPTIBILITY) & (BLOCKING_STI | BLOCKING_MOV_SS)) &&
           !(vmcs_read(ENTRY_INTERRUPTION_INFO) & INFO_VALID);
}

void event_interrupt(struct vcpu *v, u8 vector)
{
    (void)v;
    vmcs_write(ENTRY_INTERRUPTION_INFO, INFO_VALID | vector); // type 0: external interrupt
}

void event_interrupt_window(struct vcpu *v, bool wanted)
{
    window(v, PROC_INTERRUPT_WINDOW_EXITING, wanted || v->nmi_by_interrupt_window);
}

void event_nmi_later(struct vcpu *v)
{
    v->nmi_pending = true;
    nmi_window(v, true);
}

void event_nmi(struct vcpu *v)
{
    u64 blocked = vmcs_read(GUEST_INTERRUPTIBILITY) & (BLOCKING_STI | BLOCKING_MOV_SS | BLOCKING_NMI);
    if (blocked || vmcs_read(ENTRY_INTERRUPTION_INFO) & INFO_VALID)
        event_nmi_later(v);
    else
        queue_nmi(v);
}

// A processor on which STI does not hold NMIs back opens the window behind STI; but it may refuse to deliver
// an NMI while the field says that STI blocks (SDM vol. 3, 27.3.1.5).
static void end_sti_blocking(void)
{
    u64 blocking = vmcs_read(GUEST_INTERRUPTIBILITY);
    if (blocking & BLOCKING_STI)
        vmcs_write(GUEST_INTERRUPTIBILITY, blocking & ~BLOCKING_STI);
}

enum verdict exit_nmi_window(struct vcpu *v)
{
    nmi_window(v, false);
    end_sti_blocking();
    if (v->nmi_pending) {
        v->nmi_pending = false;
        event_nmi(v);
    }
    return VERDICT_RESUME;
}

void event_nmi_by_interrupt_window(struct vcpu *v)
{
    if (!v->nmi_by_interrupt_window)
        return;
    unblock_nmis();
    exit_nmi_window(v);
}

void event_single_step(struct vcpu *v)
{
    (void)v;
    if (!(vmcs_read(GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF))
        vmcs_write(GUEST_PENDING_DEBUG_EXCEPTIONS, vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS) | PENDING_BS);
}
