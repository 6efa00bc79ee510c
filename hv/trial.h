// What a guest of a few instructions shows of the machine before real ones run: that interrupts arrive, and
// what an exit costs.
#pragma once

#include <arch/frames.h>
#include <arch/vmx.h>

#include "apic.h"

// Whether an interrupt arrives that the local APIC has got, and an exit has passed, while the guest had IF =
// 0. Before each guest, after drain_pending: under KVM without APICv it depends on what has been before (a
// monitor that had set its own IF lost interrupts afterwards). It costs two exits, and leaves nothing pending
// and no register of the local APIC changed but the ICR. No VMCS is current afterwards. NULL, or what is
// wrong as one sentence with the remedy.
const char *trial_interrupts(const struct apic *apic, const struct vmx_caps *caps, struct frames *frames);

// What an exit and the entry after it take of a guest's TSC cycles, with no instruction of the guest's
// between: mostly the processor's part, or that of a hypervisor below. 0 where that is no more than the
// instructions of the switch, as in an emulator. Before the first guest, in VMX operation. ERR_NOMEM.
int trial_exit_cost(const struct vmx_caps *caps, struct frames *frames, u32 *cycles) must_check;
