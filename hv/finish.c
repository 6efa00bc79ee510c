// See finish.h.
#include <arch/power.h>
#include <hv/log.h>

#include "drain.h"
#include "finish.h"
#include "json.h"
#include "machine.h"

_Noreturn void refuse(const struct host *host, const char *sentence)
{
    machine_json_begin(host);
    json_text("refused", sentence);
    machine_json_end();
    log_error("Penumbra cannot run here. %s", sentence);
    machine_halt();
}

// Some ways of reset are an INIT for each processor, which VMX root operation blocks (SDM vol. 3, 23.8), and
// some firmware does not start again in it. VMXOFF lets through an INIT that the guest has left pending,
// which would start this processor alone anew: it is taken before.
static void leave_vmx(struct host *h)
{
    struct apic apic;
    const struct parked *staying = park_release(&h->park);
    if (staying)
        log_warn(
            "the processor with local APIC ID %u has not left VMX operation: if the machine does not start again, switch it off and on",
            staying->apic_id);
    else
        log_debug("%u other processors have left VMX operation", h->park.parked);
    apic_init(&apic, h->apic_id);
    if (drain_pending(&apic, &h->caps, &h->frames))
        log_warn(
            "an INIT may be pending here, so that this processor stays in VMX operation: if the machine does not start again, switch it off and on");
    else
        vmx_off();
}

_Noreturn void finish(struct host *h, enum on_exit on_exit)
{
    if (on_exit != ON_EXIT_HALT)
        leave_vmx(h);
    if (on_exit == ON_EXIT_POWEROFF)
        machine_poweroff(&h->acpi);
    if (on_exit == ON_EXIT_REBOOT)
        machine_reboot(&h->acpi);
    machine_halt();
}
