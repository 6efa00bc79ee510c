// The monitor from its first instruction in C to its last: a table of contents.
#include <arch/acpi.h>
#include <arch/bus_master.h>
#include <arch/console.h>
#include <arch/cpu.h>
#include <arch/host_ioapic.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/memory.h>
#include <arch/phys.h>
#include <arch/power.h>
#include <arch/processor.h>
#include <arch/random.h>
#include <arch/reserved_bit.h>
#include <arch/smm.h>
#include <arch/symbols.h>
#include <arch/timer.h>
#include <arch/traps.h>
#include <arch/trim.h>
#include <ept/ept.h>
#include <shadow/shadow.h>
#include <hv/log.h>

#include "compare.h"
#include "handout.h"
#include "hardware.h"
#include "msr_keep.h"
#include "summary.h"
#include "trial.h"
#include "vmcs_setup.h"

#define INFO_LIMIT   (1 * MIB) // more boot information than any boot loader has
#define FIRMWARE_END (1 * MIB) // RAM below may be read by firmware, after boot too: no guest gets it

static const struct mmu_ops *const back_ends[] = {[MMU_EPT] = &ept_ops, [MMU_SHADOW] = &shadow_ops};

static struct params params;
static struct host host;
static struct vm vm;
static struct comparison comparison;

// What this machine lacks, and what to do: on every console, readable until somebody switches off.
static _Noreturn void refuse(const char *sentence)
{
    log_error("Penumbra cannot run here. %s", sentence);
    machine_halt();
}

static void start_console(void)
{
    struct boot_framebuffer *f = &host.boot.framebuffer;
    if (f->present && f->type == BOOT_FRAMEBUFFER_TEXT)
        console_screen_vga();
    if (!f->present || f->type != BOOT_FRAMEBUFFER_RGB)
        return;
    switch (console_screen_framebuffer(f)) {
    case ERR_INVALID:
        log_warn("the screen has a format that the monitor does not know; the serial console has everything");
        break;
    case ERR_ABSENT:
        log_warn(
            "the boot loader says that the screen is at 0x%lx, where this processor has no memory; the serial console has everything",
            f->hpa);
        break;
    }
}

static void read_boot_info(u64 info_hpa)
{
    console_init(COM1_PORT);
    int error = multiboot2_parse(&host.boot, phys_ptr(info_hpa), INFO_LIMIT);
    if (error) {
        console_screen_vga();
        refuse(host.boot.problem);
    }
    symbols_set(phys_ptr(host.boot.symbols.symbols_hpa), host.boot.symbols.symbols_bytes,
                phys_ptr(host.boot.symbols.strings_hpa), host.boot.symbols.strings_bytes);
}

static void read_parameters(void)
{
    char message[512];
    int error = params_parse(&params, host.boot.command_line, message, sizeof(message));
    if (params.console != COM1_PORT)
        console_init(params.console);
    log_set_level(params.log);
    if (error)
        refuse(message);
    log_info("Penumbra, a monitor for comparing memory virtualisation on Intel VT-x");
    char line[PARAMS_TEXT];
    params_text(&params, line, sizeof(line));
    log_info("parameters: %s", line);
    if (params.compare && configurations_read(&comparison.configurations, &params, message, sizeof(message)))
        refuse(message);
}

static int read_acpi(void)
{
    return acpi_parse(&host.acpi, host.boot.rsdp, host.boot.rsdp_bytes, memory_map_end());
}

static void stop_devices(void)
{
    struct bus_masters m = bus_masters_stop(&host.acpi, &host.boot, memory_map_end());
    log_info("PCI: %u functions; %u that wrote to memory by themselves have been stopped", m.functions,
             m.stopped);
    if (m.stuck)
        log_warn("%u PCI functions cannot be kept from writing to memory by themselves", m.stuck);
    if (m.unreached)
        log_warn(
            "the devices of %u PCI segments are out of reach: one that firmware left running may write to memory that is in use",
            m.unreached);
}

static void trim_ram(void)
{
    struct mtrrs mtrrs;
    memory_mtrrs(&mtrrs);
    struct trimmed t = ram_trim(&host.boot, &mtrrs);
    if (t.all)
        log_warn("the MTRRs make no RAM write-back: all that runs on this machine is slow");
    if (t.bytes)
        log_warn("%lu KiB of RAM from 0x%lx to 0x%lx are not write-back by the MTRRs: they are not used",
                 t.bytes / KIB, t.start, t.end);
}

static void hold_far_memory(void)
{
    host.apic_id = apic_host_id();
    host.numa = numa_hold(&host.frames, &host.acpi, &host.boot, host.apic_id);
    const struct numa *n = &host.numa;
    u64 near = host.frames.count[FRAME_FREE] * PAGE_SIZE / MIB;
    if (n->too_few)
        log_warn("there is too little memory near this processor: all memory is used, wherever it is");
    else if (n->known)
        log_info("memory: %lu MiB are near this processor, in node %u; %lu MiB elsewhere come last", near,
                 n->node, n->far * PAGE_SIZE / MIB);
    else if (n->far)
        log_info("memory: %lu MiB that the firmware sets apart come last", n->far * PAGE_SIZE / MIB);
}

