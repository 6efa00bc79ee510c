// System-management mode as a processor has it after reset. A guest that owns the real local APIC can send an
// SMI to any processor. Firmware that moves the SMBASE of some processors only (Bochs' BIOS and SeaBIOS: of
// the first) leaves the others at 30000H: there they save their state in ordinary RAM and run what is at
// 38000H with all rights (SDM vol. 3, 32.4 and 32.11), in or out of VMX operation (32.14).
#pragma once

#include <arch/frames.h>
#include <arch/multiboot2.h>

enum smm_guard {
    SMM_GUARDED,  // the pages are the monitor's, and an SMI does nothing
    SMM_FIRMWARE, // they are no RAM that could be had: what an SMI runs there is the firmware's
    SMM_IN_USE,   // the boot loader has put something there that a guest's owner may have chosen
};

// Takes the page of the first SMM instruction and the page of the save area at the SMBASE of reset, and has
// RSM there. No SMI is ever sent: what firmware has moved stays where it is. It holds for several processors
// in SMM at once: what they save is the same while all are parked (arch/park.h). Before park_others, and
// before a guest runs; frames_keep comes later.
enum smm_guard smm_guard(struct frames *frames, const struct boot_info *boot);
