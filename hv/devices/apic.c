// See apic.h. SDM vol. 3, chapter 11.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/local_apic.h>
#include <arch/timer.h>
#include <arch/traps.h>

#include "apic.h"
#include "msr_bitmap.h"
#include "../vm.h"

#define APIC_BASE_ADDRESS 0x000ffffffffff000ull
#define APIC_BASE_MODE    (APIC_BASE_ENABLE | APIC_BASE_X2APIC)
#define ICR_SELF          (1u << 18)
#define LVT_MASKED        0x10000u
#define LVT_MODE          0x700u
#define LVT_EXTINT        0x700u
#define SVR_RESET         0xffu
#define SVR_ENABLED       BIT(8)

enum {
    REG_ID = LOCAL_APIC_ID,
    REG_VERSION = 0x30,
    REG_TPR = 0x80,
    REG_EOI = 0xb0,
    REG_LDR = 0xd0,
    REG_DFR = 0xe0,
    REG_SVR = 0xf0,
    REG_IRR = 0x200,
    REG_ESR = 0x280,
    REG_CMCI = 0x2f0,
    REG_ICR = 0x300,
    REG_ICR_HIGH = 0x310,
    REG_LVT_TIMER = 0x320,
    REG_LVT_LINT0 = 0x350,
    REG_LVT_ERROR = 0x370,
    REG_TIMER_INITIAL = 0x380,
    REG_DIVIDE = 0x3e0,
};

static u32 register_read(const struct apic *apic, u32 offset)
{
    return local_apic_read(apic->hardware_x2apic, offset);
}

// What the register refuses is dropped, as the page drops it.
static void msr_write(u32 offset, u64 value)
{
    bool taken = trap_try_wrmsr(X2APIC_MSR(offset), value);
    (void)taken;
}

static void register_write(const struct apic *apic, u32 offset, u32 value)
{
    if (apic->hardware_x2apic)
        msr_write(offset, value);
    else
        *local_apic_page(offset) = value;
}

void apic_end_service(const struct apic *apic)
{
    for (unsigned in_service = 0; in_service < 256; in_service++)
        register_write(apic, REG_EOI, 0);
}

void apic_accept(const struct apic *apic, bool on)
{
    register_write(apic, REG_SVR, on ? SVR_ENABLED | SVR_RESET : SVR_RESET);
}

// Puts all registers to what they are after reset: nothing pending but what is in IRR, everything masked.
static void reset(struct apic *apic)
{
    unsigned lvts = (register_read(apic, REG_VERSION) >> 16 & 0xff) + 1;
    register_write(apic, REG_TIMER_INITIAL, 0);
    for (u32 lvt = REG_LVT_TIMER; lvt <= REG_LVT_ERROR; lvt += 0x10)
        register_write(apic, lvt, LVT_MASKED);
    if (lvts > 6)
        register_write(apic, REG_CMCI, LVT_MASKED);
    register_write(apic, REG_DIVIDE, 0);
    register_write(apic, REG_TPR, 0);
    apic_end_service(apic);
    register_write(apic, REG_ESR, 0);
    if (!apic->hardware_x2apic) {
        register_write(apic, REG_LDR, 0);
        register_write(apic, REG_DFR, 0xffffffff);
    }
    register_write(apic, REG_SVR, SVR_RESET);
    apic->icr_high = apic->ldr = 0;
    apic->dfr = 0xffffffff;
}

// Firmware of large machines hands over in x2APIC mode, and so does a guest. Guests expect what a PC starts
// with. On the way the local APIC is disabled, after which that of Bochs 2.7 is gone: in an emulator it stays
// in x2APIC mode.
static void to_xapic(struct apic *apic, u64 base)
{
    u64 off = base & ~APIC_BASE_MODE;
    bool back = trap_try_wrmsr(IA32_APIC_BASE, off) && trap_try_wrmsr(IA32_APIC_BASE, off | APIC_BASE_ENABLE);
    apic->hardware_x2apic = !back || (rdmsr(IA32_APIC_BASE) & APIC_BASE_X2APIC);
}

const char *apic_missing(void)
{
    u64 base = rdmsr(IA32_APIC_BASE);
    if (!(base & APIC_BASE_ENABLE))
        return "The processor's local APIC is disabled: enable it in the firmware set-up.";
    if ((base & APIC_BASE_ADDRESS) != GUEST_LAPIC_GPA)
        return "The processor's local APIC is not at 0xfee00000, where the monitor expects it: load the firmware's defaults.";
    return NULL;
}

void apic_init(struct apic *apic, u32 id)
{
    u64 base = rdmsr(IA32_APIC_BASE);
    apic->hardware_x2apic = base & APIC_BASE_X2APIC;
    if (apic->hardware_x2apic && !timer_counts_instructions())
        to_xapic(apic, base);
    if (!apic->hardware_x2apic)
        *local_apic_page(REG_ID) = id << 24; // some processors let a guest write it
    apic->base = GUEST_LAPIC_GPA | APIC_BASE_BSP | APIC_BASE_ENABLE;
    apic->id = id;
    reset(apic);
}

