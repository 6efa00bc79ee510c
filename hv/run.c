// See run.h. The order in which a virtual machine is made, and what is given back after it.
#include <arch/cmos.h>
#include <arch/console.h>
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/phys.h>
#include <arch/processor.h>
#include <arch/traps.h>
#include <hv/log.h>

#include "devices.h"
#include "drain.h"
#include "effect.h"
#include "exit.h"
#include "hardware.h"
#include "loader.h"
#include "mode.h"
#include "msr_keep.h"
#include "msr_table.h"
#include "run.h"
#include "stop.h"
#include "trial.h"
#include "vm_memory.h"
#include "vmcs_setup.h"

#define MISC_ENABLE_FAST_STRINGS BIT(0)
#define XCR0_RESET               1

const char *run_missing(const struct params *params, const struct host *host)
{
    if (host->machine_check)
        return "The hardware of this machine has failed (machine check): switch it off and on, and see what is wrong with it.";
    return effect_missing(params, host->back_ends[params->mmu], &host->caps);
}

#define CPUID_1_ECX_PCID BIT(17)

// Who cannot read PKRU offers no keys.
static struct effect_machine machine_of(const struct host *host)
{
    return (struct effect_machine){
        .caps = &host->caps,
        .physical_bits = phys_bits(),
        .mark_faults = host->mark_faults,
        .pcid = cpuid(1, 0).ecx & CPUID_1_ECX_PCID,
        .pku = read_cr4() & CR4_PKE,
        .counts = host->pmu.enabled,
        .counts_walks = pmu_counts(&host->pmu, PMU_WALK_CYCLES_LOAD),
    };
}

void run_choose(struct effect *effect, const struct host *host)
{
    const struct effect_machine machine = machine_of(host);
    effect_choose(effect, host->back_ends[effect->asked.mmu], &machine);
    effect_say(effect);
}

static struct cpuid_regs host_cpuid(u32 leaf, u32 subleaf)
{
    struct cpuid r = cpuid(leaf, subleaf);
    return (struct cpuid_regs){{r.eax, r.ebx, r.ecx, r.edx}};
}

// Firmware may turn fast strings off while CPUID still shows ERMS and FSRM (Bochs 2.7 does). Linux 6.1 then
// drops ERMS alone, and its memmove() with FSRM but without ERMS overruns on short lengths (SDM vol. 4, table
// 2-2, IA32_MISC_ENABLE).
static bool fast_strings(void)
{
    u64 enabled;
    return trap_try_rdmsr(IA32_MISC_ENABLE, &enabled) && enabled & MISC_ENABLE_FAST_STRINGS;
}

// XSAVEC and XSAVES of Bochs 2.7 write all from AVX on 160 bytes below where XRSTOR reads it, bare too
// (tests/guest/xsave.c). That processor is known by CPUID.(DH,1):EBX, which is not what its components add up
// to.
static bool compacted_size_is_right(const struct cpuid_policy *policy)
{
    u64 all = policy->xcr0;
    if (!all || !trap_try_xsetbv(all))
        return true;
    bool right = cpuid(0xd, 1).ebx == cpuid_xsave_bytes(policy, all, true);
    return trap_try_xsetbv(XCR0_RESET) && right;
}

// Features that need a VMX control which the processor may not have.
static void make_cpuid(struct vm *vm, const struct host *host)
{
    struct cpuid_facts facts = {host_cpuid, vm->apic.id, host->rates.tsc_hz, host->rates.apic_hz, {false}};
    for (size_t i = 0; i < VMCS_INSTRUCTIONS; i++)
        facts.hide[vmcs_instructions[i].feature] = !(host->caps.proc2.may & vmcs_instructions[i].control);
    facts.hide[CPUID_PCID] = !vm->params->pcid;
    bool may_be_shadow = vm->params->mmu == MMU_SHADOW || vm->params->mmu_switch;
    facts.hide[CPUID_INVPCID] |= may_be_shadow && !vm->params->pcid;
    facts.hide[CPUID_PKU] = !vm->params->pku;
    facts.hide[CPUID_RDPID] = facts.hide[CPUID_RDTSCP];
    facts.hide[CPUID_ERMS] = facts.hide[CPUID_FSRM] = !fast_strings();
    vm->tsc_hz = host->rates.tsc_hz;
    cpuid_make(&vm->cpuid, &facts);
    bool right = compacted_size_is_right(&vm->cpuid);
    facts.hide[CPUID_XSAVES] |= !right;
    facts.hide[CPUID_XSAVEC] = !right;
    cpuid_make(&vm->cpuid, &facts);
    vm->vcpu.physical_bits = cpuid_physical_bits(&vm->cpuid);
    vm->vcpu.has_1g_pages = vm->cpuid.has[CPUID_PDPE1GB];
}

