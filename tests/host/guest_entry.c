// See guest_entry.h.
#include "guest_entry.h"

#include <arch/cpu.h>

static bool unpaged(const struct walk_context *guest)
{
    return model_mode(&guest->regs) == PAGING_NONE;
}

void guest_entry(struct model_cpu *cpu, const struct walk_context *guest)
{
    cpu->context = *guest;
    struct paging_regs *regs = &cpu->context.regs;
    regs->cr0 |= CR0_WP;
    if (shadow_hides_fetches(&guest->regs))
        regs->efer |= EFER_NXE;
    if (unpaged(guest)) {
        regs->cr0 |= CR0_PG;
        regs->cr4 = (regs->cr4 & ~(CR4_SMEP | CR4_SMAP)) | CR4_PAE;
        regs->efer &= ~(EFER_LME | EFER_LMA);
    }
    cpu->context.has_1g_pages = true;
    cpu_enter(cpu);
}

static void flush_vpid(void *cpu, u16 vpid)
{
    cpu_flush_vpid(cpu, vpid);
}

static void flush_all(void *cpu)
{
    cpu_flush_all(cpu);
}

static void flush_address(void *cpu, u64 gva)
{
    cpu_flush_address(cpu, gva);
}

struct shadow_hw guest_hardware(struct model_cpu *cpu, u64 (*now)(void *cpu))
{
    return (struct shadow_hw){flush_vpid, flush_all, flush_address, now, cpu};
}

bool fault_is_direct(const struct shadow *engine, const struct walk_context *guest, u32 error_code)
{
    return !(error_code & PFEC_P) && shadow_absent_is_true(engine) && !unpaged(guest) &&
           !shadow_hides_fetches(&guest->regs);
}

bool cr3_is_target(const struct shadow_view *view, u64 cr3)
{
    u64 targets[SHADOW_TARGETS];
    unsigned count = shadow_targets(view, targets), i = 0;
    while (i < count && targets[i] != cr3)
        i++;
    return i < count;
}
