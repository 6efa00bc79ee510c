// See host.h.
#include <arch/bus_master.h>
#include <arch/host_ioapic.h>
#include <arch/lib.h>
#include <arch/local_apic.h>
#include <arch/memory.h>
#include <arch/phys.h>
#include <arch/reserved_bit.h>
#include <arch/smm.h>
#include <arch/symbols.h>
#include <arch/trim.h>
#include <hv/log.h>

#include "finish.h"
#include "hardware.h"
#include "host.h"
#include "msr_keep.h"
#include "run.h"
#include "trial.h"
#include "vmcs_setup.h"

#define FIRMWARE_END (1 * MIB) // RAM below may be read by firmware, after boot too: no guest gets it

static int read_acpi(struct host *h)
{
    return acpi_parse(&h->acpi, h->boot.rsdp, h->boot.rsdp_bytes, memory_map_end());
}

static void stop_devices(const struct host *h)
{
    struct bus_masters m = bus_masters_stop(&h->acpi, &h->boot, memory_map_end());
    log_info("PCI: %u functions; %u that wrote to memory by themselves have been stopped", m.functions,
             m.stopped);
    if (m.stuck)
        log_warn("%u PCI functions cannot be kept from writing to memory by themselves", m.stuck);
    if (m.unreached)
        log_warn(
            "the devices of %u PCI segments are out of reach: one that firmware left running may write to memory that is in use",
            m.unreached);
}

static void trim_ram(struct host *h)
{
    struct mtrrs mtrrs;
    memory_mtrrs(&mtrrs);
    struct trimmed t = h->trimmed = ram_trim(&h->boot, &mtrrs);
    if (t.all)
        log_warn("the MTRRs make no RAM write-back: all that runs on this machine is slow");
    if (t.bytes)
        log_warn("%lu KiB of RAM from 0x%lx to 0x%lx are not write-back by the MTRRs: they are not used",
                 t.bytes / KIB, t.start, t.end);
}

static void warn_about_left_out(const struct host *h)
{
    u64 bytes = memory_left_out(&h->frames, &h->boot);
    if (bytes)
        log_warn(
            "%lu MiB of RAM from 0x%lx on are not used: the monitor uses what lies below 16 TiB, and no more than a table with a byte for each 4 KiB has room for below 4 GiB",
            bytes / MIB, h->frames.limit * PAGE_SIZE);
}

static void say_near_memory(const struct host *h)
{
    const struct numa *n = &h->numa;
    u64 near = h->frames.count[FRAME_FREE] * PAGE_SIZE / MIB;
    if (n->too_few)
        log_warn("there is too little memory near this processor: all memory is used, wherever it is");
    else if (n->known)
        log_info("memory: %lu MiB are near this processor, in node %u; %lu MiB elsewhere come last", near,
                 n->node, n->far * PAGE_SIZE / MIB);
    else if (n->far)
        log_info("memory: %lu MiB that the firmware sets apart come last", n->far * PAGE_SIZE / MIB);
}

static void hold_far_memory(struct host *h)
{
    h->numa = numa_hold(&h->frames, &h->acpi, &h->boot, h->apic_id);
}

// What the boot loader has left goes to near memory, and what it leaves behind may be far.
static void settle_memory(struct host *h, u64 image_hpa)
{
    h->apic_id = local_apic_id();
    hold_far_memory(h);
    u64 raised = memory_raise(&h->frames, &h->boot, image_hpa);
    symbols_set(&h->boot.symbols);
    hold_far_memory(h);
    say_near_memory(h);
    if (raised)
        log_info("memory: %lu KiB that the boot loader had left low have been moved up", raised / KIB);
}

// Shadow paging marks entries by it. No bit beyond the address width is tried where there is none.
static void try_mark_bit(struct host *h)
{
    h->mark_faults = phys_bits() <= MMU_MARK_BIT && reserved_bit_faults(MMU_MARK_BIT);
}

// Devices stop before memory is used that they may write to. ACPI's tables are read for that as far as they
// are mapped by then.
static void start_machine(struct host *h, u64 image_hpa)
{
    read_acpi(h);
    stop_devices(h);
    trim_ram(h);
    if (memory_init(&h->frames, &h->boot, image_hpa))
        refuse(
            h,
            "There is too little memory below 4 GiB for the monitor's own tables: give the machine more memory.");
    log_info("memory: %lu MiB free, monitor at 0x%lx", h->frames.count[FRAME_FREE] * PAGE_SIZE / MIB,
             image_hpa);
    warn_about_left_out(h);
    if (read_acpi(h))
        log_warn("the firmware's ACPI tables are broken: no power-off, and console input may not work");
    settle_memory(h, image_hpa);
    host_ioapic_mask_all(&h->acpi);
    try_mark_bit(h);
}

