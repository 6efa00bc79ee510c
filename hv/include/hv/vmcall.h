// Calls from a guest to Penumbra, by the VMCALL instruction: what a program in the guest may ask its monitor.
// For the monitor and for guest programs alike (guest-images/penctl is an example): C11, nothing but
// <stdint.h>.
//
// Is Penumbra there? CPUID.1:ECX bit 31 is 1, CPUID leaf 40000000H has PENUMBRA_SIGNATURE in EBX, ECX, EDX
// and at least 40000001H in EAX, and leaf 40000001H has PENUMBRA_INTERFACE in EAX. Without it VMCALL raises
// #UD.
//
// A call: RAX the number of enum penumbra_call, arguments in RDI, RSI, RDX; the result is in RAX, and nothing
// else changes. Negative results are errors of enum penumbra_error. Calls of user mode (CPL 3) are refused
// with PENUMBRA_DENIED unless the monitor runs with vmcall=user. Pointers are addresses of the caller's own,
// with its own rights; memory that is not there at this moment is PENUMBRA_FAULT and not a page fault: touch
// a buffer before the call. After an error a buffer may be partly written.
#pragma once

#include <stdint.h>

#define PENUMBRA_SIGNATURE      "PenumbraVMM" // with its NUL, 12 bytes
#define PENUMBRA_LEAF_SIGNATURE 0x40000000u
#define PENUMBRA_LEAF_INTERFACE 0x40000001u
#define PENUMBRA_INTERFACE      2u

enum penumbra_call {
    // (u64 *values, count): writes the first `count` counters. Returns how many there are, whatever the
    // count;
    // (NULL, 0) only asks for that. All are of one moment; the call itself is an exit and is counted.
    PENUMBRA_COUNTERS = 1,
    // (index, struct penumbra_counter *): what counter `index` is. 0, or PENUMBRA_ARGUMENT: no such counter.
    PENUMBRA_COUNTER = 2,
    // (): counters of kind PENUMBRA_COUNT begin again at 0, also for Ctrl-A s and the exit summary. 0.
    PENUMBRA_RESET = 3,
    // (value): a mark in the trace of exits. 0, or PENUMBRA_OFF: no trace= is given.
    PENUMBRA_MARK = 4,
    // (): prints the trace of the last exits on the monitor's console. How many, or PENUMBRA_OFF.
    PENUMBRA_TRACE = 5,
    // (char *text, bytes): the monitor's parameters in effect, "mmu=ept vpid=on ...", cut to fit, with a NUL.
    // Returns the whole text's length.
    PENUMBRA_MODE = 6,
    // (status): ends the guest with this status (low 32 bits). Does not return.
    PENUMBRA_STOP = 7,
    // (const struct penumbra_result *): a workload's result, for the table at the end of a comparison
    // (compare=). 0; PENUMBRA_OFF: this is no comparison; PENUMBRA_ARGUMENT: the name is not 1 to 63 letters,
    // digits and _-.+@ that end in a NUL, or there is no room for more: the monitor says so once in a run.
    PENUMBRA_RESULT = 8,
    // (char *text, bytes, seconds): changes the mode as the text says: words that commas join, as in
    // compare=, such as "trace,vpid=off". It has a NUL, and is not longer than 63 characters; the rest of the
    // bytes is room for the answer. 0: the guest's next instruction runs in that mode. PENUMBRA_ARGUMENT: it
    // cannot; the text is now one sentence that says why, cut to fit. PENUMBRA_OFF: mmu.switch=on is not
    // given. With seconds other than 0 the guest's first mode comes back when they are over, unless the mode
    // has changed again: for one in which the guest may be too slow to ask.
    PENUMBRA_SWITCH = 9,
    // (thousandths): for tests of mmu=auto: so much of the guest's cycles are page walks from now on; with
    // auto.by=root so much of those of the caller's address space, and nothing of the others'. 0, or
    // PENUMBRA_OFF: auto.feed=on is not given.
    PENUMBRA_FEED = 10,
    // (char *text, bytes): what this boot of a comparison is to measure by turns (compare.how=switch),
    // "ept/trace,vpid=off", cut to fit, with a NUL. Each between two `/' is a text for PENUMBRA_SWITCH, which
    // then means exactly this, whatever the mode was. Returns the whole text's length; PENUMBRA_OFF: nothing
    // is to be.
    PENUMBRA_MODES = 11,
};

enum penumbra_error {
    PENUMBRA_UNKNOWN = -1,  // no such call
    PENUMBRA_DENIED = -2,   // from user mode, and vmcall=user is not given
    PENUMBRA_ARGUMENT = -3, // an argument that cannot be
    PENUMBRA_FAULT = -4,    // memory that the caller cannot read or write at this moment
    PENUMBRA_OFF = -5,      // what the call is for is not switched on
};

enum penumbra_kind {
    PENUMBRA_COUNT, // only grows: differences mean something, and PENUMBRA_RESET makes it 0
    PENUMBRA_GAUGE, // how much there is now
};

struct penumbra_counter {
    char name[48]; // such as "hidden_faults", "exit.CPUID" (exits by this reason), "cycles.CPUID" (spent on
                   // them)
    char unit[16]; // "" where the name says it
    uint32_t kind;
    uint32_t reserved;
};

// One workload under one configuration. Cycles are those of the TSC, of one repetition.
struct penumbra_result {
    char workload[64];
    uint64_t iterations;  // of one repetition
    uint64_t repetitions; // 0: the workload failed, and nothing below is meant
    uint64_t median, lowest, highest;
    uint64_t exits; // of all repetitions
};

// The call itself, for programs in the guest. `call` is of enum penumbra_call; any other number is
// PENUMBRA_UNKNOWN.
static inline int64_t penumbra_call(uint64_t call, uint64_t first, uint64_t second, uint64_t third)
{
    int64_t result = (int64_t)call;
    __asm__ volatile("vmcall" : "+a"(result) : "D"(first), "S"(second), "d"(third) : "memory");
    return result;
}
