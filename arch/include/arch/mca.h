// The machine-check architecture: what the processor has logged of errors of the hardware (SDM vol. 3,
// chapters 16 and 17). Nothing here decides what follows from them.
#pragma once

#include <arch/types.h>

#define MCA_BANKS 32 // at most: the registers of one more would be those of VMX
#define MCA_TEXT  192

// A bank that holds an error.
struct mca_bank {
    unsigned number;
    u64 status;        // IA32_MCi_STATUS
    u64 address, misc; // 0 where the bank says that they mean nothing
};

struct mca_log {
    u64 status; // IA32_MCG_STATUS
    unsigned count;
    struct mca_bank bank[MCA_BANKS];
};

// Takes what this processor's banks hold: afterwards they are empty, and it is ready for the next machine
// check, which would shut it down else. Nothing, where it has no such architecture. Needs the trap_try
// functions (traps.h).
void mca_take(struct mca_log *log);

// The same on each processor once, after processor_start: what is in the banks is from before. From then on
// every kind of error that is not corrected raises #MC.
void mca_start(struct mca_log *log);

// What kind of error it is, in a few words: "memory controller error".
const char *mca_kind(const struct mca_bank *bank);

// The bank in words, with its registers.
void mca_text(const struct mca_bank *bank, char text[MCA_TEXT]);

// The bank with the worst error, or NULL: one that has corrupted the processor's state, one that is not
// corrected, any.
const struct mca_bank *mca_worst(const struct mca_log *log);
