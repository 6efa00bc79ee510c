// See nmi.h. The host console is read with the UART's interrupt off meanwhile: so each NMI from the console
// finds at least one byte, and an NMI that finds none is the guest's.
#include <arch/console.h>
#include <arch/cpu.h>

#include "debug.h"
#include "event.h"
#include "exit.h"
#include "keys.h"
#include "nmi.h"
#include "stop.h"
#include "../vm.h"

static enum verdict read_console(struct vcpu *v, bool *any)
{
    console_interrupt(false);
    enum verdict verdict = keys_read(v, any);
    console_interrupt(true);
    return verdict;
}

static enum verdict handle(struct vcpu *v)
{
    bool any = false;
    enum verdict verdict = v->polled ? VERDICT_RESUME : read_console(v, &any);
    if (!any)
        event_nmi(v);
    return verdict;
}

enum verdict nmi_take(struct vcpu *v)
{
    world_nmi_take();
    return handle(v);
}

// The IRET that ends an NMI handler has faulted. Unless the guest gets the fault, it runs again.
static enum verdict page_fault_of_iret(struct vcpu *v)
{
    enum verdict verdict = exit_page_fault(v);
    if (verdict == VERDICT_RESUME)
        event_block_nmis(v);
    return verdict;
}

static __attribute__((noinline)) enum verdict not_a_plain_page_fault(struct vcpu *v, u64 info)
{
    if (INFO_TYPE_OF(info) == TYPE_NMI) {
        vmx_nmi_unblock();
        return handle(v);
    }
    switch (info & INFO_VECTOR) {
    case VECTOR_PF:
        return page_fault_of_iret(v);
    case VECTOR_DB:
        return debug_exception(v, info);
    case VECTOR_AC:
        return event_exception(v, VECTOR_AC, (u32)vmcs_read(EXIT_INTERRUPTION_ERROR_CODE));
    case VECTOR_MC:
        return exit_machine_check(v);
    default:
        return vm_stop_unsupported(v, "unexpected exit for exception %lu", info & INFO_VECTOR);
    }
}

enum verdict exit_exception(struct vcpu *v)
{
    u64 info = vmcs_read(EXIT_INTERRUPTION_INFO);
    bool plain = (info & (INFO_VALID | INFO_VECTOR | NMI_UNBLOCKED)) == (INFO_VALID | VECTOR_PF);
    return plain ? exit_page_fault(v) : not_a_plain_page_fault(v, info);
}
