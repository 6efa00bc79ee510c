// The virtual machine: one vcpu, its memory, its devices, and why it ended. The sum of what every other file
// keeps; what is done with it is theirs.
#pragma once

#include <arch/mtrr.h>
#include <arch/pmu.h>
#include <hv/mmu.h>
#include <hv/p2m.h>
#include <hv/vcpu.h>

#include "devices/apic.h"
#include "access/churn.h"
#include "exits/auto_mode.h"
#include "policy/cpuid.h"
#include "memory/guest_map.h"
#include "insn/insn_cache.h"
#include "devices/ioapic.h"
#include "devices/legacy.h"
#include "vcpu/modes.h"
#include "vcpu/msr_switch.h"
#include "policy/params.h"
#include "report/profile.h"
#include "report/results.h"
#include "report/tally.h"
#include "report/trace.h"
#include "devices/uart.h"

struct vm {
    struct vcpu vcpu;
    struct p2m p2m;
    struct mtrrs mtrrs;                     // the machine's, when the p2m was made
    struct mmu *mmu;                        // that its processors share
    struct mmu *mmus;                       // all that have been made for it, linked by `next`
    const struct mmu_ops *const *back_ends; // of the monitor, by enum mmu_mode
    struct mmu_options machine;             // what of it is the machine's and the guest's CPUID's
    struct effect_machine effect_machine;   // what of it decides what takes effect
    struct frames *frames;
    const struct params *params; // in effect: those of `modes`
    struct modes modes;
    struct guest_map map;
    struct cpuid_policy cpuid;
    struct apic apic;
    struct ioapic ioapic;
    struct uart uart;
    struct legacy legacy;
    struct churn churn;
    struct auto_mode auto_mode;
    struct insn_cache insn_cache;
    struct tally tally;
    struct trace trace;
    struct profile profile;
    struct results results;
    u64 tsc_hz;
    u32 empty_exit_cycles; // of the guest's cycles, what each exit and the entry after it take: trial.h
    u64 mtrr_def_type;     // IA32_MTRR_DEF_TYPE as the guest wrote it; without effect
    mfn_t vmcs;            // 0: none yet
    u64 msr_bitmap_hpa;
    struct msr_switch msr_switch;
    struct pmu pmu;    // counts the guest; all zeros: nothing does
    char problem[256]; // why it could not be loaded: loader_load
    char end[192];     // why the guest ended
    u64 status;        // what it wrote to GUEST_EXIT_PORT
    bool status_given;
    bool far_memory;     // some of its memory is not near its processor: arch/numa.h
    bool failed;         // it ended by a mistake, its own or ours, or the hardware's
    bool machine_check;  // the hardware's
    bool says_where;     // its last words are RIP and the bytes of the instruction
    bool compare;        // this run is one of a comparison: results are wanted
    unsigned run, round; // its numbers there, from 1
    const char *configuration;
    bool escaped;        // the console's last byte was the escape key
    u64 hole_accesses;   // carried out by the monitor: guest_access.c
    u32 msrs_logged[32]; // that were refused, each of which is said once
    unsigned msrs_logged_count;
};

// What the guest's run took, from its first entry to its last exit.
static inline u64 vm_milliseconds(const struct vm *vm)
{
    return (vm->vcpu.last_exit - vm->vcpu.started) / (vm->tsc_hz / 1000);
}
