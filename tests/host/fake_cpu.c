// See fake_cpu.h.
#include "fake_cpu.h"

#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/timer.h>
#include <arch/traps.h>
#include <arch/vmx.h>

#include "support.h"

#define FIELDS 0x8000u
#define MSRS   512

static struct vmcs_counts nobodys, *counts = &nobodys;

void vmcs_count_in(struct vmcs_counts *to)
{
    counts = to;
}

u64 vmcs_counts_base(void)
{
    return (u64)counts;
}

static u64 vmcs[FIELDS];
static struct {
    u64 value;
    bool set;
} left[FIELDS]; // by the processor, at the last exit

// SDM vol. 3, table 25-21: bits 14:13 of an encoding are the width, bits 11:10 the kind (1: read-only).
static u64 field_mask(enum vmcs_field field)
{
    static const u64 masks[] = {0xffff, ~0ull, 0xffffffff, ~0ull};
    return masks[field >> 13 & 3];
}

enum shadowed { NO, RO, RW };

static const u8 shadowed[FIELDS] = {
#define FIELD(name, encoding, shadowed) [encoding] = shadowed,
#include <arch/vmcs.def>
#undef FIELD
};
unsigned fake_dear;

u64 vmcs_read(enum vmcs_field field)
{
    counts->reads++;
    fake_dear += shadowed[field] == NO;
    return vmcs[field];
}

bool vmcs_try_read(enum vmcs_field field, u64 *value)
{
    *value = vmcs_read(field);
    return true;
}

void vmcs_write(enum vmcs_field field, u64 value)
{
    if ((field >> 10 & 3) == 1)
        fail_msg("VMWRITE of the read-only field %x", field);
    if (value & ~field_mask(field))
        fail_msg("VMWRITE of %lx to field %x", value, field);
    counts->writes++;
    fake_dear += shadowed[field] != RW;
    vmcs[field] = value;
}

void fake_vmcs_set(enum vmcs_field field, u64 value)
{
    left[field].value = vmcs[field] = value & field_mask(field);
    left[field].set = true;
}

u64 fake_vmcs_left(enum vmcs_field field)
{
    return left[field].set ? left[field].value : vmcs_read(field);
}

static struct {
    u32 msr;
    u64 value;
} msrs[MSRS];
static unsigned msr_count;

struct fake_msr_write fake_msr_writes[FAKE_MSR_WRITES];
unsigned fake_msr_write_count;
bool (*fake_msr_refuses)(u32 msr, u64 value);
u64 (*fake_msr_reads)(u32 msr, u64 value);
bool fake_counts_instructions;
struct cpuid (*fake_cpuid)(u32 leaf, u32 subleaf);
u64 fake_tsc;
u64 fake_cr3;
unsigned fake_wbinvd, fake_cr3_writes;
u32 fake_pkru;
u64 fake_cr4;
unsigned fake_cr4_writes;
u64 fake_cr2, fake_xcr0, fake_dr6, fake_breakpoints[4];
unsigned fake_invept, fake_invvpid;

static u64 *find(u32 msr)
{
    for (unsigned i = 0; i < msr_count; i++) {
        if (msrs[i].msr == msr)
            return &msrs[i].value;
    }
    return NULL;
}

void fake_msr_set(u32 msr, u64 value)
{
    u64 *found = find(msr);
    if (!found) {
        assert_true(msr_count < MSRS);
        msrs[msr_count].msr = msr;
        found = &msrs[msr_count++].value;
    }
    *found = value;
}

u64 fake_msr(u32 msr)
{
    u64 *found = find(msr);
    if (!found)
        fail_msg("MSR %x does not exist", msr);
    return *found;
}

void fake_cpu_reset(void)
{
    memset(vmcs, 0, sizeof(vmcs));
    memset(left, 0, sizeof(left));
    msr_count = fake_msr_write_count = 0;
    fake_msr_refuses = NULL;
    fake_msr_reads = NULL;
    fake_counts_instructions = false;
    fake_cpuid = NULL;
    fake_cr2 = fake_dr6 = 0;
    memset(fake_breakpoints, 0, sizeof(fake_breakpoints));
    fake_xcr0 = 1;
    fake_invept = fake_invvpid = fake_wbinvd = fake_cr3_writes = 0;
    fake_cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE | CR4_PKE;
    fake_cr4_writes = fake_pkru = 0;
}

struct cpuid cpuid(u32 leaf, u32 subleaf)
{
    return fake_cpuid ? fake_cpuid(leaf, subleaf) : (struct cpuid){0, 0, 0, 0};
}

bool timer_counts_instructions(void)
{
    return fake_counts_instructions;
}

bool trap_try_rdmsr(u32 index, u64 *value)
{
    u64 *found = find(index);
    if (found)
        *value = fake_msr_reads ? fake_msr_reads(index, *found) : *found;
    return found;
}

bool trap_try_wrmsr(u32 index, u64 value)
{
    u64 *found = find(index);
    if (!found || (fake_msr_refuses && fake_msr_refuses(index, value)))
        return false;
    *found = value;
    assert_true(fake_msr_write_count < FAKE_MSR_WRITES);
    fake_msr_writes[fake_msr_write_count++] = (struct fake_msr_write){index, value};
    return true;
}

u64 rdmsr(u32 msr)
{
    u64 value = 0;
    if (!trap_try_rdmsr(msr, &value))
        fail_msg("MSR %x does not exist", msr);
    return value;
}

void wrmsr(u32 msr, u64 value)
{
    if (!trap_try_wrmsr(msr, value))
        fail_msg("WRMSR %x of %lx raises #GP", msr, value);
}

u64 rdtsc(void)
{
    return fake_tsc += 100;
}

void write_cr2(u64 value)
{
    fake_cr2 = value;
}

u64 read_cr3(void)
{
    return fake_cr3;
}

void write_cr3(u64 value)
{
    fake_cr3 = value;
    fake_cr3_writes++;
}

int pause(void)
{
    return 0;
}

void wbinvd(void)
{
    fake_wbinvd++;
}

u64 read_cr4(void)
{
    return fake_cr4;
}

void write_cr4(u64 value)
{
    fake_cr4_writes++;
    fake_cr4 = value;
}

u32 read_pkru(void)
{
    if (!(fake_cr4 & CR4_PKE))
        fail_msg("RDPKRU without CR4.PKE raises #UD");
    return fake_pkru;
}

// A program may bring its own XCR0.
__attribute__((weak)) u64 xgetbv(void)
{
    return fake_xcr0;
}

__attribute__((weak)) u64 xgetbv_in_use(void)
{
    return fake_xcr0;
}

__attribute__((weak)) bool trap_try_xsetbv(u64 value)
{
    if (!(value & 1))
        return false;
    fake_xcr0 = value;
    return true;
}

u64 read_breakpoint(unsigned n)
{
    assert_in_range(n, 0, 3);
    return fake_breakpoints[n];
}

u64 read_dr6(void)
{
    return fake_dr6;
}

void write_dr6(u64 value)
{
    if (value >> 32)
        fail_msg("MOV DR6 of %lx raises #GP", value);
    fake_dr6 = value;
}

void vmx_invept(u64 type, u64 eptp)
{
    (void)type, (void)eptp;
    fake_invept++;
}

void vmx_invvpid(u64 type, u16 vpid, u64 gva)
{
    (void)type, (void)vpid, (void)gva;
    fake_invvpid++;
}

u32 vmx_controls_fit(struct vmx_controls controls, u32 wanted)
{
    return (wanted | controls.must) & controls.may;
}
