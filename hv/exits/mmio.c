// EPT violations, and the instructions that touch what is not RAM: device models, holes, writes to read-only
// memory.
#include <arch/cpu.h>
#include <arch/lib.h>
#include <hv/log.h>

#include "debug.h"
#include "emulate.h"
#include "event.h"
#include "exit.h"
#include "guest_access.h"
#include "mmio.h"
#include "stop.h"
#include "../vm.h"

// Exit qualification of EPT violations (SDM vol. 3, table 28-7).
#define VIOLATION_WRITE     BIT(1)
#define VIOLATION_FETCH     BIT(2)
#define VIOLATION_ALLOWED   (7ull << 3)
#define VIOLATION_GVA_VALID BIT(7)
#define VIOLATION_NOT_WALK  BIT(8)

static int emulate_read(void *context, struct insn_address at, void *data, unsigned size, bool update)
{
    return guest_read(context, at, data, size, update);
}

static int emulate_write(void *context, struct insn_address at, const void *data, unsigned size)
{
    return guest_write(context, at, data, size);
}

static const struct emulate_ops emulate_ops = {emulate_read, emulate_write};

// The bytes at RIP are no instruction that insn_emulate knows. Where they end too early the guest's tables
// have none any more: the processor had them in its TLB, as it need not.
static enum verdict not_decoded(struct vcpu *v, struct guest_access *a, int decoded, const char *where)
{
    if (decoded == DECODE_TRUNCATED && a->fault_vector)
        return guest_fault(a);
    if (decoded == DECODE_UD)
        return event_ud(v);
    if (decoded == DECODE_GP)
        return event_gp(v);
    return vm_stop_unsupported(
        v, "the guest touches %s with an instruction that the monitor does not emulate", where);
}

// A repeated string instruction may stay where it is, with part of its work done.
static enum verdict emulate(struct vcpu *v, struct guest_access *a, const struct insn *insn)
{
    u64 before = a->walk.rflags,
        step = a->dr7 ? RFLAGS_TF & ~before : 0; // a breakpoint traps after an iteration
    struct emulation e = {&v->world.regs, vmcs_read(GUEST_RIP), before | step, &emulate_ops, a};
    u64 rip = e.rip;
    *vcpu_reg(v, GPR_RSP) = vmcs_read(GUEST_RSP);
    int result = insn_emulate(insn, &e);
    if (*vcpu_reg(v, GPR_RSP) != vmcs_read(GUEST_RSP))
        vmcs_write(GUEST_RSP, *vcpu_reg(v, GPR_RSP));
    if (result)
        return guest_fault(a);
    debug_hit(v, a->hits);
    if (e.rip == rip) {
        event_iteration_done(v, before, e.rflags & ~step);
        return VERDICT_RESUME;
    }
    event_instruction_done(v, before, e.rflags & ~step);
    v->next_rip = e.rip;
    return VERDICT_NEXT;
}

enum verdict mmio_emulate(struct vcpu *v, const char *space, u64 address)
{
    char where[32];
    u8 bytes[INSN_MAX_LENGTH];
    struct guest_access a;
    struct insn insn;
    guest_access_init(&a, v);
    unsigned count = guest_fetch(&a, bytes, sizeof(bytes));
    int decoded = insn_decode(&insn, bytes, count, vcpu_code_bits(v));
    if (decoded == DECODE_OK)
        return emulate(v, &a, &insn);
    fmt(where, sizeof(where), "%s 0x%lx", space, address);
    return not_decoded(v, &a, decoded, where);
}

static enum verdict violation(struct vcpu *v, u64 qualification)
{
    struct mmu_fault fault = {
        .gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS),
        .access.kind = qualification & VIOLATION_WRITE   ? ACCESS_WRITE
                       : qualification & VIOLATION_FETCH ? ACCESS_FETCH
                                                         : ACCESS_READ,
        .walk = qualification & VIOLATION_GVA_VALID && !(qualification & VIOLATION_NOT_WALK),
    };
    if (churn_touched(v, fault.gpa, true)) // what is read-only allows all else
        return VERDICT_RESUME;
    enum mmu_outcome outcome = mmu_fault(v, &fault);
    if (outcome == MMU_FIXED)
        return VERDICT_RESUME;
    if (outcome == MMU_UNSUPPORTED)
        return vm_stop_unsupported(v, "%s (gpa 0x%lx)", v->unsupported, fault.gpa);
    if (v->delivering)
        return vm_stop_unsupported(v, "an event was to be delivered through gpa 0x%lx, which is not RAM",
                                   fault.gpa);
    if (fault.access.kind == ACCESS_FETCH)
        return vm_stop_unsupported(v, "the guest executes at gpa 0x%lx, where there is no memory", fault.gpa);
    return mmio_emulate(v, "gpa", fault.gpa);
}

enum verdict exit_ept_violation(struct vcpu *v)
{
    u64 qualification = vmcs_read(EXIT_QUALIFICATION);
    enum verdict verdict = violation(v, qualification);
    if (qualification & NMI_UNBLOCKED && verdict == VERDICT_RESUME)
        event_block_nmis(v);
    return verdict;
}

// The processor has met an entry that it does not know: our mistake, or it lacks what it says it has (SDM
// vol. 3, 29.3.3.1).
enum verdict exit_ept_misconfiguration(struct vcpu *v)
{
    u64 gpa = vmcs_read(GUEST_PHYSICAL_ADDRESS), entry[P2M_LEVELS + 1];
    p2m_path(&v->vm->p2m, gpa_gfn(gpa), entry);
    return vm_fail(v, "EPT misconfiguration at gpa 0x%lx: PML4E 0x%lx, PDPTE 0x%lx, PDE 0x%lx, PTE 0x%lx",
                   gpa, entry[4], entry[3], entry[2], entry[1]);
}
