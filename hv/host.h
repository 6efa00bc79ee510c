// What the machine is, found out once at boot and the same for every guest; and what the monitor can run
// guests by.
#pragma once

#include <arch/acpi.h>
#include <arch/frames.h>
#include <arch/frequency.h>
#include <arch/multiboot2.h>
#include <arch/numa.h>
#include <arch/park.h>
#include <arch/pmu.h>
#include <arch/timer.h>
#include <arch/trim.h>
#include <arch/vmx.h>
#include <hv/mmu.h>

struct handout;
struct params;

#define BOOT_BYTES (256 * KIB) // more boot information than any boot loader has

struct host {
    u8 boot_bytes[BOOT_BYTES] __attribute__((aligned(8))); // the boot information: `boot` points into it
    struct boot_info boot;
    struct trimmed trimmed; // RAM that is not write-back
    struct frames frames;
    struct numa numa;
    struct acpi acpi;
    struct vmx_caps caps;
    struct timer_rates rates;
    struct frequency frequency;             // that was asked for, and how it is counted
    struct pmu pmu;                         // what can be counted
    u32 empty_exit_cycles;                  // trial_exit_cost
    bool mark_faults;                       // MMU_MARK_BIT of page-table entries is reserved, and faults
    u32 apic_id;                            // of this processor's local APIC
    struct park park;                       // its other processors
    bool input;                             // of the console comes as an NMI
    bool machine_check;                     // it has had one: nothing runs on it any more
    bool polled;                            // no interrupt announces the console's input
    struct handout *handout;                // NULL: at the end nothing is shown but what is printed
    const struct mmu_ops *const *back_ends; // by enum mmu_mode
};

// Makes the machine ready for guests, and finds out what it is: devices and other processors stopped, memory
// set up, VMX operation, timers measured. What the machine lacks ends the monitor (refuse). `h` has `boot`
// and `back_ends`; the image is where the boot loader has put it. Once, after processor_start, with a
// console.
void host_start(struct host *h, const struct params *params, u64 image_hpa);
