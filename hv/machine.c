// See machine.h.
#include <arch/console.h>
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/phys.h>
#include <arch/traps.h>

#include "json.h"
#include "machine.h"

#define LEAF_HYPERVISOR 0x40000000u
#define LEAF_BRAND      0x80000002u

static void processor_json(void)
{
    char text[49] = "";
    for (u32 i = 0; cpuid(0x80000000, 0).eax >= LEAF_BRAND + 2 && i < 3; i++) {
        struct cpuid leaf = cpuid(LEAF_BRAND + i, 0);
        memcpy(text + 16 * i, &leaf, sizeof(leaf));
    }
    const char *brand = text;
    while (*brand == ' ') // some processors' begins with them
        brand++;
    json_text("processor", brand);
}

// SDM vol. 3, 10.11.7.1: CPUID.1 puts it there. 0: none is told.
static u32 read_microcode(void)
{
    u64 value;
    if (!trap_try_wrmsr(IA32_BIOS_SIGN_ID, 0))
        return 0;
    cpuid(1, 0);
    return trap_try_rdmsr(IA32_BIOS_SIGN_ID, &value) ? (u32)(value >> 32) : 0;
}

// Its signature; "": none shows itself.
static void hypervisor_json(void)
{
    char signature[13] = "";
    struct cpuid leaf = cpuid(LEAF_HYPERVISOR, 0);
    if (cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR)
        memcpy(signature, &leaf.ebx, 12);
    json_text("hypervisor", signature);
}

// Capabilities as the processor has them, by index. Without VT-x some emulators have numbers there.
static void msrs_json(void)
{
    static const struct {
        u16 first, last;
    } told[] = {
        {IA32_FEATURE_CONTROL, IA32_FEATURE_CONTROL},
        {IA32_ARCH_CAPABILITIES, IA32_ARCH_CAPABILITIES},
        {IA32_MCG_CAP, IA32_MCG_CAP},
        {IA32_VMX_BASIC, IA32_VMX_EXIT_CTLS2},
    };
    size_t count = ARRAY_SIZE(told) - !(cpuid(1, 0).ecx & CPUID_1_ECX_VMX);
    const char *separator = "";
    console_print(",\"msrs\":{");
    for (size_t i = 0; i < count; i++) {
        for (u32 msr = told[i].first; msr <= told[i].last; msr++) {
            u64 value;
            if (!trap_try_rdmsr(msr, &value) || !value)
                continue;
            console_print("%s\"%x\":\"%lx\"", separator, msr, value);
            separator = ",";
        }
    }
    console_print("}");
}

static void ranges_json(const char *name, const struct boot_range *ranges, unsigned count)
{
    console_print(",\"%s\":[", name);
    for (unsigned i = 0; i < count; i++)
        console_print("%s\"%lx-%lx %u\"", i ? "," : "", ranges[i].start, ranges[i].end, ranges[i].type);
    console_print("]");
}

static void memory_json(const struct host *host)
{
    const struct frames *f = &host->frames;
    const struct trimmed *t = &host->trimmed;
    console_print(",\"memory_mib\":%lu",
                  (f->count[FRAME_FREE] + f->count[FRAME_KEPT] + f->count[FRAME_HELD]) * PAGE_SIZE / MIB);
    if (host->numa.known)
        console_print(",\"node\":%u", host->numa.node);
    if (host->numa.known || host->numa.far)
        console_print(",\"far_mib\":%lu", host->numa.far * PAGE_SIZE / MIB);
    ranges_json("memory_map", host->boot.ranges, host->boot.range_count);
    ranges_json("special_memory", host->boot.special, host->boot.special_count);
    if (t->bytes)
        console_print(",\"not_write_back\":\"%lx-%lx\",\"not_write_back_kib\":%lu", t->start, t->end,
                      t->bytes / KIB);
    console_print(",\"no_write_back\":%s", t->all ? "true" : "false");
}

// Each as "signature revision OEM/its table".
static void acpi_json(const struct acpi *acpi)
{
    unsigned count = acpi->tables < ACPI_MAX_TABLES ? acpi->tables : ACPI_MAX_TABLES;
    console_print(",\"acpi\":[");
    for (unsigned i = 0; i < count; i++) {
        const struct acpi_table *t = &acpi->table[i];
        char text[48];
        fmt(text, sizeof(text), "%s %u %s/%s", t->signature, t->revision, t->oem, t->oem_table);
        console_print("%s", i ? "," : "");
        json_print(text);
    }
    console_print("],\"acpi_tables\":%u,\"acpi_unread\":%u", acpi->tables, acpi->unread);
}

static void timers_json(const struct host *host)
{
    const struct timer_rates *r = &host->rates;
    console_print(",\"clock\":\"%s\",\"tsc_khz\":%lu,\"apic_khz\":%lu,\"invariant_tsc\":%s",
                  timer_counts_instructions() ? "instructions" : "time", r->tsc_hz / 1000, r->apic_hz / 1000,
                  timer_tsc_is_invariant() ? "true" : "false");
    console_print(",\"pm_timer_bits\":%u,\"hpet\":\"%lx\"",
                  host->acpi.pm_timer.address ? host->acpi.pm_timer_bits : 0u, host->acpi.hpet_hpa);
    json_text("measured_by", r->reference ? r->reference : "");
    json_text("measured_in_vain", r->vain);
}

static void processors_json(const struct host *host)
{
    const struct parked *first = host->park.first;
    console_print(",\"processors\":%u,\"parked\":%u,\"silent\":%u", host->acpi.cpus, host->park.parked,
                  host->park.silent);
    if (first && first->mwait != PARKED_HLT)
        console_print(",\"mwait\":\"%x\"", first->mwait);
}

void machine_json_begin(const struct host *host)
{
    console_screen_shows(false);
    json_line("machine");
    json_text("version", machine_monitor_version);
    processor_json();
    console_print(",\"signature\":\"0x%x\",\"microcode\":\"0x%x\",\"physical_bits\":%u", cpuid(1, 0).eax,
                  read_microcode(), phys_bits());
    hypervisor_json();
    json_text("firmware", host->boot.efi ? "UEFI" : "BIOS");
    json_text("loader", host->boot.loader_name ? host->boot.loader_name : "");
    timers_json(host);
    console_print(",\"empty_exit_cycles\":%u,\"mark_faults\":%s,\"input\":%s", host->empty_exit_cycles,
                  host->mark_faults ? "true" : "false", host->input ? "true" : "false");
    json_text("frequency", host->frequency.says);
    json_text("counters", host->pmu.says);
    processors_json(host);
    msrs_json();
    memory_json(host);
    acpi_json(&host->acpi);
}

void machine_json_end(void)
{
    console_print("}\n");
    console_screen_shows(true);
}
