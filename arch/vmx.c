// See arch/vmx.h.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/panic.h>
#include <arch/phys.h>
#include <arch/traps.h>
#include <arch/vmx.h>

#define FEATURE_CONTROL_LOCK BIT(0)
#define FEATURE_CONTROL_VMX  BIT(2) // VMX outside SMX
#define BASIC_TRUE_CONTROLS  BIT(55)
#define BASIC_REVISION       0x7fffffff

enum { VMX_PIN, VMX_PROC, VMX_EXIT, VMX_ENTRY, VMX_MISC, CR0_FIXED0, CR0_FIXED1, CR4_FIXED0, CR4_FIXED1 };
#define VMX_CAP(n)  (IA32_VMX_BASIC + 1 + (n)) // 481H to 489H
#define VMX_PROC2   0x48b
#define VMX_EPT_CAP 0x48c
#define VMX_TRUE(n) (0x48d + (n)) // pin, proc, exit, entry

void vmcs_count_in(struct vmcs_counts *counts)
{
    wrmsr(IA32_GS_BASE, (u64)counts);
}

u64 vmcs_counts_base(void)
{
    return rdmsr(IA32_GS_BASE);
}

// CPUID 40000000H names the hypervisor that we run under, if any.
static bool under_hypervisor(const char *signature)
{
    if (!(cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR))
        return false;
    struct cpuid r = cpuid(0x40000000, 0);
    u32 name[3] = {r.ebx, r.ecx, r.edx};
    return memcmp(name, signature, sizeof(name)) == 0;
}

static const char *no_vmx(void)
{
    if (under_hypervisor("TCGTCGTCGTCG"))
        return "This is QEMU without KVM, which has no VT-x: use QEMU with -enable-kvm -cpu host on an Intel host with nested VMX, or Bochs.";
    if (under_hypervisor("KVMKVMKVM\0\0\0"))
        return "This virtual machine has no VT-x: on the host load kvm_intel with nested=1 and start QEMU with -cpu host.";
    return "This processor shows no VT-x (CPUID.1:ECX.VMX is 0): enable Intel Virtualization Technology in the firmware set-up, or use an Intel processor that has it.";
}

static const char *feature_control(void)
{
    u64 value;
    if (!trap_try_rdmsr(IA32_FEATURE_CONTROL, &value))
        return "This processor has no IA32_FEATURE_CONTROL register, so it is no Intel VT-x: use an Intel processor.";
    if (!(value & FEATURE_CONTROL_LOCK)) {
        value |= FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX;
        if (!trap_try_wrmsr(IA32_FEATURE_CONTROL, value))
            return "VT-x cannot be switched on: IA32_FEATURE_CONTROL refuses to be written. Enable it in the firmware.";
    }
    if (!(value & FEATURE_CONTROL_VMX))
        return "VT-x is disabled by the firmware (IA32_FEATURE_CONTROL is locked without VMX): enable Intel Virtualization Technology in the firmware set-up and switch the machine off and on.";
    return NULL;
}

static struct vmx_controls controls_read(u32 msr)
{
    u64 value = rdmsr(msr);
    return (struct vmx_controls){.must = (u32)value, .may = (u32)(value >> 32)};
}

static void caps_read(struct vmx_caps *caps)
{
    caps->basic = rdmsr(IA32_VMX_BASIC);
    bool precise = caps->basic & BASIC_TRUE_CONTROLS;
    caps->pin = controls_read(precise ? VMX_TRUE(0) : VMX_CAP(VMX_PIN));
    caps->proc = controls_read(precise ? VMX_TRUE(1) : VMX_CAP(VMX_PROC));
    caps->exit = controls_read(precise ? VMX_TRUE(2) : VMX_CAP(VMX_EXIT));
    caps->entry = controls_read(precise ? VMX_TRUE(3) : VMX_CAP(VMX_ENTRY));
    caps->misc = rdmsr(VMX_CAP(VMX_MISC));
    caps->cr0_fixed0 = rdmsr(VMX_CAP(CR0_FIXED0));
    caps->cr0_fixed1 = rdmsr(VMX_CAP(CR0_FIXED1));
    caps->cr4_fixed0 = rdmsr(VMX_CAP(CR4_FIXED0));
    caps->cr4_fixed1 = rdmsr(VMX_CAP(CR4_FIXED1));
    caps->proc2 = (struct vmx_controls){0, 0};
    caps->ept_vpid = 0;
    if (caps->proc.may & PROC_SECONDARY_CONTROLS)
        caps->proc2 = controls_read(VMX_PROC2);
    if (caps->proc2.may & (PROC2_EPT | PROC2_VPID))
        caps->ept_vpid = rdmsr(VMX_EPT_CAP);
}

