// See drain.h. The processor looks for what is pending before the first instruction of a guest that has IF =
// 1 (SDM vol. 3, 27.7.5), and acknowledges an interrupt as part of the exit (26.2.1): so the monitor sees
// each vector, also those from 16 to 31, and no handler runs. The guest's first instruction is VMCALL: an
// exit for that says that nothing is pending.
//
// It starts with an interrupt of the monitor's own, for KVM without APICv (Linux 6.1). At an entry KVM looks
// for what the local APIC has pending only while it waits for the monitor to set IF. It begins to wait when
// an interrupt comes to the monitor, and this one makes it begin. It never ends, since the monitor never sets
// IF. Without it, and with firmware that leaves nothing pending, guests lose interrupts.
#include <arch/console.h>
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/panic.h>

#include "drain.h"
#include "exit_names.h"
#include "own_guest.h"
#include "vmcs_setup.h"

#define VECTOR 0x80
#define TURNS  1024 // 240 vectors, each of which may be pending and in service, an INIT, some NMIs

// False: nothing was pending.
static bool take_one(struct world *world, const struct apic *apic)
{
    world_nmi_take();
    vmcs_start_own(world_idle, RFLAGS_IF);
    enum world_result result = world_switch(world);
    assert_that(result != WORLD_FAILED);
    if (result == WORLD_NMI)
        return true;
    switch (own_guest_reason()) {
    case EXIT_VMCALL:
        return false;
    case EXIT_EXTERNAL_INTERRUPT:
        apic_end_service(apic);
        return true;
    case EXIT_EXCEPTION_OR_NMI:
        vmx_nmi_unblock();
        return true;
    default:
        return true; // an INIT
    }
}

// The console's NMI may have been among those taken: if it still has input, there is another one.
static void console_again(void)
{
    world_nmi_take();
    console_interrupt(false);
    console_interrupt(true);
}

const char *drain_pending(const struct apic *apic, const struct vmx_caps *caps, struct frames *frames)
{
    struct own_guest g;
    if (own_guest_make(&g, caps, frames, PIN_EXTERNAL_INTERRUPT_EXITING))
        return own_guest_no_memory;
    apic_accept(apic, true);
    apic_raise(apic, VECTOR);
    unsigned turn = 0;
    while (turn < TURNS && take_one(&g.world, apic))
        turn++;
    apic_accept(apic, false);
    console_again();
    own_guest_drop(&g);
    return turn < TURNS
               ? NULL
               : "Interrupts or INIT signals do not stop coming, so that no guest can start clean: switch the machine off and on.";
}