// What a comparison's configurations lack is found out one by one, and keeps no other from running.
static const char *machine_missing(struct host *h, const struct params *p)
{
    const char *why = vmx_missing(&h->caps);
    if (!why && !p->compare)
        why = run_missing(p, h);
    if (!why)
        why = vmcs_missing(&h->caps);
    return why ? why : apic_missing();
}

static void start_vmx(struct host *h, const struct params *p)
{
    const char *why = machine_missing(h, p);
    if (why)
        refuse(h, why);
    if (vmx_on(&h->caps, &h->frames))
        refuse(h, "VMXON failed although the processor shows VT-x: another monitor may be running below.");
}

static void say_measuring(unsigned samples)
{
    log_info("measuring the time stamp counter: too few of %u samples agree, as on a busy host", samples);
}

// What the firmware has found, or a system that died of it. From here on a machine check says why.
static void start_machine_checks(const struct host *h)
{
    struct mca_log log;
    mca_start(&log);
    hardware_say(LOG_WARN, "before this start", h->apic_id, &log);
}

static void measure_timers(struct host *h)
{
    struct timer_rates *r = &h->rates;
    char message[512];
    if (timer_measure(&h->acpi, r, say_measuring)) {
        fmt(message, sizeof(message),
            "The rate of the time stamp counter cannot be measured (%s): enable the HPET in the firmware set-up.",
            r->vain);
        refuse(h, message);
    }
    if (!r->apic_hz)
        refuse(
            h,
            "The local APIC timer does not run, or runs unevenly: where a hypervisor is below, let it emulate that timer.");
    log_info("time stamp counter: %lu kHz, local APIC timer: %lu kHz, measured by the %s%s%s",
             r->tsc_hz / 1000, r->apic_hz / 1000, r->reference, r->vain[0] ? "; in vain: " : "", r->vain);
}

// The guest has the local APIC, and with it the power to send an SMI to any processor.
static void guard_smm(struct host *h)
{
    switch (smm_guard(&h->frames, &h->boot)) {
    case SMM_GUARDED:
        break;
    case SMM_FIRMWARE:
        log_warn(
            "machine address 0x38000 is the firmware's: an SMI that a guest sends to a processor whose SMBASE is that of reset runs what the firmware has there");
        break;
    case SMM_IN_USE:
        refuse(
            h,
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
static void park_processors(struct host *h)
{
    struct park *park = &h->park;
    *park = (struct park){.acpi = &h->acpi,
                          .caps = &h->caps,
                          .frames = &h->frames,
                          .tsc_hz = h->rates.tsc_hz,
                          .progress = say_parking};
    guard_smm(h);
    if (park_others(park))
        refuse(h, park->message);
    if (park->silent)
        log_warn(
            "%u listed processors do not start, the first of them local APIC ID %u: the firmware lists what is not there, or has switched it off",
            park->silent, park->silent_id);
    if (!h->acpi.cpus)
        log_warn(
            "the firmware lists no processors: if there are others than this one, the guest could start them");
    log_info("%u other processors parked", park->parked);
    say_parked(park);
    frames_reserve(&h->frames, 0, FIRMWARE_END);
}

// The guest has no other clock to check the TSC against than its own ticks, which come late when it is slow.
static void warn_about_time(void)
{
    if (!timer_tsc_is_invariant())
        log_warn(
            "this processor does not promise an invariant TSC: a Linux guest keeps better time with tsc=reliable on its command line");
}

static void warn_about_nmis(const struct host *h)
{
    if (!(h->caps.pin.may & PIN_VIRTUAL_NMIS))
        log_warn(
            "this processor's VT-x has no virtual NMIs: a guest that has taken one gets the next one, and the console its keys, only once it takes interrupts again");
}

// Once for all guests: nothing changes it after this.
static void set_frequency(struct host *h, const struct params *p)
{
    frequency_set(&h->frequency, p->freq);
    log_info("processor frequency: %s", h->frequency.says);
}

// A comparison's configurations may say of pmu= what they like.
static void find_counters(struct host *h, const struct params *p)
{
    pmu_detect(&h->pmu);
    log_info("performance counters: %s", p->pmu || p->compare ? h->pmu.says : "none: pmu=off");
}

static void measure_exit(struct host *h)
{
    if (trial_exit_cost(&h->caps, &h->frames, &h->empty_exit_cycles))
        refuse(h, "No memory is left for the monitor: give the machine more memory.");
    if (h->empty_exit_cycles)
        log_info("an empty exit costs %u cycles here", h->empty_exit_cycles);
    else
        log_info("an exit costs nothing here but the monitor's own instructions");
}

void host_start(struct host *h, const struct params *params, u64 image_hpa)
{
    start_machine(h, image_hpa);
    start_machine_checks(h);
    start_vmx(h, params);
    measure_timers(h);
    warn_about_time();
    warn_about_nmis(h);
    park_processors(h);
    set_frequency(h, params);
    find_counters(h, params);
    measure_exit(h);
    msr_keep();
}