// Shadow paging marks entries by it. No bit beyond the address width is tried where there is none.
static void try_mark_bit(void)
{
    host.mark_faults = phys_bits() <= MMU_MARK_BIT && reserved_bit_faults(MMU_MARK_BIT);
}

// Devices stop before memory is used that they may write to. ACPI's tables are read for that as far as they
// are mapped by then.
static void start_machine(u64 info_hpa, u64 image_hpa)
{
    read_acpi();
    stop_devices();
    trim_ram();
    if (memory_init(&host.frames, &host.boot, info_hpa, image_hpa))
        refuse(
            "There is too little memory below 4 GiB for the monitor's own tables: give the machine more memory.");
    log_info("memory: %lu MiB free, monitor at 0x%lx", host.frames.count[FRAME_FREE] * PAGE_SIZE / MIB,
             image_hpa);
    if (read_acpi())
        log_warn("the firmware's ACPI tables are broken: no power-off, and console input may not work");
    hold_far_memory();
    host_ioapic_mask_all(&host.acpi);
    try_mark_bit();
}

// What a comparison's configurations lack is found out one by one, and keeps no other from running.
static const char *machine_missing(void)
{
    const char *why = vmx_missing(&host.caps);
    if (!why && !params.compare)
        why = run_missing(&params, &host);
    if (!why)
        why = vmcs_missing(&host.caps);
    return why ? why : apic_missing();
}

static void start_vmx(void)
{
    const char *why = machine_missing();
    if (why)
        refuse(why);
    if (!params.compare)
        run_choose(&params, &host);
    if (vmx_on(&host.caps, &host.frames))
        refuse("VMXON failed although the processor shows VT-x: another monitor may be running below.");
}

static void say_measuring(unsigned samples)
{
    log_info("measuring the time stamp counter: too few of %u samples agree, as on a busy host", samples);
}

// What the firmware has found, or a system that died of it. From here on a machine check says why.
static void start_machine_checks(void)
{
    struct mca_log log;
    mca_start(&log);
    hardware_say(LOG_WARN, "before this start", host.apic_id, &log);
}

static void measure_timers(void)
{
    struct timer_rates *r = &host.rates;
    char message[512];
    if (timer_measure(&host.acpi, r, say_measuring)) {
        fmt(message, sizeof(message),
            "The rate of the time stamp counter cannot be measured (%s): enable the HPET in the firmware set-up.",
            r->vain);
        refuse(message);
    }
    if (!r->apic_hz)
        refuse(
            "The local APIC timer does not run, or runs unevenly: where a hypervisor is below, let it emulate that timer.");
    log_info("time stamp counter: %lu kHz, local APIC timer: %lu kHz, measured by the %s%s%s",
             r->tsc_hz / 1000, r->apic_hz / 1000, r->reference, r->vain[0] ? "; in vain: " : "", r->vain);
}

// The guest has the local APIC, and with it the power to send an SMI to any processor.
static void guard_smm(void)
{
    switch (smm_guard(&host.frames, &host.boot)) {
    case SMM_GUARDED:
        break;
    case SMM_FIRMWARE:
        log_warn(
            "machine address 0x38000 is the firmware's: an SMI that a guest sends to a processor whose SMBASE is that of reset runs what the firmware has there");
        break;
    case SMM_IN_USE:
        refuse(
            "The boot loader has put something at machine address 0x38000 or 0x3f000, where processors run in system-management mode whose SMBASE no firmware has moved: use another version of GRUB.");
    }
}

static void say_parking(unsigned tried, unsigned count)
{
    log_info("parking the other processors: %u of %u", tried, count);
}

// On most machines they are all alike.
static void say_parked(const struct park *park)
{
    for (const struct parked *p = park->first; p; p = p->next)
        hardware_say(LOG_WARN, "before this start", p->apic_id, &p->log);
    if (park->first && park->first->mwait == PARKED_HLT)
        log_info("parked processors wait in HLT: CPUID shows no MWAIT");
    else if (park->first)
        log_info("parked processors wait in the deepest state of MWAIT: hint 0x%x", park->first->mwait);
}

// The guest has the local APIC, and with it the power to start processors that are not in VMX operation.
static void park_processors(void)
{
    struct park *park = &host.park;
    *park = (struct park){.acpi = &host.acpi,
                          .caps = &host.caps,
                          .frames = &host.frames,
                          .tsc_hz = host.rates.tsc_hz,
                          .progress = say_parking};
    guard_smm();
    if (park_others(park))
        refuse(park->message);
    if (park->silent)
        log_warn(
            "%u listed processors do not start, the first of them local APIC ID %u: the firmware lists what is not there, or has switched it off",
            park->silent, park->silent_id);
    if (!host.acpi.cpus)
        log_warn(
            "the firmware lists no processors: if there are others than this one, the guest could start them");
    log_info("%u other processors parked", park->parked);
    say_parked(park);
    frames_reserve(&host.frames, 0, FIRMWARE_END);
}