int apic_map(struct vcpu *v)
{
    struct apic *apic = &v->vm->apic;
    struct p2m *p2m = &v->vm->p2m;
    gfn_t page = gpa_gfn(GUEST_LAPIC_GPA);
    if ((apic->base & APIC_BASE_MODE) != APIC_BASE_ENABLE)
        return p2m_clear(p2m, page, 1, P2M_HOLE);
    if (apic->hardware_x2apic)
        return p2m_clear(p2m, page, 1, P2M_DEVICE);
    return p2m_map(p2m, page, hpa_mfn(GUEST_LAPIC_GPA), 1, P2M_DIRECT);
}

void apic_raise(const struct apic *apic, u8 vector)
{
    local_apic_write(apic->hardware_x2apic, REG_ICR, ICR_SELF | vector);
}

void apic_self_registers(const struct apic *apic, u8 vector, struct gprs *regs)
{
    regs->r[GPR_RAX] = ICR_SELF | vector;
    regs->r[GPR_RDX] = 0;
    regs->r[GPR_RCX] = X2APIC_MSR(REG_ICR);
    regs->r[GPR_RDI] = apic->hardware_x2apic ? 0 : (u64)local_apic_page(REG_ICR);
}

// LINT0 of the machine's own leads to 8259s that the monitor has masked.
void apic_virtual_wire(const struct apic *apic)
{
    register_write(apic, REG_SVR, SVR_ENABLED | SVR_RESET);
    register_write(apic, REG_LVT_LINT0, LVT_EXTINT);
}

bool apic_takes_extint(const struct vcpu *v)
{
    const struct apic *apic = &v->vm->apic;
    if (!(apic->base & APIC_BASE_ENABLE))
        return true;
    return (register_read(apic, REG_LVT_LINT0) & (LVT_MODE | LVT_MASKED)) == LVT_EXTINT;
}

u64 apic_base_read(const struct vcpu *v)
{
    return v->vm->apic.base;
}

// SDM vol. 3, figure 11-27: the transitions that do not fault.
static bool transition_legal(u64 from, u64 to)
{
    if (to == APIC_BASE_X2APIC)
        return false;
    if (to == APIC_BASE_MODE)
        return from != 0;
    return !(from == APIC_BASE_MODE && to == APIC_BASE_ENABLE);
}

bool apic_base_write(struct vcpu *v, u64 value)
{
    struct apic *apic = &v->vm->apic;
    bool x2apic = v->vm->cpuid.has[CPUID_X2APIC];
    u64 known = GUEST_LAPIC_GPA | APIC_BASE_BSP | APIC_BASE_ENABLE | (x2apic ? APIC_BASE_X2APIC : 0);
    if (value & ~known || (value & APIC_BASE_ADDRESS) != GUEST_LAPIC_GPA)
        return false; // also: the page cannot be moved
    u64 from = apic->base & APIC_BASE_MODE, to = value & APIC_BASE_MODE;
    if (!transition_legal(from, to))
        return false;
    apic->base = value;
    if (to == 0)
        reset(apic);
    if (to == APIC_BASE_MODE && !apic->hardware_x2apic) {
        wrmsr(IA32_APIC_BASE, rdmsr(IA32_APIC_BASE) | APIC_BASE_X2APIC);
        apic->hardware_x2apic = true;
    }
    msr_x2apic_direct(v, to == APIC_BASE_MODE);
    return from == to || apic_map(v) == 0;
}

u32 apic_page_read(struct vcpu *v, u32 offset)
{
    struct apic *apic = &v->vm->apic;
    u64 value;
    switch (offset) {
    case REG_ID:
        return apic->id << 24;
    case REG_LDR:
        return apic->ldr;
    case REG_DFR:
        return apic->dfr;
    case REG_ICR_HIGH:
        return apic->icr_high;
    default:
        return trap_try_rdmsr(X2APIC_MSR(offset), &value) ? (u32)value : 0;
    }
}

void apic_page_write(struct vcpu *v, u32 offset, u32 value)
{
    struct apic *apic = &v->vm->apic;
    switch (offset) {
    case REG_ID:
        break;
    case REG_LDR:
        apic->ldr = value & 0xff000000;
        break;
    case REG_DFR:
        apic->dfr = value | 0x0fffffff;
        break;
    case REG_ICR_HIGH:
        apic->icr_high = value & 0xff000000;
        break;
    case REG_ICR:
        msr_write(REG_ICR, (u64)apic->icr_high << 8 | value);
        break;
    case REG_EOI: // any value does in the page; the MSRs take only 0
    case REG_ESR:
        register_write(apic, offset, 0);
        break;
    default:
        register_write(apic, offset, value);
    }
}
