// Machine checks while the guest ran: it ends, and what it measured counts for nothing. The guest itself is
// shown an architecture without banks, so there is nothing that it could do about one.
#include <arch/mca.h>

#include "exit.h"
#include "hardware.h"
#include "stop.h"
#include "../vm.h"

// Nothing of the exit is looked at: what the processor has saved may be wrong.
enum verdict exit_machine_check(struct vcpu *v)
{
    struct mca_log log;
    mca_take(&log);
    hardware_say(LOG_ERROR, "machine check", v->vm->apic.id, &log);
    v->vm->machine_check = true;
    const struct mca_bank *worst = mca_worst(&log);
    return vm_fail(v, "hardware: machine check (%s, IA32_MCG_STATUS 0x%lx): no number of this run counts",
                   worst ? mca_kind(worst) : "no bank of this processor says why", log.status);
}
