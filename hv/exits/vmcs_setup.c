// See vmcs_setup.h. SDM vol. 3, chapters 25 (VMCS) and 27 (VM entries: what the checks want).
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/layout.h>
#include <arch/traps.h>
#include <hv/kept.h>

#include "due.h"
#include "msr_bitmap.h"
#include "paging.h"
#include "../vm.h"
#include "vmcs_setup.h"

extern const u8 world_exit[];

// The controls that every mode wants. `needed`: without it the monitor does not work; else it is used where
// it exists.
#define PIN_NEEDED PIN_NMI_EXITING
#define PROC_NEEDED                                                                       \
    (PROC_UNCONDITIONAL_IO | PROC_MSR_BITMAPS | PROC_RDPMC_EXITING | PROC_MWAIT_EXITING | \
     PROC_MONITOR_EXITING)
#define EXIT_NEEDED (EXIT_HOST_64BIT | EXIT_SAVE_DEBUG_CONTROLS)

#define OWN_VPID 1

const char *vmcs_missing(const struct vmx_caps *caps)
{
    if ((caps->pin.may & PIN_NEEDED) != PIN_NEEDED)
        return "This processor's VT-x has no NMI exiting: use a processor that has it.";
    if ((caps->proc.may & PROC_NEEDED) != PROC_NEEDED)
        return "This processor's VT-x has no MSR bitmaps or I/O exiting: use a processor that has them.";
    return NULL;
}

const struct vmcs_instruction vmcs_instructions[VMCS_INSTRUCTIONS] = {
    {PROC2_RDTSCP, CPUID_RDTSCP},
    {PROC2_INVPCID, CPUID_INVPCID},
    {PROC2_XSAVES, CPUID_XSAVES},
};

static u32 proc2_wanted(const struct cpuid_policy *cpuid)
{
    u32 wanted = PROC2_ENCLS_EXITING;
    for (size_t i = 0; i < VMCS_INSTRUCTIONS; i++) {
        if (cpuid->has[vmcs_instructions[i].feature])
            wanted |= vmcs_instructions[i].control;
    }
    return wanted;
}

static void setup_controls(struct vcpu *v)
{
    const struct vmx_caps *caps = v->caps;
    struct msr_switch *msrs = &v->vm->msr_switch;
    v->base_proc = PROC_NEEDED | PROC_MOV_DR_EXITING | PROC_SECONDARY_CONTROLS;
    v->base_proc2 = proc2_wanted(&v->vm->cpuid);
    v->entry_controls = vmx_controls_fit(caps->entry, ENTRY_LOAD_DEBUG_CONTROLS | msrs->entry_controls);
    v->cr4_allowed = cpuid_cr4_allowed(&v->vm->cpuid);
    vmcs_write(PIN_BASED_CONTROLS, vmx_controls_fit(caps->pin, PIN_NEEDED | PIN_VIRTUAL_NMIS));
    u32 exit = EXIT_NEEDED | msrs->exit_controls;
    vmcs_write(EXIT_CONTROLS, vmx_controls_fit(caps->exit, exit));
    vmcs_write(MSR_BITMAP, v->vm->msr_bitmap_hpa);
    vmcs_write(ENTRY_INTERRUPTION_INFO, 0);
    vmcs_write(TSC_OFFSET, 0);
    if (v->base_proc2 & caps->proc2.may & PROC2_XSAVES)
        vmcs_write(XSS_EXITING_BITMAP, 0);
    if (caps->proc2.may & PROC2_ENCLS_EXITING)
        vmcs_write(ENCLS_EXITING_BITMAP, ~0ull); // SGX is not offered
}