// The guest has no other clock to check the TSC against than its own ticks, which come late when it is slow.
static void warn_about_time(void)
{
    if (!timer_tsc_is_invariant())
        log_warn(
            "this processor does not promise an invariant TSC: a Linux guest keeps better time with tsc=reliable on its command line");
}

static void warn_about_nmis(void)
{
    if (!(host.caps.pin.may & PIN_VIRTUAL_NMIS))
        log_warn(
            "this processor's VT-x has no virtual NMIs: a guest that has taken one gets the next one, and the console its keys, only once it takes interrupts again");
}

// Once for all guests: nothing changes it after this.
static void set_frequency(void)
{
    frequency_set(&host.frequency, params.freq);
    log_info("processor frequency: %s", host.frequency.says);
}

// A comparison's configurations may say of pmu= what they like.
static void find_counters(void)
{
    pmu_detect(&host.pmu);
    log_info("performance counters: %s", params.pmu || params.compare ? host.pmu.says : "none: pmu=off");
}

static void measure_exit(void)
{
    if (trial_exit_cost(&host.caps, &host.frames, &host.empty_exit_cycles))
        refuse("No memory is left for the monitor: give the machine more memory.");
    if (host.empty_exit_cycles)
        log_info("an empty exit costs %u cycles here", host.empty_exit_cycles);
    else
        log_info("an exit costs nothing here but the monitor's own instructions");
}

// Input comes as an NMI where the console's interrupt can be routed so.
static void start_input(void)
{
    int irq = console_irq();
    if (irq < 0 || host_ioapic_route_nmi(&host.acpi, (u8)irq, host.apic_id)) {
        log_warn("console input does not work: there is no serial port with an interrupt that can be routed");
        return;
    }
    console_interrupt(true);
    log_info("Ctrl-A h on the console shows the monitor's keys");
}

// Somebody who has a serial line reads there what the screen would show.
static void start_handout(void)
{
    if (params.qr == QR_OFF || (params.qr == QR_AUTO && console_has_serial()))
        return;
    if (!console_picture_room(0)) {
        log_warn("results are not shown at the end: there is no screen");
        return;
    }
    host.handout = handout_make(&host.frames);
    if (!host.handout)
        log_warn("results are not shown at the end: there is too little memory");
}

// Until now all that is on the consoles is the monitor's own.
static void draw_word(void)
{
    console_set_word(random_draw(params.seed));
    log_notice("a line with this word is the monitor's, one without it a guest's");
}

static void hand_out(void)
{
    handout_show(host.handout, host.rates.tsc_hz, params.on_exit == ON_EXIT_HALT ? 0 : HANDOUT_ROUNDS);
}

static void hand_out_run(void)
{
    if (!host.handout)
        return;
    console_divert(&host.handout->pages);
    console_print("%s\n", vm.end);
    summary_table(&vm);
    console_divert(&host.handout->json);
    summary_json(&vm);
    console_divert(NULL);
    hand_out();
}

static void hand_out_comparison(void)
{
    if (!host.handout)
        return;
    console_divert(&host.handout->pages);
    compare_table(&comparison);
    console_divert(&host.handout->json);
    compare_json(&comparison, params.repeat, &host);
    console_divert(NULL);
    hand_out();
}

static void run_alone(void)
{
    const char *why = run_prepare(&vm, &host, &params);
    if (why)
        refuse(why);
    draw_word();
    run_guest(&vm, &host);
    enum log_level level = vm.failed ? LOG_ERROR : LOG_NOTICE;
    log_message(level, "%s", vm.end);
    summary_table(&vm);
    trace_print(&vm.trace);
    summary_json(&vm);
    log_message(level, "%s", vm.end); // again: the table may have moved it off the screen
    hand_out_run();
}

static _Noreturn void finish(void)
{
    if (params.on_exit == ON_EXIT_POWEROFF)
        machine_poweroff(&host.acpi);
    if (params.on_exit == ON_EXIT_REBOOT)
        machine_reboot(&host.acpi);
    machine_halt();
}

_Noreturn void monitor_main(u64 info_hpa, u64 image_hpa);
_Noreturn void monitor_main(u64 info_hpa, u64 image_hpa)
{
    traps_init();
    const char *why = processor_start(); // first of all; a refusal needs the console
    vmcs_count_in(&vm.vcpu.vmcs);
    host.back_ends = back_ends;
    read_boot_info(info_hpa);
    start_console();
    read_parameters();
    if (why)
        refuse(why);
    start_machine(info_hpa, image_hpa);
    start_machine_checks();
    start_vmx();
    measure_timers();
    warn_about_time();
    warn_about_nmis();
    park_processors();
    set_frequency();
    find_counters();
    measure_exit();
    msr_keep();
    start_handout();
    frames_keep(&host.frames);
    start_input();
    if (params.compare) {
        draw_word();
        compare_run(&comparison, params.repeat, &vm, &host);
        hand_out_comparison();
    } else {
        run_alone();
    }
    finish();
}
