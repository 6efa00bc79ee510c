// #PF and INVLPG exits: shadow paging. The back end judges; here the instruction that writes to a watched
// page table is carried out.
#include <arch/cpu.h>
#include <arch/lib.h>
#include <arch/phys.h>

#include "auto_mode.h"
#include "debug.h"
#include "emulate.h"
#include "event.h"
#include "exit.h"
#include "guest_access.h"
#include "insn_cache.h"
#include "mmio.h"
#include "stop.h"
#include "../vm.h"

// The instruction at RIP, of 64-bit code; NULL: it is not one that is known. Its bytes are where the
// processor has just fetched them from. Near the end of a page, or where the tables have changed since, they
// are copied by the guest's own tables.
static const struct insn *instruction_at(struct vcpu *v, u64 rip, u64 code)
{
    if (!(rip >> 32) && vcpu_code_bits(v) != 64) // in other code RIP has 32 bits
        return NULL;
    if ((rip & (PAGE_SIZE - 1)) <= PAGE_SIZE - INSN_CACHE_BYTES && code)
        return insn_cache_decode(&v->vm->insn_cache, rip, phys_ptr(code));
    u8 copy[INSN_CACHE_BYTES] = {0};
    struct guest_access a;
    guest_access_init(&a, v);
    unsigned count = guest_fetch(&a, copy, INSN_MAX_LENGTH);
    const struct insn *insn = insn_cache_decode(&v->vm->insn_cache, rip, copy);
    return insn && insn->length <= count ? insn : NULL;
}

// Whether the operand begins where the fault is: one that begins on the page before faults here with its
// second half.
static bool begins_at(struct vcpu *v, const struct insn *insn, u64 rip, u64 gva)
{
    struct emulation e = {.gprs = &v->world.regs, .rip = rip};
    return guest_linear(v, emulate_address(insn, &e)) == gva;
}

// The guest's operands need not be aligned.
typedef u16 operand16 __attribute__((aligned(1)));
typedef u32 operand32 __attribute__((aligned(1)));
typedef u64 operand64 __attribute__((aligned(1)));

static u64 memory_load(const void *at, unsigned size)
{
    switch (size) {
    case 1:
        return *(const volatile u8 *)at;
    case 2:
        return *(const volatile operand16 *)at;
    case 4:
        return *(const volatile operand32 *)at;
    default:
        return *(const volatile operand64 *)at;
    }
}

// One store, as the guest's is. It need not be locked: no other processor runs guest code.
static void memory_store(void *at, unsigned size, u64 value)
{
    switch (size) {
    case 1:
        *(volatile u8 *)at = (u8)value;
        break;
    case 2:
        *(volatile operand16 *)at = (u16)value;
        break;
    case 4:
        *(volatile operand32 *)at = (u32)value;
        break;
    default:
        *(volatile operand64 *)at = value;
    }
}

// Whether the write of `insn` is one to f->hpa alone. An operand that begins on the page before faults here
// with its second half, so near the page's begin it must be computed.
static bool is_one_write(struct vcpu *v, const struct insn *insn, u64 rip, const struct mmu_fault *f)
{
    u64 offset = f->hpa & (PAGE_SIZE - 1);
    if (insn->size > sizeof(u64) || offset + insn->size > PAGE_SIZE)
        return false;
    return offset >= insn->size || begins_at(v, insn, rip, f->gva);
}

// As kernels write page tables: to an aligned address. False: it is another write, or one that may begin on
// the page before.
static inline bool store_register(struct vcpu *v, const struct insn *insn, u64 hpa)
{
    if (!insn->stores || hpa % sizeof(u64) || !(hpa & (PAGE_SIZE - 1)))
        return false;
    volatile u64 *to = phys_ptr(hpa);
    u64 *from = vcpu_reg(v, insn->reg), value = *from;
    if (insn->op == INSN_XCHG)
        *from = *to;
    *to = value;
    return true;
}

// Carries out the one write of `insn` at f->hpa, *rflags becoming those after it. False: it is not one that
// can be.
static bool write_once(struct vcpu *v, const struct insn *insn, u64 rip, u64 *rflags,
                       const struct mmu_fault *f)
{
    u64 new;
    if (likely(store_register(v, insn, f->hpa)))
        return true;
    bool stack = insn_uses_stack_pointer(insn);
    if (stack)
        *vcpu_reg(v, GPR_RSP) = vmcs_read(GUEST_RSP);
    if (!is_one_write(v, insn, rip, f))
        return false;
    void *at = phys_ptr(f->hpa);
    if (!insn_write_value(insn, &v->world.regs, rflags, memory_load(at, insn->size), &new))
        return false;
    memory_store(at, insn->size, new);
    if (stack)
        vmcs_write(GUEST_RSP, *vcpu_reg(v, GPR_RSP));
    return true;
}

// Not a part of exit_page_fault, whose usual way is to be short. While data breakpoints are enabled the
// processor itself writes, and so sees those that are hit.
static __attribute__((noinline)) enum verdict traced_write(struct vcpu *v, struct mmu_fault *f)
{
    u64 rip = f->rip, rflags = vmcs_read(GUEST_RFLAGS), after = rflags;
    const struct insn *insn = debug_watches_memory(v) ? NULL : instruction_at(v, rip, f->code);
    if (!insn || !write_once(v, insn, rip, &after, f)) {
        mmu_release(v, f->hpa);
        return VERDICT_RESUME;
    }
    f->plain = insn->op == INSN_MOV;
    mmu_carried_out(v, f, insn->size);
    event_instruction_done(v, rflags, after);
    v->next_rip = rip + insn->length;
    return VERDICT_NEXT;
}

// Under shadow paging the monitor walks the guest's tables itself. Under EPT a #PF exits to be counted.
static __attribute__((noinline)) enum mmu_outcome observed_fault(struct vcpu *v, struct mmu_fault *f)
{
    struct walk_context context;
    if (auto_mode_fault(v))
        return MMU_GUEST_FAULT;
    if (v->vm->churn.count) {
        vcpu_walk_context(v, &context);
        if (churn_uncover(v, &context, f->gva, f->error_code & PFEC_W))
            return MMU_FIXED;
    }
    return mmu_fault(v, f);
}

enum verdict exit_page_fault(struct vcpu *v)
{
    struct mmu_fault f; // the back end sets the rest of what it asks for
    f.gva = vmcs_read(EXIT_QUALIFICATION);
    f.error_code = (u32)vmcs_read(EXIT_INTERRUPTION_ERROR_CODE);
    switch (unlikely(v->observed) ? observed_fault(v, &f) : mmu_fault(v, &f)) {
    case MMU_FIXED:
        return VERDICT_RESUME;
    case MMU_GUEST_FAULT:
        return v->delivering ? event_pf_in_delivery(v, f.gva, f.error_code)
                             : event_pf_that_exited(v, f.gva, f.error_code);
    case MMU_TRACED:
        if (!v->delivering)
            return traced_write(v, &f);
        mmu_release(v, f.hpa); // the processor itself writes, to a stack that is also a page table
        return VERDICT_RESUME;
    default: // a device or a hole
        if (v->delivering || f.error_code & PFEC_I)
            return vm_stop_unsupported(
                v, "the guest executes at, or its events go to, gva 0x%lx, which is not RAM", f.gva);
        return mmio_emulate(v, "gva", f.gva);
    }
}

enum verdict exit_invlpg(struct vcpu *v)
{
    mmu_invlpg(v, vmcs_read(EXIT_QUALIFICATION));
    return VERDICT_SKIP;
}
