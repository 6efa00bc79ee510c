// See nmi.h. Only here is the host console read, with the UART's interrupt off meanwhile: so each NMI from
// the console finds at least one byte, and an NMI that finds none is the guest's.
#include <arch/console.h>
#include <arch/cpu.h>

#include "event.h"
#include "keys.h"
#include "nmi.h"
#include "vm.h"

#define INFO_VECTOR   0xff
#define INFO_TYPE     (7u << 8)
#define INFO_TYPE_NMI (2u << 8)

static enum verdict handle(struct vcpu *v)
{
    bool any = false;
    console_interrupt(false);
    enum verdict verdict = keys_read(v, &any);
    console_interrupt(true);
    if (!any)
        event_nmi(v);
    return verdict;
}

enum verdict nmi_take(struct vcpu *v)
{
    world_nmi_take();
    return handle(v);
}

// An NMI exit leaves NMIs blocked in root mode until an IRET (SDM vol. 3, 28.3.3); Bochs 2.7 also wants the
// interruptibility field written.
static void unblock_nmis(void)
{
    __asm__ volatile(
        "mov %%ss, %%eax\n push %%rax\n lea 8(%%rsp), %%rax\n push %%rax\n pushf\n mov %%cs, %%eax\n"
        " push %%rax\n lea 1f(%%rip), %%rax\n push %%rax\n iretq\n1:"
        :
        :
        : "rax", "memory", "cc");
    vmcs_write(GUEST_INTERRUPTIBILITY, vmcs_read(GUEST_INTERRUPTIBILITY));
}

static __attribute__((noinline)) enum verdict not_a_page_fault(struct vcpu *v, u64 info)
{
    if ((info & (INFO_VALID | INFO_TYPE)) != (INFO_VALID | INFO_TYPE_NMI))
        return vm_stop_unsupported(v, "unexpected exit for exception %lu", info & INFO_VECTOR);
    unblock_nmis();
    return handle(v);
}

enum verdict exit_exception(struct vcpu *v)
{
    u64 info = vmcs_read(EXIT_INTERRUPTION_INFO);
    bool page_fault = (info & (INFO_VALID | INFO_VECTOR)) == (INFO_VALID | VECTOR_PF);
    return page_fault ? exit_page_fault(v) : not_a_page_fault(v, info);
}
