// See fake_own_guest.h.
#include "fake_own_guest.h"

#include <arch/cpu.h>
#include <arch/world.h>

#include "hv/exits/vmcs_setup.h"
#include "hv/own_guest.h"

// The guests' code.
const u8 world_trial[1], world_open[1], world_idle[1];

struct fake_own_guest fake_own_guest;

void fake_own_guest_reset(void)
{
    fake_own_guest = (struct fake_own_guest){0};
}

int vmx_vmcs_new(const struct vmx_caps *caps, struct frames *frames, mfn_t *region)
{
    (void)caps;
    fake_own_guest.vmcs++;
    return frames_alloc(frames, ORDER_4K, FRAME_MONITOR, region);
}

void vmx_vmcs_drop(mfn_t region)
{
    (void)region;
    fake_own_guest.vmcs--;
}

void vmcs_setup_own(const struct vmx_caps *caps, u32 pin, u64 msr_bitmap_hpa)
{
    const u8 *bitmap = phys_ptr(msr_bitmap_hpa);
    (void)caps;
    fake_own_guest.pin = pin;
    for (unsigned i = 0; i < PAGE_SIZE; i++)
        assert_int_equal(bitmap[i], 0);
}

u64 world_nmi_take(void)
{
    u64 taken = fake_own_guest.nmis;
    fake_own_guest.nmis = 0;
    return taken;
}

void fake_exit(u64 reason)
{
    fake_vmcs_set(EXIT_REASON, reason);
    fake_vmcs_set(IDT_VECTORING_INFO, 0);
}

u64 fake_apic_register(const struct vcpu *v, u32 offset)
{
    return v->vm->apic.hardware_x2apic ? fake_msr(X2APIC_MSR(offset))
                                       : *(u32 *)phys_ptr(GUEST_LAPIC_GPA + offset);
}

void fake_apic_register_set(const struct vcpu *v, u32 offset, u32 value)
{
    if (v->vm->apic.hardware_x2apic)
        fake_msr_set(X2APIC_MSR(offset), value);
    else
        *(u32 *)phys_ptr(GUEST_LAPIC_GPA + offset) = value;
}
