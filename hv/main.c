// The monitor from its first instruction in C to its last: a table of contents.
#include <arch/acpi.h>
#include <arch/console.h>
#include <arch/cpu.h>
#include <arch/host_ioapic.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/memory.h>
#include <arch/park.h>
#include <arch/phys.h>
#include <arch/power.h>
#include <arch/symbols.h>
#include <arch/timer.h>
#include <arch/traps.h>
#include <ept/ept.h>
#include <shadow/shadow.h>
#include <hv/log.h>

#include "devices.h"
#include "loader.h"
#include "msr_table.h"
#include "summary.h"
#include "vm.h"

#define CPUID_1_ECX_XSAVE        BIT(26)
#define MISC_ENABLE_FAST_STRINGS BIT(0)
#define XCR0_RESET               1
#define INFO_LIMIT               (1 * MIB) // more boot information than any boot loader has

const struct mmu_ops *mmu;

static struct boot_info boot;
static struct params params;
static struct frames frames;
static struct acpi acpi;
static struct vmx_caps caps;
static struct timer_rates rates;
static struct vm vm;

// What this machine lacks, and what to do: on every console, readable until somebody switches off.
static _Noreturn void refuse(const char *sentence)
{
    log_error("Penumbra cannot run here. %s", sentence);
    machine_halt();
}

static void start_console(void)
{
    struct boot_framebuffer *f = &boot.framebuffer;
    if (f->present && f->type == BOOT_FRAMEBUFFER_TEXT)
        console_screen_vga();
    if (!f->present || f->type != BOOT_FRAMEBUFFER_RGB)
        return;
    if (console_screen_framebuffer(f))
        log_warn("the screen has a format that the monitor does not know; the serial console has everything");
}

static void read_boot_info(u64 info_hpa)
{
    console_init(0x3f8);
    int error = multiboot2_parse(&boot, phys_ptr(info_hpa), INFO_LIMIT);
    if (error) {
        console_screen_vga();
        refuse(boot.problem);
    }
    symbols_set(phys_ptr(boot.symbols.symbols_hpa), boot.symbols.symbols_bytes,
                phys_ptr(boot.symbols.strings_hpa), boot.symbols.strings_bytes);
}

static void read_parameters(void)
{
    char message[512];
    int error = params_parse(&params, boot.command_line, message, sizeof(message));
    if (params.console != 0x3f8)
        console_init((u16)params.console);
    log_set_level((enum log_level)params.log);
    if (error)
        refuse(message);
    log_info("Penumbra, a monitor for comparing memory virtualisation on Intel VT-x");
    char line[512];
    size_t length = 0;
    for (unsigned i = 0; i < PARAMS_COUNT; i++) {
        length += (size_t)fmt(line + length, sizeof(line) - length, " ");
        length += (size_t)params_format(&params, i, line + length, sizeof(line) - length);
    }
    log_info("parameters:%s", line);
}

static void start_machine(u64 info_hpa, u64 image_hpa)
{
    if (memory_init(&frames, &boot, info_hpa, image_hpa))
        refuse("There is too little memory below 4 GiB for the monitor's own tables: give the machine more "
               "memory.");
    log_info("memory: %lu MiB free, monitor at 0x%lx", frames.count[FRAME_FREE] * PAGE_SIZE / MIB, image_hpa);
    if (acpi_parse(&acpi, boot.rsdp, boot.rsdp_bytes, memory_map_end()))
        log_warn("the firmware's ACPI tables are broken: no power-off, and console input may not work");
    host_ioapic_mask_all(&acpi);
}

// vpid=auto: on where the processor has it; what it is said. On or off is what was asked for, or is refused.
static const char *choose_vpid(void)
{
    if (params.vpid != VPID_AUTO)
        return mmu_missing(&caps, params.vpid);
    params.vpid = !mmu_missing(&caps, true);
    const char *why = mmu_missing(&caps, params.vpid);
    if (!why)
        log_info("vpid=auto is vpid=%s on this processor", params.vpid ? "on" : "off");
    return why;
}