const char *vmx_missing(struct vmx_caps *caps)
{
    if (!(cpuid(1, 0).ecx & CPUID_1_ECX_VMX))
        return no_vmx();
    const char *why = feature_control();
    if (why)
        return why;
    caps_read(caps);
    return NULL;
}

int vmx_region_new(const struct vmx_caps *caps, struct frames *frames, mfn_t *region)
{
    int error = frames_alloc(frames, ORDER_4K, FRAME_MONITOR, region);
    if (error)
        return error;
    memset(mfn_ptr(*region), 0, PAGE_SIZE);
    *(u32 *)mfn_ptr(*region) = caps->basic & BASIC_REVISION;
    return 0;
}

// CR0 and CR4: SDM vol. 3, 23.8.
static int vmx_enter(const struct vmx_caps *caps, mfn_t region)
{
    write_cr0((read_cr0() | caps->cr0_fixed0) & caps->cr0_fixed1);
    write_cr4((read_cr4() | caps->cr4_fixed0) & caps->cr4_fixed1);
    u64 hpa = mfn_hpa(region);
    bool failed;
    __asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(hpa) : "memory");
    return failed ? ERR_INVALID : 0;
}

int vmx_on(const struct vmx_caps *caps, struct frames *frames)
{
    mfn_t region;
    int error = vmx_region_new(caps, frames, &region);
    return error ? error : vmx_enter(caps, region);
}

int vmx_join(const struct vmx_caps *caps, mfn_t region)
{
    return feature_control() ? ERR_INVALID : vmx_enter(caps, region);
}

void vmx_off(void)
{
    __asm__ volatile("vmxoff" : : : "cc", "memory");
    write_cr4(read_cr4() & ~CR4_VMXE);
}

int vmx_vmcs_new(const struct vmx_caps *caps, struct frames *frames, mfn_t *region)
{
    int error = vmx_region_new(caps, frames, region);
    if (error)
        return error;
    u64 hpa = mfn_hpa(*region);
    bool clear_failed, load_failed;
    __asm__ volatile("vmclear %1" : "=@ccbe"(clear_failed) : "m"(hpa) : "memory");
    __asm__ volatile("vmptrld %1" : "=@ccbe"(load_failed) : "m"(hpa) : "memory");
    return clear_failed || load_failed ? ERR_INVALID : 0;
}

void vmx_vmcs_drop(mfn_t region)
{
    u64 hpa = mfn_hpa(region);
    __asm__ volatile("vmclear %0" : : "m"(hpa) : "cc", "memory");
}

u32 vmx_controls_fit(struct vmx_controls controls, u32 wanted)
{
    return (wanted | controls.must) & controls.may;
}

bool vmcs_try_read(enum vmcs_field field, u64 *value)
{
    bool failed;
    __asm__ volatile("vmread %2, %1" : "=@ccbe"(failed), "=r"(*value) : "r"((u64)field));
    return !failed;
}

void vmcs_failed(const char *instruction, enum vmcs_field field)
{
    u64 error = 0;
    bool known = vmcs_try_read(VM_INSTRUCTION_ERROR, &error);
    panic("%s of field 0x%x failed: VM-instruction error %lu (SDM vol. 3, 31.4)", instruction, field,
          known ? error : 0);
}

void vmx_invept(u64 type, u64 eptp)
{
    struct {
        u64 eptp, reserved;
    } descriptor = {eptp, 0};
    __asm__ volatile("invept %0, %1" : : "m"(descriptor), "r"(type) : "cc", "memory");
}

void vmx_invvpid(u64 type, u16 vpid, u64 gva)
{
    struct {
        u64 vpid, gva;
    } descriptor = {vpid, gva};
    __asm__ volatile("invvpid %0, %1" : : "m"(descriptor), "r"(type) : "cc", "memory");
}

// An NMI exit leaves NMIs blocked in root mode until an IRET (SDM vol. 3, 28.3.3); Bochs 2.7 also wants the
// interruptibility field written.
void vmx_nmi_unblock(void)
{
    __asm__ volatile(
        "mov %%ss, %%eax\n push %%rax\n lea 8(%%rsp), %%rax\n push %%rax\n pushf\n mov %%cs, %%eax\n"
        " push %%rax\n lea 1f(%%rip), %%rax\n push %%rax\n iretq\n1:"
        :
        :
        : "rax", "memory", "cc");
    vmcs_write(GUEST_INTERRUPTIBILITY, vmcs_read(GUEST_INTERRUPTIBILITY));
}
