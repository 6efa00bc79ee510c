// What surrounds the monitor's own guests (hv/own_guest.h) in their tests: their VMCS, the NMIs that come in
// root mode, the local APIC's registers in either mode. What such a guest does at an entry is the test's.
#pragma once

#include "fake_machine.h"

extern struct fake_own_guest {
    unsigned vmcs; // that are current
    unsigned nmis; // that have come since the last world_nmi_take
    u32 pin;       // controls of the last VMCS
} fake_own_guest;

void fake_own_guest_reset(void);

// An exit for this reason, which was no delivery of an event.
void fake_exit(u64 reason);

// A register of the local APIC, by its offset in the page.
u64 fake_apic_register(const struct vcpu *v, u32 offset);
void fake_apic_register_set(const struct vcpu *v, u32 offset, u32 value);