static const char no_memory[] =
    "No memory is left for the monitor: give the guest less with mem=, or have fewer shadow tables with shadow.pool=.";

// The memory of back ends is taken before the guest's: what lies at addresses that the guest has too is then
// free or the guest's, and can make room for shadow roots in place.
static int make_back_ends(struct vm *vm)
{
    const struct params *params = vm->params;
    const struct mmu_options options = effect_options(params, &vm->machine);
    for (enum mmu_mode mode = 0; mode < MMU_MODES; mode++) {
        const struct mmu_ops *ops = vm->back_ends[mode];
        bool wanted = mode == params->mmu || (params->mmu_switch && !mmu_missing(ops, vm->vcpu.caps, false));
        if (wanted && !mmu_init(vm, ops, &options))
            return ERR_NOMEM;
    }
    return mmu_enter(&vm->vcpu, mode_back_end(vm, params->mmu));
}

static int make_translation(struct vm *vm)
{
    int error = vm_p2m_make(vm);
    return error ? error : make_back_ends(vm);
}

static int make_vmcs(struct vm *vm)
{
    mfn_t bitmap, lists;
    if (frames_alloc(vm->frames, ORDER_4K, FRAME_MONITOR, &bitmap) ||
        frames_alloc(vm->frames, ORDER_4K, FRAME_MONITOR, &lists) ||
        vmx_vmcs_new(vm->vcpu.caps, vm->frames, &vm->vmcs))
        return ERR_NOMEM;
    vm->msr_bitmap_hpa = mfn_hpa(bitmap);
    msr_bitmap_make(&vm->cpuid, mfn_ptr(bitmap));
    msr_switch_make(&vm->msr_switch, vm->vcpu.caps, vm->pmu.enabled, mfn_ptr(lists));
    return 0;
}

static const char *make_vm(struct vm *vm, struct host *host, const struct effect *effect)
{
    const struct params *params = &effect->now;
    memset(vm, 0, sizeof(*vm));
    vm->vcpu.vm = vm;
    vm->vcpu.caps = &host->caps;
    vm->frames = &host->frames;
    vm->back_ends = host->back_ends;
    mode_init(vm, effect);
    vm->effect_machine = machine_of(host);
    if (params->pmu)
        vm->pmu = host->pmu;
    vm->empty_exit_cycles = host->empty_exit_cycles;
    vm->vcpu.polled = host->polled;
    vm->vcpu.audit = params->audit;
    vm->vcpu.observed =
        params->audit || params->churn || params->mode_churn || params->trace || params->profile;
    apic_init(&vm->apic, host->apic_id);
    const char *why = drain_pending(&vm->apic, &host->caps, &host->frames);
    if (!why)
        why = trial_interrupts(&vm->apic, &host->caps, &host->frames);
    if (why)
        return why;
    make_cpuid(vm, host);
    vm->machine = (struct mmu_options){
        .caps = vm->vcpu.caps,
        .physical_bits = vm->vcpu.physical_bits,
        .has_1g_pages = vm->vcpu.has_1g_pages,
        .empty_exit_cycles = host->empty_exit_cycles,
    };
    if (make_translation(vm))
        return no_memory;
    why = vm_memory_make(vm);
    if (why)
        return why;
    return make_vmcs(vm) ? no_memory : NULL;
}

