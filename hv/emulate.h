// What the instructions of decode.h do: to registers, flags, and to memory, which it reaches only through
// callbacks, so that a device model or the guest's memory answers. Pure: knows no vcpu and injects nothing.
// Segment limits and access rights are not looked at: the processor did so before it exited. The caller moves
// RIP into the VMCS, clears interruptibility and serves RFLAGS.TF.
#pragma once

#include <arch/cpu.h>
#include <arch/gprs.h>

#include "decode.h"

// Status flags, SDM vol. 1, 3.4.3.
#define RFLAGS_CF     BIT(0)
#define RFLAGS_PF     BIT(2)
#define RFLAGS_AF     BIT(4)
#define RFLAGS_ZF     BIT(6)
#define RFLAGS_SF     BIT(7)
#define RFLAGS_DF     BIT(10)
#define RFLAGS_OF     BIT(11)
#define RFLAGS_STATUS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

// Results of insn_emulate beside 0 (done) and whatever a callback returned.
enum emulate_result {
    EMULATE_RETRY = -32, // memory changed in the meantime: run the instruction again
    EMULATE_GP = -33,    // CMPXCHG16B on an address that is not a multiple of 16: #GP(0)
};

// Each callback returns 0, or what insn_emulate shall return: positive for a guest fault that the caller
// remembers in its context and injects, negative for anything else. One that does not return 0 has changed
// nothing. Sizes are 1, 2, 4, 8 or 16 bytes; an access may cross a page. Where insn_writes_memory, a read's
// fault is that of a write.
struct emulate_ops {
    int (*read)(void *context, u64 gva, void *data, unsigned size);
    int (*write)(void *context, u64 gva, const void *data, unsigned size);
    // Atomically: where memory equals `old` it becomes `new`; otherwise EMULATE_RETRY.
    int (*exchange)(void *context, u64 gva, const void *old, const void *new, unsigned size);
    // Never asked for CS, DS, ES and SS in 64-bit mode, where they are 0.
    u64 (*segment_base)(void *context, enum insn_segment segment);
};

struct emulation {
    struct gprs *gprs; // all of them, RSP too
    u64 rip;           // of the instruction
    u64 rflags;
    const struct emulate_ops *ops;
    void *context;
};

// The most iterations of a repeated string instruction that one call does.
#define EMULATE_RUN 256

// Executes `insn`, once decoded without error. 0: done, registers, rflags and rip are those after it; but rip
// is still at the instruction when a repeated string instruction has iterations left. Otherwise nothing has
// changed but, for a string instruction, what the iterations before the failing one did, just as on hardware.
int insn_emulate(const struct insn *insn, struct emulation *e) must_check;

// The linear address of the memory operand, the bit offset of BT, BTS, BTR and BTC with a register included;
// of MOVS the source. In bits 16 and 32 truncated to 32 bits.
u64 emulate_gva(const struct insn *insn, const struct emulation *e);

// The way for one write to memory that the caller reads and writes itself: `old` is what the operand's `size`
// bytes hold, `*new` what they shall hold then. Registers and *rflags become those after the instruction, so
// call it only when the write cannot fail any more. False, with nothing changed: it is a string instruction,
// of 16 bytes, or writes no memory. A CMPXCHG that finds another value writes the old one.
bool insn_write_value(const struct insn *insn, struct gprs *gprs, u64 *rflags, u64 old, u64 *new) must_check;
