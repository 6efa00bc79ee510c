// INVPCID exits with INVLPG, under shadow paging: decoded by the exit instruction information, and checked as
// the processor would have, which exits before it looks at the operands (SDM vol. 2, INVPCID; vol. 3, 28.2.5,
// the table for INVEPT, INVPCID and INVVPID).
#include <arch/cpu.h>
#include <hv/mmu.h>

#include "debug.h"
#include "event.h"
#include "exit.h"
#include "guest_access.h"

#define INFO_SCALE(i)        ((i)&3)
#define INFO_ADDRESS_SIZE(i) ((i) >> 7 & 7)
#define INFO_SEGMENT(i)      ((i) >> 15 & 7)
#define INFO_INDEX(i)        ((i) >> 18 & 15)
#define INFO_NO_INDEX        BIT(22)
#define INFO_BASE(i)         ((i) >> 23 & 15)
#define INFO_NO_BASE         BIT(27)
#define INFO_REG2(i)         ((i) >> 28 & 15) // the register that has the type

enum { INVPCID_ADDRESS, INVPCID_SINGLE, INVPCID_ALL_GLOBAL, INVPCID_ALL };

struct descriptor {
    u64 pcid, gva;
};

// The exit qualification is the displacement, to which that of the next instruction has been added where it
// is relative to RIP.
static struct insn_address operand(struct vcpu *v, u64 info)
{
    u64 offset = vmcs_read(EXIT_QUALIFICATION);
    unsigned bits = 16u << INFO_ADDRESS_SIZE(info);
    if (!(info & INFO_NO_BASE))
        offset += *vcpu_reg(v, INFO_BASE(info));
    if (!(info & INFO_NO_INDEX))
        offset += *vcpu_reg(v, INFO_INDEX(info)) << INFO_SCALE(info);
    return (struct insn_address){bits == 64 ? offset : offset & (BIT(bits) - 1), INFO_SEGMENT(info)};
}

static int descriptor_read(struct guest_access *a, struct insn_address at, struct descriptor *d)
{
    struct insn_address second = {at.offset + 8, at.segment};
    int error = guest_read(a, at, &d->pcid, 8, false);
    return error ? error : guest_read(a, second, &d->gva, 8, false);
}

static bool is_legal(const struct guest_access *a, u64 type, const struct descriptor *d)
{
    bool of_one = type == INVPCID_ADDRESS || type == INVPCID_SINGLE;
    if (type > INVPCID_ALL || d->pcid & ~CR3_PCID)
        return false;
    if (of_one && d->pcid && !(a->walk.regs.cr4 & CR4_PCIDE))
        return false;
    return type != INVPCID_ADDRESS || walk_canonical(d->gva);
}

enum verdict exit_invpcid(struct vcpu *v)
{
    u64 info = vmcs_read(EXIT_INSTRUCTION_INFO);
    struct guest_access a;
    struct descriptor d;
    guest_access_init(&a, v);
    *vcpu_reg(v, GPR_RSP) = vmcs_read(GUEST_RSP);
    u64 reg = *vcpu_reg(v, INFO_REG2(info)), type = a.code_bits == 64 ? reg : (u32)reg;
    if (a.walk.cpl) // the processor's business, but Bochs exits first
        return event_gp(v);
    if (descriptor_read(&a, operand(v, info), &d))
        return guest_fault(&a);
    if (!is_legal(&a, type, &d))
        return event_gp(v);
    debug_hit(v, a.hits);
    if (type == INVPCID_ADDRESS)
        mmu_invlpg(v, d.gva);
    else
        mmu_flush(v);
    return VERDICT_SKIP;
}
