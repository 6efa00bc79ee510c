// The local APIC belongs to the guest: it reaches the registers of the real one without exits, as the APIC
// page or as x2APIC MSRs. The monitor keeps two things: IA32_APIC_BASE, and sending itself the vectors of
// device interrupts.
//
// The hardware's mode only ever rises, from xAPIC to x2APIC: a local APIC that was disabled does not come
// back on every processor (Bochs 2.7 ignores it). While the guest's mode is below the hardware's, it is made
// up for: disabled, the registers are reset and nothing answers at the page; xAPIC over x2APIC, the page is a
// device model.
#pragma once

#include <arch/types.h>
#include <hv/vcpu.h>

struct apic {
    u64 base; // IA32_APIC_BASE as the guest sees it
    bool hardware_x2apic;
    u32 id;
    u32 icr_high, ldr, dfr; // xAPIC over x2APIC: what has no x2APIC register
};

// What keeps the machine's local APIC from being used, as one sentence with the remedy, or NULL.
const char *apic_missing(void);

// Takes the machine's local APIC, whose ID was `id` at boot, over from firmware or from the guest before, in
// xAPIC mode where it lets itself be put there, with its registers at their reset values. What is pending
// stays so (drain.h). After apic_missing has found nothing.
void apic_init(struct apic *apic, u32 id);

// Software-enables it, so that it delivers what is pending, or puts SVR to its value after reset.
void apic_accept(const struct apic *apic, bool on);

// No interrupt is being served any more, whatever was.
void apic_end_service(const struct apic *apic);

// Maps the APIC page as the guest's mode wants it. ERR_NOMEM.
int apic_map(struct vcpu *v) must_check;

// Raises an interrupt of a device model, or of the monitor: the vector becomes pending in the real local
// APIC, and is delivered to the guest without an exit.
void apic_raise(const struct apic *apic, u8 vector);

// What code in the monitor's address space is to have in its registers to send itself the vector: EAX for the
// ICR, which is at RDI or, where that is 0, the MSR of ECX and EDX:EAX (world_trial in arch/world.asm).
void apic_self_registers(const struct apic *apic, u8 vector, struct gprs *regs);

// What PC firmware leaves to a kernel that knows of no local APIC: enabled, the 8259s' interrupts come
// through LINT0.
void apic_virtual_wire(const struct apic *apic);

// Whether the guest lets interrupts of 8259s through: LINT0 is ExtINT, or there is no local APIC before them.
bool apic_takes_extint(const struct vcpu *v);

u64 apic_base_read(const struct vcpu *v);
bool apic_base_write(struct vcpu *v, u64 value); // false: #GP

// The xAPIC page as a device model, 32-bit accesses at an offset in the page.
u32 apic_page_read(struct vcpu *v, u32 offset);
void apic_page_write(struct vcpu *v, u32 offset, u32 value);
