// EPT violations, and the instructions that touch what is not RAM: device models, holes, writes to read-only
// memory.
#include <arch/cpu.h>
#include <hv/log.h>

#include "emulate.h"
#include "event.h"
#include "guest_access.h"
#include "mmio.h"
#include "vm.h"

// Exit qualification of EPT violations (SDM vol. 3, table 28-7).
#define VIOLATION_READ      BIT(0)
#define VIOLATION_WRITE     BIT(1)
#define VIOLATION_FETCH     BIT(2)
#define VIOLATION_ALLOWED   (7ull << 3)
#define VIOLATION_GVA_VALID BIT(7)
#define VIOLATION_NOT_WALK  BIT(8)

static int emulate_read(void *context, u64 gva, void *data, unsigned size)
{
    return guest_read(context, gva, data, size, false);
}

static int emulate_write(void *context, u64 gva, const void *data, unsigned size)
{
    return guest_write(context, gva, data, size);
}

static int emulate_exchange(void *context, u64 gva, const void *old, const void *new, unsigned size)
{
    int result = guest_exchange(context, gva, old, new, size);
    return result == ERR_INVALID ? EMULATE_RETRY : result;
}

static u64 segment_base(void *context, enum insn_segment segment)
{
    (void)context;
    return vmcs_read(GUEST_ES_BASE + 2 * (enum vmcs_field)segment);
}

static const struct emulate_ops emulate_ops = {emulate_read, emulate_write, emulate_exchange, segment_base};

static int decode_at_rip(struct guest_access *a, u64 rip, struct insn *insn)
{
    u8 bytes[INSN_MAX_LENGTH];
    unsigned bits = vcpu_code_bits(a->v);
    u64 gva = bits == 64 ? rip : (u32)(vmcs_read(GUEST_CS_BASE) + rip);
    unsigned count = guest_fetch(a, gva, bytes, sizeof(bytes));
    return insn_decode(insn, bytes, count, bits);
}

static enum verdict emulate_outcome(struct vcpu *v, struct guest_access *a, int result)
{
    switch (result) {
    case 0:
    case EMULATE_RETRY:
        return VERDICT_RESUME;
    case GUEST_FAULT:
        return guest_fault(a);
    case EMULATE_GP:
        return event_gp(v);
    default:
        return vm_stop_unsupported(v, "the emulation of an instruction failed (%d)", result);
    }
}

// Completes the instruction at RIP in software. RIP moves here and not in the dispatcher because a repeated
// string instruction may stay where it is, with part of its work done.
enum verdict mmio_emulate(struct vcpu *v)
{
    struct guest_access a;
    struct insn insn;
    guest_access_init(&a, v);
    struct emulation e = {&v->world.regs, vmcs_read(GUEST_RIP), a.walk.rflags, &emulate_ops, &a};
    u64 rip = e.rip;
    int decoded = decode_at_rip(&a, rip, &insn);
    if (decoded == DECODE_UD)
        return event_ud(v);
    if (decoded != DECODE_OK)
        return vm_stop_unsupported(
            v,
            "the guest touches gpa 0x%lx with an instruction that the monitor does not "
            "emulate",
            vmcs_read(GUEST_PHYSICAL_ADDRESS));
    *vcpu_reg(v, GPR_RSP) = vmcs_read(GUEST_RSP);
    int result = insn_emulate(&insn, &e);
    vmcs_write(GUEST_RIP, e.rip);
    vmcs_write(GUEST_RFLAGS, e.rflags);
    if (*vcpu_reg(v, GPR_RSP) != vmcs_read(GUEST_RSP))
        vmcs_write(GUEST_RSP, *vcpu_reg(v, GPR_RSP));
    if (e.rip != rip)
        event_instruction_done(v, a.walk.rflags);
    return emulate_outcome(v, &a, result);
}

enum verdict exit_ept_violation(struct vcpu *v)
{
    u64 qualification = vmcs_read(EXIT_QUALIFICATION);
    struct mmu_fault fault = {
        .gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS),
        .gva_valid = qualification & VIOLATION_GVA_VALID,
        .write = qualification & VIOLATION_WRITE,
        .fetch = qualification & VIOLATION_FETCH,
        .present = qualification & VIOLATION_ALLOWED,
        .walk = qualification & VIOLATION_GVA_VALID && !(qualification & VIOLATION_NOT_WALK),
    };
    if (churn_touched(v, fault.gpa, true)) // what is read-only allows all else
        return VERDICT_RESUME;
    enum mmu_outcome outcome = mmu_fault(v, &fault);
    if (outcome == MMU_FIXED)
        return VERDICT_RESUME;
    if (outcome == MMU_UNSUPPORTED)
        return vm_stop_unsupported(v, "%s (gpa 0x%lx)", fault.why, fault.gpa);
    if (v->delivering)
        return vm_stop_unsupported(v, "an event was to be delivered through gpa 0x%lx, which is not RAM",
                                   fault.gpa);
    if (fault.fetch)
        return vm_stop_unsupported(v, "the guest executes at gpa 0x%lx, where there is no memory", fault.gpa);
    return mmio_emulate(v);
}
