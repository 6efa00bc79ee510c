// What the instructions of decode.h do: to registers, flags, and to memory, which it reaches only through
// callbacks, so that a device model or the guest's memory answers. Pure: knows no vcpu and injects nothing.
// It computes offsets into segments and checks none: bases, limits, types, canonical addresses, RFLAGS.AC and
// paging are the callbacks' (guest_access.h), for each access. The processor has checked no more than the one
// access that exited: not what MOVS writes after it has read a device, not the later turns of a REP, and of
// INS and OUTS nothing (SDM vol. 3, 26.1.1). The caller moves RIP into the VMCS, clears interruptibility and
// serves RFLAGS.TF and RFLAGS.RF.
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

// Each callback returns 0, or what insn_emulate shall return: positive for a guest fault that the caller
// remembers in its context and injects, negative for anything else. One that does not return 0 has changed
// nothing. Sizes are 1, 2, 4, 8 or 16 bytes; an access may cross a page. `update`: the same bytes are written
// next, so the read's fault is that of a write. A locked instruction is a read and a write like any other:
// there is one processor, and it is in the monitor. It never compares twice, so a device whose registers
// change by themselves, or by being read, cannot make it try for ever.
struct emulate_ops {
    int (*read)(void *context, struct insn_address at, void *data, unsigned size, bool update);
    int (*write)(void *context, struct insn_address at, const void *data, unsigned size);
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

// Where the memory operand is, the bit offset of BT, BTS, BTR and BTC with a register included; of MOVS the
// source.
struct insn_address emulate_address(const struct insn *insn, const struct emulation *e);

// The way for one write to memory that the caller reads and writes itself: `old` is what the operand's `size`
// bytes hold, `*new` what they shall hold then. Registers and *rflags become those after the instruction, so
// call it only when the write cannot fail any more. False, with nothing changed: it is a string instruction,
// of 16 bytes, or writes no memory. A CMPXCHG that finds another value writes the old one.
bool insn_write_value(const struct insn *insn, struct gprs *gprs, u64 *rflags, u64 old, u64 *new) must_check;
