// What a PC has had since 1984, for guests that look for it: interval timer, interrupt controllers, real-time
// clock. Linux in ACPI's hardware-reduced mode reads the clock at its start, and nothing else of this. The
// timer's interrupt goes to input 0 of the 8259s and to pin 0 of the IOAPIC, and costs an exit each; while it
// is masked at both, or no guest has asked for it, nothing of this exits.
#pragma once

#include "device_access.h"
#include "pic.h"
#include "pit.h"
#include "rtc.h"

struct legacy {
    struct pit pit;
    struct pic pic;
    struct rtc rtc;
    u64 seen;          // the edges of channel 0 until this tick of PIT_HZ have been told
    u64 started, last; // TSC: time 0 of the models, and the latest time that they were told
};

// All as firmware leaves it. `second` is the date and time as rtc_seconds gives them.
void legacy_init(struct vcpu *v, u64 second);

// For a guest that begins where a boot loader would hand over on a PC: input 0 of the 8259s is open, as a
// BIOS leaves it, so the timer ticks 18.2 times a second until the guest masks it.
void legacy_open_timer(struct vcpu *v);

u64 legacy_rtc_read(struct vcpu *v, const struct device_access *a);
enum verdict legacy_rtc_write(struct vcpu *v, const struct device_access *a);

u64 legacy_pit_read(struct vcpu *v, const struct device_access *a);
enum verdict legacy_pit_write(struct vcpu *v, const struct device_access *a);
u64 legacy_pic_read(struct vcpu *v, const struct device_access *a);
enum verdict legacy_pic_write(struct vcpu *v, const struct device_access *a);

// A device's line at an input of the 8259s has changed.
void legacy_set_line(struct vcpu *v, unsigned input, bool level);

// Brings timer and interrupts up to date and asks for the next exit that they need: after whatever may have
// changed a mask. An interrupt waits for the end of the instruction that the monitor carries out meanwhile,
// which may still fault, or trap: a trap would be lost, as VM entry drops it where it injects another event
// (SDM vol. 3, 27.7.3).
void legacy_attend(struct vcpu *v);

// The same at an exit between two instructions: an interrupt that can be delivered is.
void legacy_interrupt(struct vcpu *v);

// TSC cycles until legacy_attend is wanted, or ~0: nothing is waited for.
u64 legacy_wait(struct vcpu *v);

// The handlers of an interrupt window, and of the VMX-preemption timer.
enum verdict exit_interrupt_window(struct vcpu *v);
enum verdict exit_preemption_timer(struct vcpu *v);
