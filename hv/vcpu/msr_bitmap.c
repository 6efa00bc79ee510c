// See msr_bitmap.h. The bitmap itself is made of the rows of msrs.def: msr_table.c.
#include <arch/cpu.h>
#include <arch/phys.h>

#include "msr_bitmap.h"
#include "msr_table.h"
#include "../vm.h"

static u8 *bitmap_of(struct vcpu *v)
{
    return phys_ptr(v->vm->msr_bitmap_hpa);
}

void msr_efer_direct(struct vcpu *v, bool direct)
{
    msr_bitmap_read(bitmap_of(v), IA32_EFER, direct);
    msr_bitmap_write(bitmap_of(v), IA32_EFER, direct);
}

void msr_pat_direct(struct vcpu *v, bool direct)
{
    msr_bitmap_write(bitmap_of(v), IA32_PAT, direct);
}

void msr_x2apic_direct(struct vcpu *v, bool direct)
{
    for (u32 index = IA32_X2APIC_FIRST; index <= IA32_X2APIC_LAST; index++) {
        msr_bitmap_read(bitmap_of(v), index, direct);
        msr_bitmap_write(bitmap_of(v), index, direct);
    }
}
