// The guest's processor as the guest sees it, out of the VMCS and what the monitor holds in its place. See
// vcpu.h.
#include <arch/cpu.h>
#include <arch/io.h>
#include <hv/walk.h>

#include "../vm.h"

u64 vcpu_cr0(const struct vcpu *v)
{
    return (vmcs_read(GUEST_CR0) & ~v->cr0_mask) | (vmcs_read(CR0_READ_SHADOW) & v->cr0_mask);
}

u64 vcpu_cr4(const struct vcpu *v)
{
    return (vmcs_read(GUEST_CR4) & ~v->cr4_mask) | (vmcs_read(CR4_READ_SHADOW) & v->cr4_mask);
}

u64 vcpu_cr3(const struct vcpu *v)
{
    return v->cr3_owned ? v->owned_cr3 : vmcs_read(GUEST_CR3);
}

struct paging_regs vcpu_paging(const struct vcpu *v)
{
    return (struct paging_regs){
        .cr0 = vcpu_cr0(v),
        .cr3 = vcpu_cr3(v),
        .cr4 = vcpu_cr4(v),
        .efer = v->efer_owned ? v->owned_efer : vmcs_read(GUEST_IA32_EFER),
    };
}

#define DPL_OF(rights) ((rights) >> 5 & 3)

unsigned vcpu_cpl(const struct vcpu *v)
{
    (void)v;
    return DPL_OF(vmcs_read(GUEST_SS_ACCESS_RIGHTS));
}

#define RIGHTS_L  BIT(13)
#define RIGHTS_DB BIT(14)

// "IA-32e mode guest" is EFER.LMA: where the guest can change it without an exit, exits store it there (SDM
// vol. 3, A.6, bit 5), and not every processor has the field GUEST_IA32_EFER.
bool vcpu_long_mode(const struct vcpu *v)
{
    return v->efer_owned ? v->owned_efer & EFER_LMA : vmcs_read(ENTRY_CONTROLS) & ENTRY_IA32E_GUEST;
}

unsigned vcpu_code_bits(const struct vcpu *v)
{
    u64 rights = vmcs_read(GUEST_CS_ACCESS_RIGHTS);
    return rights & RIGHTS_L && vcpu_long_mode(v) ? 64 : rights & RIGHTS_DB ? 32 : 16;
}

// A processor without EPT does not have the fields.
static void read_pdptes(u64 pdptes[4])
{
    static const enum vmcs_field fields[4] = {GUEST_PDPTE0, GUEST_PDPTE1, GUEST_PDPTE2, GUEST_PDPTE3};
    for (unsigned i = 0; i < 4; i++) {
        if (!vmcs_try_read(fields[i], &pdptes[i]))
            pdptes[i] = 0;
    }
}

void vcpu_walk_context(const struct vcpu *v, struct walk_context *w)
{
    *w = (struct walk_context){
        .p2m = &v->vm->p2m,
        .regs = vcpu_paging(v),
        .rflags = vmcs_read(GUEST_RFLAGS),
        .cpl = vcpu_cpl(v),
        .physical_bits = v->physical_bits,
        .has_1g_pages = v->has_1g_pages,
    };
    if (w->regs.cr4 & CR4_PKE)
        w->pkru = read_pkru();
    if (walk_mode(&w->regs) == PAGING_PAE)
        read_pdptes(w->pdptes);
}