// The guest's clock starts with the host's. It is read for each guest: the one before may have set the TSC.
// Which byte holds the century depends on the machine, but none with VT-x has seen another one.
static u64 date_and_time(void)
{
    u8 byte[CMOS_BYTES];
    if (cmos_read(byte)) {
        log_warn("this machine's real-time clock does not answer: the guest's begins at 1 January 2000");
        memset(byte, 0, sizeof(byte));
    }
    byte[RTC_CENTURY] = byte[RTC_B] & RTC_B_BINARY ? 20 : 0x20;
    return rtc_seconds(byte);
}

const char *run_prepare(struct vm *vm, struct host *host, const struct effect *effect)
{
    const struct params *params = &effect->now;
    struct guest_start start;
    processor_reset();
    msr_keep_restore();
    const char *why = make_vm(vm, host, effect);
    if (!why)
        why = loader_load(vm, &host->boot, &start);
    if (why)
        return why;
    devices_init(&vm->vcpu, date_and_time());
    if (start.virtual_wire) {
        apic_virtual_wire(&vm->apic);
        legacy_open_timer(&vm->vcpu);
    }
    churn_init(&vm->churn, params->churn);
    mode_churn_init(vm);
    tally_init(vm, &host->frequency);
    if (trace_init(&vm->trace, &host->frames, params->trace))
        return "trace=: no memory is left for so many exits: have fewer, or give the guest less with mem=.";
    if (profile_init(&vm->profile, &host->frames, params->profile))
        return "profile=: no memory is left for so many places: have fewer, or give the guest less with mem=.";
    vmcs_setup(&vm->vcpu);
    vmcs_start_guest(&vm->vcpu, &start);
    return NULL;
}

// What the guest ended with is checked as a whole. After a mistake it may be half done.
static void audit_end(struct vm *vm)
{
    char wrong[160];
    if (!vm->vcpu.audit || !vm->mmu->ops->audit || vm->failed)
        return;
    vm->failed = !mmu_audit(&vm->vcpu, MMU_AUDIT_ALL, wrong, sizeof(wrong));
    if (vm->failed)
        fmt(vm->end, sizeof(vm->end), "audit: at the end: %s", wrong);
}

#define OTHERS_MS 10 // until a processor that waits in a deep state has read its banks

static void await_others(u64 tsc_hz)
{
    u64 start = rdtsc();
    while (rdtsc() - start < tsc_hz / 1000 * OTHERS_MS)
        pause();
}

// A machine check goes to all processors; only one of them may know why.
static void ask_others(struct vm *vm, const struct host *host)
{
    if (vm->machine_check)
        await_others(vm->tsc_hz);
    for (const struct parked *p = host->park.first; p; p = p->next) {
        if (!park_machine_checked(p))
            continue;
        hardware_say(LOG_ERROR, "machine check", p->apic_id, &p->log);
        if (!vm->machine_check)
            vm_fail(&vm->vcpu, "hardware: machine check of another processor: no number of this run counts");
        vm->machine_check = true;
    }
}

// What is left in the banks raised no machine check: corrected errors, which take time.
static void look_at_hardware(struct vm *vm, struct host *host)
{
    struct mca_log log;
    ask_others(vm, host);
    mca_take(&log);
    hardware_say(LOG_WARN, "while this guest ran", vm->apic.id, &log);
    host->machine_check |= vm->machine_check;
}

void run_guest(struct vm *vm, struct host *host)
{
    log_info("guest starts under %s with VPID %s", vm->mmu->ops->name,
             vm->params->vpid == VPID_ON ? "on" : "off");
    vcpu_run(&vm->vcpu);
    look_at_hardware(vm, host);
    audit_end(vm);
}

void run_release(struct vm *vm, struct host *host)
{
    mmu_leave(&vm->vcpu);
    if (vm->vmcs.n)
        vmx_vmcs_drop(vm->vmcs);
    frames_rewind(&host->frames);
    if (vm->far_memory) // it comes last for the next one, too
        host->numa = numa_hold(&host->frames, &host->acpi, &host->boot, host->apic_id);
    vm->mmu = vm->mmus = NULL;
    console_draw_every(0, NULL, NULL);
}