static void setup_host(void)
{
    static const enum vmcs_field selectors[] = {HOST_ES_SELECTOR, HOST_SS_SELECTOR, HOST_DS_SELECTOR};
    static const enum vmcs_field zeros[] = {HOST_FS_SELECTOR, HOST_GS_SELECTOR,  HOST_FS_BASE,
                                            HOST_SYSENTER_CS, HOST_SYSENTER_ESP, HOST_SYSENTER_EIP};
    for (size_t i = 0; i < ARRAY_SIZE(selectors); i++)
        vmcs_write(selectors[i], SELECTOR_DATA);
    for (size_t i = 0; i < ARRAY_SIZE(zeros); i++)
        vmcs_write(zeros[i], 0);
    vmcs_write(HOST_CS_SELECTOR, SELECTOR_CODE);
    vmcs_write(HOST_TR_SELECTOR, SELECTOR_TSS);
    vmcs_write(HOST_CR0, read_cr0());
    vmcs_write(HOST_CR3, read_cr3());
    vmcs_write(HOST_CR4, read_cr4());
    vmcs_write(HOST_GS_BASE, vmcs_counts_base());
    vmcs_write(HOST_TR_BASE, traps_tss_base());
    vmcs_write(HOST_GDTR_BASE, traps_gdt_base());
    vmcs_write(HOST_IDTR_BASE, traps_idt_base());
    vmcs_write(HOST_RIP, (u64)world_exit);
}

void vmcs_setup(struct vcpu *v)
{
    for (unsigned i = 0; i < KEPT_FIELDS; i++)
        kept_forget(v, i);
    setup_controls(v);
    setup_host();
    msr_switch_setup(&v->vm->msr_switch);
    msr_pat_direct(v, !v->vm->msr_switch.listed[SWITCHED_PAT]);
}

// The fields of the segment registers, in the order of their encoding, then LDTR and TR: all four kinds step
// by 2.
#define SEGMENT_SELECTOR(n) (GUEST_ES_SELECTOR + 2 * (n))
#define SEGMENT_LIMIT(n)    (GUEST_ES_LIMIT + 2 * (n))
#define SEGMENT_RIGHTS(n)   (GUEST_ES_ACCESS_RIGHTS + 2 * (n))
#define SEGMENT_BASE(n)     (GUEST_ES_BASE + 2 * (n))
enum {
    SEGMENT_ES,
    SEGMENT_CS,
    SEGMENT_SS,
    SEGMENT_DS,
    SEGMENT_FS,
    SEGMENT_GS,
    SEGMENT_LDTR,
    SEGMENT_TR,
    SEGMENTS
};

#define RIGHTS_CODE64   0xa09b
#define RIGHTS_CODE32   0xc09b
#define RIGHTS_DATA     0xc093
#define RIGHTS_UNUSABLE 0x10000
#define RIGHTS_TSS      0x8b

static void start_segment(unsigned segment, u16 selector, u32 limit, u32 rights)
{
    vmcs_write(SEGMENT_SELECTOR(segment), selector);
    vmcs_write(SEGMENT_BASE(segment), 0);
    vmcs_write(SEGMENT_LIMIT(segment), limit);
    vmcs_write(SEGMENT_RIGHTS(segment), rights);
}

static void start_segments(const struct guest_start *start)
{
    bool long_mode = start->paging.efer & EFER_LMA;
    for (unsigned segment = SEGMENT_ES; segment <= SEGMENT_GS; segment++)
        start_segment(segment, start->data_selector, 0xffffffff, RIGHTS_DATA);
    start_segment(SEGMENT_CS, start->code_selector, 0xffffffff, long_mode ? RIGHTS_CODE64 : RIGHTS_CODE32);
    start_segment(SEGMENT_LDTR, 0, 0, RIGHTS_UNUSABLE);
    start_segment(SEGMENT_TR, 0, 0x67, RIGHTS_TSS);
    vmcs_write(GUEST_GDTR_BASE, start->gdt_base);
    vmcs_write(GUEST_GDTR_LIMIT, start->gdt_limit);
    vmcs_write(GUEST_IDTR_BASE, 0);
    vmcs_write(GUEST_IDTR_LIMIT, 0);
}

#define DR7_RESET 0x400ull

