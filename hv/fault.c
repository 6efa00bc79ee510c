// #PF and INVLPG exits: shadow paging. The back end judges; here the instruction that writes to a watched
// page table is carried out.
#include <arch/cpu.h>
#include <arch/lib.h>
#include <arch/phys.h>

#include "decode.h"
#include "emulate.h"
#include "event.h"
#include "guest_access.h"
#include "mmio.h"
#include "vm.h"

// The bytes of the instruction at RIP, where they are: the processor has just fetched them by the same
// tables. Near the end of a page, or where the tables have changed since, they are copied to `copy` by the
// guest's own tables.
static const u8 *instruction_bytes(struct vcpu *v, u64 rip, u8 *copy, unsigned *count)
{
    u64 hpa;
    *count = INSN_MAX_LENGTH;
    if ((rip & (PAGE_SIZE - 1)) <= PAGE_SIZE - INSN_MAX_LENGTH && mmu_translate(v, rip, &hpa))
        return phys_ptr(hpa);
    struct guest_access a;
    guest_access_init(&a, v);
    *count = guest_fetch(&a, rip, copy, INSN_MAX_LENGTH);
    return copy;
}

static u64 segment_base(void *context, enum insn_segment segment)
{
    (void)context;
    return vmcs_read(GUEST_ES_BASE + 2 * (enum vmcs_field)segment);
}

// Whether the operand begins where the fault is: one that begins on the page before faults here with its
// second half.
static bool begins_at(struct vcpu *v, const struct insn *insn, u64 rip, u64 gva)
{
    static const struct emulate_ops ops = {.segment_base = segment_base};
    struct emulation e = {.gprs = &v->world.regs, .rip = rip, .ops = &ops};
    return emulate_gva(insn, &e) == gva;
}

static bool inside_page(u64 hpa, unsigned bytes)
{
    return (hpa & (PAGE_SIZE - 1)) + bytes <= PAGE_SIZE;
}

// Carries out the one write of `insn` at f->hpa. False: it is not one that can be.
static bool write_once(struct vcpu *v, const struct insn *insn, u64 rip, const struct mmu_fault *f)
{
    u64 old = 0, new, rflags = 0;
    if (insn->size > sizeof(old) || !inside_page(f->hpa, insn->size))
        return false;
    *vcpu_reg(v, GPR_RSP) = vmcs_read(GUEST_RSP);
    if (!begins_at(v, insn, rip, f->gva))
        return false;
    bool flags = insn->op != INSN_MOV;
    if (flags)
        rflags = vmcs_read(GUEST_RFLAGS);
    void *at = phys_ptr(f->hpa);
    memcpy(&old, at, insn->size);
    if (!insn_write_value(insn, &v->world.regs, &rflags, old, &new))
        return false;
    if (insn->size == sizeof(u64))
        *(volatile u64 *)at = new;
    else
        memcpy(at, &new, insn->size);
    if (flags)
        vmcs_write(GUEST_RFLAGS, rflags);
    return true;
}

static enum verdict traced_write(struct vcpu *v, const struct mmu_fault *f)
{
    u8 copy[INSN_MAX_LENGTH];
    unsigned count;
    struct insn insn;
    u64 rip = vmcs_read(GUEST_RIP);
    const u8 *bytes = instruction_bytes(v, rip, copy, &count);
    bool long_code = vcpu_code_bits(v) == 64;
    if (!long_code || insn_decode(&insn, bytes, count, 64) != DECODE_OK || !write_once(v, &insn, rip, f)) {
        mmu_release(v, f->hpa);
        return VERDICT_RESUME;
    }
    mmu_written(v, f->hpa, insn.size);
    vmcs_write(GUEST_RIP, rip + insn.length);
    event_instruction_done(v);
    return VERDICT_RESUME;
}

// A true fault. While an event was being delivered it is a second fault (SDM vol. 3, table 6-5).
static enum verdict true_fault(struct vcpu *v, const struct mmu_fault *f)
{
    if (v->delivering && event_is_contributory(v))
        return event_exception(v, VECTOR_DF, 0);
    return event_pf(v, f->gva, f->error_code);
}

// Under shadow paging the monitor walks the guest's tables itself.
static bool uncovered(struct vcpu *v, const struct mmu_fault *f)
{
    struct guest_access a;
    if (!v->vm->churn.count)
        return false;
    guest_access_init(&a, v);
    return churn_uncover(v, &a.walk, f->gva, f->error_code & PFEC_W);
}

enum verdict exit_page_fault(struct vcpu *v)
{
    struct mmu_fault f = {
        .gva = vmcs_read(EXIT_QUALIFICATION),
        .gva_valid = true,
        .error_code = (u32)vmcs_read(EXIT_INTERRUPTION_ERROR_CODE),
    };
    if (uncovered(v, &f))
        return VERDICT_RESUME;
    switch (mmu_fault(v, &f)) {
    case MMU_FIXED:
        return VERDICT_RESUME;
    case MMU_GUEST_FAULT:
        return true_fault(v, &f);
    case MMU_TRACED:
        if (!v->delivering)
            return traced_write(v, &f);
        mmu_release(v, f.hpa); // the processor itself writes, to a stack that is also a page table
        return VERDICT_RESUME;
    case MMU_UNSUPPORTED:
        return vm_stop_unsupported(v, "%s (gva 0x%lx)", f.why, f.gva);
    default:
        if (v->delivering || f.error_code & PFEC_I)
            return vm_stop_unsupported(
                v, "the guest executes at, or its events go to, gva 0x%lx, which is not RAM", f.gva);
        return mmio_emulate(v);
    }
}

enum verdict exit_invlpg(struct vcpu *v)
{
    mmu_invlpg(v, vmcs_read(EXIT_QUALIFICATION));
    return VERDICT_SKIP;
}
