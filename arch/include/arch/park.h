// Takes the machine's other processors out of play. A guest that owns the real local APIC can send INIT and
// SIPI to any processor, and would start it in real mode, unvirtualised, at a machine address of its choice.
// In VMX root operation INIT is blocked (SDM vol. 3, 23.8), and SIPI is ignored outside wait-for-SIPI (25.2).
#pragma once

#include <arch/acpi.h>
#include <arch/frames.h>
#include <arch/mca.h>
#include <arch/vmx.h>

#define PARK_MESSAGE 256
#define PARK_LEAVE   1 // `stay` of a processor that has been told to leave VMX operation
#define PARK_LEFT    2
#define PARKED_HLT   ~0u

// A processor that waits. It begins a frame that is the processor's own; its stack is the rest.
struct parked {
    struct parked *next;
    u32 apic_id;
    u32 stay;                // 0, PARK_LEAVE, PARK_LEFT
    u32 mwait;               // the hint of the MWAIT that it waits in, or PARKED_HLT
    struct mca_log log;      // what was in its banks at the start, then at its last machine check
    unsigned machine_checks; // taken since the start
};

struct park {
    const struct acpi *acpi;
    const struct vmx_caps *caps;
    struct frames *frames; // has free ones below 640K
    u64 tsc_hz;
    // Told about once a second, if it takes that long: how many have been tried, of how many.
    void (*progress)(unsigned tried, unsigned count);

    struct parked *first;       // of the others that are parked
    unsigned parked;            // how many they are
    unsigned silent;            // listed, but nothing ran an instruction where it should
    u32 silent_id;              // local APIC ID of the first of these
    char message[PARK_MESSAGE]; // after an error: one sentence with the remedy
};

// Starts every processor that ACPI lists as enabled, other than this one, and puts it into VMX root
// operation, where it waits until the machine is reset: in the deepest state of MWAIT that CPUID shows, else
// in HLT, so that it takes neither power nor turbo from this one; interrupts off, NMIs ignored. Each keeps
// two frames. Call it in VMX operation, before any guest runs, with the local APIC in the firmware's mode.
// Takes 10 ms, some 0.2 ms a processor and 0.2 s for a silent one, nothing where there is one. A silent one
// has been tried twice; if it comes after all, it still finds its way. ERR_NOMEM, ERR_INVALID: p->message
// says why; the machine must not run a guest then, nor use the memory below 1M.
int park_others(struct park *p) must_check;

// Whether a parked processor has had a machine check: p->log is its last one.
bool park_machine_checked(const struct parked *p);

// Has each parked processor leave VMX operation and halt for good, and waits until they have, 100 ms at most:
// before a reset that is an INIT for them. The first that has not, or NULL. When no guest runs any more.
const struct parked *park_release(const struct park *p) must_check;