static void start_vmx(void)
{
    static const struct mmu_ops *const modes[] = {[MMU_EPT] = &ept_ops, [MMU_SHADOW] = &shadow_ops};
    const char *why = vmx_missing(&caps);
    mmu = modes[params.mmu];
    if (!why)
        why = choose_vpid();
    if (!why)
        why = vmcs_missing(&caps);
    if (!why)
        why = apic_missing();
    if (why)
        refuse(why);
    if (cpuid(1, 0).ecx & CPUID_1_ECX_XSAVE)
        write_cr4(read_cr4() | CR4_OSXSAVE); // so that the guest's XSETBV can be carried out
    if (vmx_on(&caps, &frames))
        refuse("VMXON failed although the processor shows VT-x: another monitor may be running below.");
}

// A local APIC that is disabled has no rate: apic_init says so.
static void measure_timers(void)
{
    if (timer_measure(&acpi, &rates) || !rates.tsc_hz)
        refuse("The rate of the time stamp counter could not be measured against the ACPI timer or the PIT: "
               "enable one "
               "of them in the firmware set-up.");
    log_info("time stamp counter: %lu kHz, local APIC timer: %lu kHz", rates.tsc_hz / 1000,
             rates.apic_hz / 1000);
}

// The guest has the local APIC, and with it the power to start processors that are not in VMX operation.
static void park_processors(void)
{
    char message[256];
    int parked = park_others(&acpi, &caps, &frames, rates.tsc_hz, message, sizeof(message));
    if (parked < 0)
        refuse(message);
    if (!acpi.cpus)
        log_warn("the firmware lists no processors: if there are others than this one, the guest could start "
                 "them");
    log_info("%d other processors parked", parked);
}

