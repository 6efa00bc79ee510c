// Takes the machine's other processors out of play. A guest that owns the real local APIC can send INIT and
// SIPI to any processor, and would start it in real mode, unvirtualised, at a machine address of its choice.
// In VMX root operation INIT is blocked (SDM vol. 3, 23.8), and SIPI is ignored outside wait-for-SIPI (25.2).
#pragma once

#include <arch/acpi.h>
#include <arch/frames.h>
#include <arch/vmx.h>

// Starts every processor that ACPI lists as enabled, other than this one, and puts it into VMX root operation
// in a HLT loop, interrupts off, NMIs ignored, until the machine is reset; each keeps one frame. Call it in
// VMX operation, before any guest runs, with free frames below 640K and the local APIC in the firmware's
// mode. Takes 10 ms and some 0.2 ms a processor, nothing where there is one. Returns their number, or an
// error and in `message` one sentence with the remedy: the machine must not run a guest then, nor use the
// memory below 1M.
int park_others(const struct acpi *acpi, const struct vmx_caps *caps, struct frames *frames, u64 tsc_hz,
                char *message, size_t size) must_check;