// What no mode and no back end decides.
static void start_state(const struct guest_start *start)
{
    static const enum vmcs_field zeros[] = {
        GUEST_IA32_DEBUGCTL, GUEST_INTERRUPTIBILITY, GUEST_ACTIVITY_STATE, GUEST_PENDING_DEBUG_EXCEPTIONS,
        GUEST_SYSENTER_CS,   GUEST_SYSENTER_ESP,     GUEST_SYSENTER_EIP,   GUEST_RSP};
    for (size_t i = 0; i < ARRAY_SIZE(zeros); i++)
        vmcs_write(zeros[i], 0);
    vmcs_write(VMCS_LINK_POINTER, ~0ull);
    vmcs_write(GUEST_DR7, DR7_RESET);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED);
    vmcs_write(GUEST_RIP, start->rip);
    start_segments(start);
}

// Of a guest of the monitor's own. It has a VPID as other guests mostly have: without one each entry and exit
// flushes the TLB, and would seem to cost more.
static void setup_own_controls(const struct vmx_caps *caps, u32 pin)
{
    static const enum vmcs_field zeros[] = {PAGE_FAULT_ERROR_CODE_MASK,
                                            PAGE_FAULT_ERROR_CODE_MATCH,
                                            CR3_TARGET_COUNT,
                                            CR0_MASK,
                                            CR4_MASK,
                                            EXIT_MSR_STORE_COUNT,
                                            EXIT_MSR_LOAD_COUNT,
                                            ENTRY_MSR_LOAD_COUNT,
                                            ENTRY_INTERRUPTION_INFO};
    u32 vpid = caps->proc2.may & PROC2_VPID;
    for (size_t i = 0; i < ARRAY_SIZE(zeros); i++)
        vmcs_write(zeros[i], 0);
    vmcs_write(PIN_BASED_CONTROLS, vmx_controls_fit(caps->pin, pin | PIN_NMI_EXITING));
    vmcs_write(PROCESSOR_BASED_CONTROLS,
               vmx_controls_fit(caps->proc, PROC_MSR_BITMAPS | (vpid ? PROC_SECONDARY_CONTROLS : 0)));
    if (vpid) {
        vmcs_write(SECONDARY_CONTROLS, vpid);
        vmcs_write(VPID, OWN_VPID);
    }
    vmcs_write(EXIT_CONTROLS, vmx_controls_fit(caps->exit, EXIT_HOST_64BIT | EXIT_ACKNOWLEDGE_INTERRUPT));
    vmcs_write(ENTRY_CONTROLS, vmx_controls_fit(caps->entry, ENTRY_IA32E_GUEST));
    vmcs_write(EXCEPTION_BITMAP, 0xffffffff);
}

void vmcs_setup_own(const struct vmx_caps *caps, u32 pin, u64 msr_bitmap_hpa)
{
    static const struct guest_start start = {
        .paging.efer = EFER_LMA, .code_selector = SELECTOR_CODE, .data_selector = SELECTOR_DATA};
    setup_own_controls(caps, pin);
    vmcs_write(MSR_BITMAP, msr_bitmap_hpa);
    setup_host();
    start_state(&start);
    vmcs_write(GUEST_CR0, read_cr0());
    vmcs_write(GUEST_CR3, read_cr3());
    vmcs_write(GUEST_CR4, read_cr4());
}

void vmcs_start_own(const u8 *code, u64 rflags)
{
    vmcs_write(GUEST_RIP, (u64)code);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | rflags);
    vmcs_write(GUEST_INTERRUPTIBILITY, 0);
    vmcs_write(GUEST_ACTIVITY_STATE, 0);
}

#define PAT_RESET 0x0007040600070406ull

// The counters stand still in the monitor, and so until the first entry.
static void start_counting(struct vm *vm)
{
    if (!vm->pmu.enabled)
        return;
    pmu_start(&vm->pmu);
    msr_switch_set(&vm->msr_switch, SWITCHED_PERF_CTRL, vm->pmu.enabled);
}

void vmcs_start_guest(struct vcpu *v, const struct guest_start *start)
{
    start_state(start);
    msr_switch_set(&v->vm->msr_switch, SWITCHED_PAT, PAT_RESET);
    start_counting(v->vm);
    due_arm(v, legacy_wait(v));
    v->world.regs = start->gprs;
    paging_start(v, &start->paging);
    mmu_load(v);
}