// The guest has no other clock to check the TSC against than its own ticks, which come late when it is slow.
static void warn_about_time(void)
{
    if (!vm.cpuid.has[CPUID_INVARIANT_TSC])
        log_warn("this processor does not promise an invariant TSC: a Linux guest keeps better time with "
                 "tsc=reliable on its command line");
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
static bool compacted_size_is_right(void)
{
    u64 all = vm.cpuid.xcr0;
    if (!all || !trap_try_xsetbv(all))
        return true;
    bool right = cpuid(0xd, 1).ebx == cpuid_xsave_bytes(&vm.cpuid, all, true);
    return trap_try_xsetbv(XCR0_RESET) && right;
}

// Features that need a VMX control which the processor may not have.
static void make_cpuid(void)
{
    struct cpuid_facts facts = {host_cpuid, vm.apic.id, rates.tsc_hz, rates.apic_hz, {false}};
    for (size_t i = 0; i < VMCS_INSTRUCTIONS; i++)
        facts.hide[vmcs_instructions[i].feature] = !(caps.proc2.may & vmcs_instructions[i].control);
    bool shadow = params.mmu == MMU_SHADOW; // which has no PCID: its roots have VPIDs
    facts.hide[CPUID_PCID] = !params.pcid || shadow;
    facts.hide[CPUID_INVPCID] |= shadow;
    facts.hide[CPUID_PKU] = !params.pku;
    facts.hide[CPUID_RDPID] = facts.hide[CPUID_RDTSCP];
    facts.hide[CPUID_ERMS] = facts.hide[CPUID_FSRM] = !fast_strings();
    vm.tsc_hz = rates.tsc_hz;
    cpuid_make(&vm.cpuid, &facts);
    bool right = compacted_size_is_right();
    facts.hide[CPUID_XSAVES] |= !right;
    facts.hide[CPUID_XSAVEC] = !right;
    cpuid_make(&vm.cpuid, &facts);
    vm.vcpu.physical_bits = cpuid_physical_bits(&vm.cpuid);
    vm.vcpu.has_1g_pages = vm.cpuid.has[CPUID_PDPE1GB];
}

// Before the VMCS and its lists are made, which switch the counters with the guest.
static void find_counters(void)
{
    vm.pmu = (struct pmu){0};
    if (params.pmu)
        pmu_detect(&vm.pmu);
    log_info("performance counters: %s", params.pmu ? vm.pmu.says : "none: pmu=off");
}

static const char no_memory[] =
    "No memory is left for the monitor: give the guest less with mem=, or have fewer shadow tables "
    "with shadow.pool=.";

// The back end's memory is taken before the guest's: what lies at addresses that the guest has too is then
// free or the guest's, and can make room for shadow roots in place.
static void make_translation(void)
{
    struct mmu_options options = {
        .vpid = params.vpid,
        .strategy = (enum shadow_strategy_name)params.shadow,
        .root_vpids = params.shadow_vpid,
        .large = params.large,
        .directpf = params.directpf,
        .direct_invlpg = params.direct_invlpg,
        .in_place = params.shadow_cr3,
        .prefetch = (unsigned)params.prefetch,
        .pool = (u32)params.pool,
    };
    if (vm_p2m_make(&vm) || mmu_init(&vm.vcpu, &vm.p2m, &options))
        refuse(no_memory);
}

static void make_vm(void)
{
    vm.vcpu.vm = &vm;
    vm.vcpu.caps = &caps;
    vm.frames = &frames;
    vm.params = &params;
    apic_init(&vm.apic);
    make_cpuid();
    warn_about_time();
    make_translation();
    const char *why = vm_memory_make(&vm);
    if (why)
        refuse(why);
    mfn_t bitmap, lists, vmcs;
    if (frames_alloc(&frames, ORDER_4K, FRAME_MONITOR, &bitmap) ||
        frames_alloc(&frames, ORDER_4K, FRAME_MONITOR, &lists) || vmx_vmcs_new(&caps, &frames, &vmcs))
        refuse(no_memory);
    vm.msr_bitmap_hpa = mfn_hpa(bitmap);
    msr_bitmap_make(&vm.cpuid, mfn_ptr(bitmap));
    msr_switch_make(&vm.msr_switch, &caps, vm.pmu.enabled, mfn_ptr(lists));
}

static void start_audit(void)
{
    if (params.audit && !mmu->audit)
        refuse("audit= checks shadow tables, and mmu=ept has none: use mmu=shadow, or audit=off.");
    vm.vcpu.audit = (u32)params.audit;
    vm.vcpu.observed = params.audit || params.churn;
}

static void start_guest(void)
{
    struct guest_start start;
    const char *why = loader_load(&vm, &boot, &start);
    if (why)
        refuse(why);
    devices_init(&vm.vcpu);
    churn_init(&vm.churn, params.churn);
    vmcs_setup(&vm.vcpu);
    vmcs_start_guest(&vm.vcpu, &start);
}

// Input comes as an NMI where the console's interrupt can be routed so.
static void start_input(void)
{
    int irq = console_irq();
    if (irq < 0 || host_ioapic_route_nmi(&acpi, (u8)irq, vm.apic.id)) {
        log_warn("console input does not work: there is no serial port with an interrupt that can be routed");
        return;
    }
    console_interrupt(true);
    log_info("Ctrl-A h on the console shows the monitor's keys");
}

// What the guest ended with is checked as a whole. After a mistake it may be half done.
static void audit_end(void)
{
    char wrong[160];
    if (!vm.vcpu.audit || vm.failed)
        return;
    vm.failed = !mmu_audit(&vm.vcpu, MMU_AUDIT_ALL, wrong, sizeof(wrong));
    if (vm.failed)
        fmt(vm.end, sizeof(vm.end), "audit: at the end: %s", wrong);
}

static _Noreturn void finish(void)
{
    audit_end();
    enum log_level level = vm.failed ? LOG_ERROR : LOG_NOTICE;
    log_message(level, "%s", vm.end);
    summary_table(&vm);
    summary_json(&vm);
    log_message(level, "%s", vm.end); // again: the table may have moved it off the screen
    if (params.on_exit == ON_EXIT_POWEROFF)
        machine_poweroff(&acpi);
    if (params.on_exit == ON_EXIT_REBOOT)
        machine_reboot(&acpi);
    machine_halt();
}

_Noreturn void monitor_main(u64 info_hpa, u64 image_hpa);
_Noreturn void monitor_main(u64 info_hpa, u64 image_hpa)
{
    traps_init();
    read_boot_info(info_hpa);
    start_console();
    read_parameters();
    start_machine(info_hpa, image_hpa);
    start_vmx();
    start_audit();
    measure_timers();
    park_processors();
    find_counters();
    make_vm();
    start_guest();
    start_input();
    log_info("guest starts under %s with VPID %s", mmu->name, params.vpid ? "on" : "off");
    vcpu_run(&vm.vcpu);
    finish();
}
