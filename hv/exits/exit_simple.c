// Exits whose handling is a few lines: CPUID, XSETBV, and what a guest does not have.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/traps.h>

#include "event.h"
#include "exit.h"
#include "stop.h"
#include "../vm.h"

#define CPUID_1_ECX_OSXSAVE BIT(27)
#define CPUID_1_EDX_APIC    BIT(9)
#define CPUID_7_ECX_OSPKE   BIT(4)

// The bits of CPUID that show what the guest has switched on.
static void cpuid_dynamic(struct vcpu *v, u32 leaf, u32 subleaf, struct cpuid_regs *regs)
{
    if (leaf == 1) {
        regs->r[2] |= vmcs_read(GUEST_CR4) & CR4_OSXSAVE ? CPUID_1_ECX_OSXSAVE : 0;
        regs->r[3] |= v->vm->apic.base & APIC_BASE_ENABLE ? CPUID_1_EDX_APIC : 0;
    } else if (leaf == 7 && subleaf == 0) {
        regs->r[2] |= vmcs_read(GUEST_CR4) & CR4_PKE ? CPUID_7_ECX_OSPKE : 0;
    } else if (leaf == 0xd && subleaf < 2) {
        regs->r[1] = cpuid_xsave_bytes(&v->vm->cpuid, xgetbv(), subleaf == 1);
    }
}

enum verdict exit_cpuid(struct vcpu *v)
{
    u32 leaf = (u32)*vcpu_reg(v, GPR_RAX), subleaf = (u32)*vcpu_reg(v, GPR_RCX);
    const struct cpuid_row *row = cpuid_find(&v->vm->cpuid, leaf, subleaf);
    struct cpuid_regs regs = {{0}};
    if (row) {
        regs = row->regs;
        cpuid_dynamic(v, row->leaf, subleaf, &regs);
    }
    *vcpu_reg(v, GPR_RAX) = regs.r[0];
    *vcpu_reg(v, GPR_RBX) = regs.r[1];
    *vcpu_reg(v, GPR_RCX) = regs.r[2];
    *vcpu_reg(v, GPR_RDX) = regs.r[3];
    return VERDICT_SKIP;
}

// SDM vol. 1, 13.3: what XCR0 may hold. The processor itself has the last word. CPL is its business too (SDM
// vol. 3, 26.1.1), but Bochs 2.7 exits first.
enum verdict exit_xsetbv(struct vcpu *v)
{
    u64 value = *vcpu_reg(v, GPR_RDX) << 32 | (u32)*vcpu_reg(v, GPR_RAX);
    bool known = (u32)*vcpu_reg(v, GPR_RCX) == 0 && !(value & ~v->vm->cpuid.xcr0);
    return known && vcpu_cpl(v) == 0 && trap_try_xsetbv(value) ? VERDICT_SKIP : event_gp(v);
}

// Instructions of features that CPUID hides.
enum verdict exit_undefined(struct vcpu *v)
{
    return event_ud(v);
}

// No performance counter is offered.
enum verdict exit_rdpmc(struct vcpu *v)
{
    return event_gp(v);
}

// The caches hold the monitor's data too: they are written back, which the SDM allows INVD's user to see.
enum verdict exit_invd(struct vcpu *v)
{
    (void)v;
    __asm__ volatile("wbinvd" : : : "memory");
    return VERDICT_SKIP;
}

enum verdict exit_init(struct vcpu *v)
{
    return vm_stop(v, "guest reset by an INIT signal");
}

enum verdict exit_task_switch(struct vcpu *v)
{
    return vm_stop_unsupported(v, "the guest switches tasks by a TSS, which the monitor does not emulate");
}
