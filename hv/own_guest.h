// A guest of the monitor's own: some instructions of arch/world.asm, in 64-bit mode and in the monitor's
// address space, which has the local APIC as every guest has it. Its exceptions exit, its IDT is empty (so
// the delivery of an interrupt exits, too), its accesses of MSRs do not. Before the first guest and between
// two, while no back end is in use: those flush what a TLB may hold of its VPID.
#pragma once

#include <arch/frames.h>
#include <arch/vmx.h>
#include <arch/world.h>

struct own_guest {
    struct world world;
    struct frames *frames;
    mfn_t vmcs, msr_bitmap;
};

extern const u8 world_trial[], world_open[], world_idle[]; // its code

extern const char own_guest_no_memory[]; // a sentence

// Makes its VMCS and makes it current. `pin`: PIN_EXTERNAL_INTERRUPT_EXITING, by which interrupts are
// acknowledged at exit, or 0. In VMX operation. ERR_NOMEM.
int own_guest_make(struct own_guest *g, const struct vmx_caps *caps, struct frames *frames,
                   u32 pin) must_check;

// Why it has exited: EXIT_REASON. But a machine check in it, or on the way into it, is the monitor's own.
u64 own_guest_reason(void);

// No VMCS is current afterwards.
void own_guest_drop(struct own_guest *g);
