// What a guest has left pending when it ended: interrupts in the local APIC, an INIT, NMIs. A local APIC
// forgets interrupts only when it is disabled, after which it does not come back on every processor; an INIT
// waits for the next VM entry. So the monitor takes them, as exits of a guest of its own that does nothing
// but exit. It never sets its own RFLAGS.IF, and begins with an interrupt of its own, without which KVM
// without APICv loses a guest's interrupts.
#pragma once

#include <arch/frames.h>
#include <arch/vmx.h>

#include "apic.h"

// After a guest, after apic_init, in VMX operation. No VMCS is current afterwards. NULL, or what went
// wrong as one sentence.
const char *drain_pending(const struct apic *apic, const struct vmx_caps *caps, struct frames *frames);
