// See dump_vmcs.h.
#include <arch/cpu.h>
#include <arch/lib.h>
#include <arch/vmx.h>
#include <hv/log.h>

#include "dump_vmcs.h"

static const struct {
    enum vmcs_field field;
    const char *name;
} fields[] = {
#define FIELD(name, ...) {name, #name},
#include <arch/vmcs.def>
#undef FIELD
};

void vmcs_dump(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        u64 value;
        if (fields[i].field == VM_INSTRUCTION_ERROR) // by now that of a field which does not exist
            continue;
        if (vmcs_try_read(fields[i].field, &value))
            log_error("  %-32s 0x%016lx", fields[i].name, value);
    }
}

static bool canonical(u64 address)
{
    return (u64)((s64)(address << 16) >> 16) == address;
}

#define RIGHTS_UNUSABLE BIT(16)
#define RIGHTS_L        BIT(13)
#define RIGHTS_DB       BIT(14)

struct state {
    u64 cr0, cr3, cr4, efer, entry, cs, tr, rflags, rip, link, activity, blocking;
};

static bool bad_paging(const struct state *s)
{
    return s->cr0 & CR0_PG && !(s->cr0 & CR0_PE);
}

static bool bad_ia32e(const struct state *s)
{
    return s->entry & ENTRY_IA32E_GUEST && (!(s->cr0 & CR0_PG) || !(s->cr4 & CR4_PAE));
}

static bool bad_pcide(const struct state *s)
{
    return !(s->entry & ENTRY_IA32E_GUEST) && s->cr4 & CR4_PCIDE;
}

static bool bad_lma(const struct state *s)
{
    return s->entry & ENTRY_LOAD_EFER && !(s->entry & ENTRY_IA32E_GUEST) != !(s->efer & EFER_LMA);
}

static bool bad_lme(const struct state *s)
{
    return s->entry & ENTRY_LOAD_EFER && s->cr0 & CR0_PG && !(s->efer & EFER_LMA) != !(s->efer & EFER_LME);
}

static bool bad_code(const struct state *s)
{
    return s->cs & RIGHTS_L && s->cs & RIGHTS_DB;
}

static bool bad_tr(const struct state *s)
{
    return s->tr & RIGHTS_UNUSABLE || !((s->tr & 15) == 11 || (s->tr & 15) == 3);
}

static bool bad_rflags(const struct state *s)
{
    return !(s->rflags & RFLAGS_FIXED) || s->rflags >> 22;
}

static bool bad_rip(const struct state *s)
{
    return s->cs & RIGHTS_L && s->entry & ENTRY_IA32E_GUEST ? !canonical(s->rip) : s->rip >> 32 != 0;
}

static bool bad_link(const struct state *s)
{
    return s->link != ~0ull;
}

static bool bad_blocking(const struct state *s)
{
    return (s->blocking & 3) == 3 || (s->blocking & 1 && !(s->rflags & RFLAGS_IF));
}

static const struct {
    bool (*fails)(const struct state *);
    const char *what;
} checks[] = {
    {bad_paging, "27.3.1.1: CR0.PG is set without CR0.PE"},
    {bad_ia32e, "27.3.1.1: \"IA-32e mode guest\" without CR0.PG and CR4.PAE"},
    {bad_pcide, "27.3.1.1: CR4.PCIDE outside IA-32e mode"},
    {bad_lma, "27.3.1.1: IA32_EFER.LMA differs from \"IA-32e mode guest\""},
    {bad_lme, "27.3.1.1: IA32_EFER.LMA differs from LME under CR0.PG"},
    {bad_code, "27.3.1.2: CS has both L and D/B"},
    {bad_tr, "27.3.1.2: TR is not a usable busy TSS"},
    {bad_rip, "27.3.1.4: RIP is not canonical, or is above 4 GiB outside 64-bit mode"},
    {bad_rflags, "27.3.1.4: reserved bits of RFLAGS"},
    {bad_link, "27.3.1.5: the VMCS link pointer"},
    {bad_blocking, "27.3.1.5: blocking by STI and MOV SS together, or by STI with IF clear"},
};

const char *vmcs_guest_state_problem(void)
{
    struct state s = {
        vmcs_read(GUEST_CR0),
        vmcs_read(GUEST_CR3),
        vmcs_read(GUEST_CR4),
        0,
        vmcs_read(ENTRY_CONTROLS),
        vmcs_read(GUEST_CS_ACCESS_RIGHTS),
        vmcs_read(GUEST_TR_ACCESS_RIGHTS),
        vmcs_read(GUEST_RFLAGS),
        vmcs_read(GUEST_RIP),
        vmcs_read(VMCS_LINK_POINTER),
        vmcs_read(GUEST_ACTIVITY_STATE),
        vmcs_read(GUEST_INTERRUPTIBILITY),
    };
    if (s.entry & ENTRY_LOAD_EFER) // else the field need not exist, and the checks of EFER do not apply
        s.efer = vmcs_read(GUEST_IA32_EFER);
    for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
        if (checks[i].fails(&s))
            return checks[i].what;
    }
    return "none of the checks that the monitor knows";
}
