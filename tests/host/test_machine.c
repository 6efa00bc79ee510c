// The line of JSON about the machine (hv/machine.c), word for word: of a machine that has everything, with
// texts by which a firmware could break the line, and of one of which nothing is known yet.
// link: MACHINE hv/machine.c arch/phys_bits.c
#include "fake_machine.h"

#include <arch/cpu.h>
#include <arch/io.h>

#include "hv/machine.h"

const char machine_monitor_version[] = "v1";

static bool shows = true; // the screen
static struct host host;
static u32 leaves, ecx;

void console_screen_shows(bool on)
{
    assert_int_equal(machine_console_length > 0, on);
    shows = on;
}

static struct cpuid machine_cpuid(u32 leaf, u32 subleaf)
{
    static const char brand[48] = "  Intel(R) \"Xeon\" CPU";
    struct cpuid r = {0, 0, 0, 0};
    assert_int_equal(subleaf, 0);
    if (leaf == 1)
        r = (struct cpuid){0x50654, 0, ecx, 0};
    else if (leaf == 0x80000000)
        r.eax = leaves;
    else if (leaf >= 0x80000002 && leaf <= 0x80000004)
        memcpy(&r, brand + 16 * (leaf - 0x80000002), sizeof(r));
    else if (leaf == 0x80000007)
        r.edx = BIT(8);
    else if (leaf == 0x80000008)
        r.eax = 46;
    else if (leaf == 0x40000000)
        memcpy(&r.ebx, "KVMKVMKVM\0\0\0", 12);
    else
        fail_msg("leaf %x", leaf);
    return r;
}

// CPUID.1 puts the microcode's revision there, if 0 was written before.
static u64 read_msr(u32 index, u64 value)
{
    return index == IA32_BIOS_SIGN_ID && !value ? 0x2006e0500000000 : value;
}

static void begin(u32 last_leaf, u32 features)
{
    fake_cpu_reset();
    fake_cpuid = machine_cpuid;
    leaves = last_leaf;
    ecx = features;
    memset(&host, 0, sizeof(host));
    memset(machine_console, 0, sizeof(machine_console));
    machine_console_length = 0;
}

static void line_is(const char *expected)
{
    machine_json_begin(&host);
    assert_false(shows);
    machine_json_end();
    assert_true(shows);
    assert_string_equal(machine_console, expected);
}

static void set_firmware(void)
{
    static struct parked parked = {.mwait = 0x60};
    host.boot.efi = true;
    host.boot.loader_name = "GRUB \\ \x01";
    host.boot.range_count = 2;
    host.boot.ranges[0] = (struct boot_range){0, 0x9fc00, 1};
    host.boot.ranges[1] = (struct boot_range){0x4000000000, 0xffffffffffffffff, 0xffffffff};
    host.boot.special_count = 1;
    host.boot.special[0] = (struct boot_range){0x100000000, 0x140000000, 1};
    host.trimmed = (struct trimmed){.bytes = 8192, .start = 0x1000, .end = 0x4000};
    host.numa = (struct numa){.known = true, .node = 3, .far = 512};
    host.frames.count[FRAME_FREE] = 1024;
    host.frames.count[FRAME_HELD] = 512;
    host.acpi.tables = 2;
    host.acpi.table[0] = (struct acpi_table){"FACP", "ALASKA", "A M I", 6};
    host.acpi.table[1] = (struct acpi_table){"\"}\n\xff", "\\", "", 255};
    host.acpi.unread = 1;
    host.acpi.cpus = 9;
    host.acpi.hpet_hpa = 0xfed00000;
    host.acpi.pm_timer.address = 0x608;
    host.acpi.pm_timer_bits = 32;
    host.park = (struct park){.first = &parked, .parked = 7, .silent = 1};
}

static void whole(void **state)
{
    (void)state;
    begin(0x80000008, CPUID_1_ECX_VMX | CPUID_1_ECX_HYPERVISOR);
    fake_msr_set(IA32_BIOS_SIGN_ID, ~0ull);
    fake_msr_reads = read_msr;
    fake_msr_set(IA32_FEATURE_CONTROL, 5);
    fake_msr_set(IA32_ARCH_CAPABILITIES, 0); // says nothing
    fake_msr_set(IA32_VMX_BASIC, 0x00da040000000004);
    fake_msr_set(IA32_VMX_EXIT_CTLS2, 8);
    fake_msr_set(IA32_VMX_EXIT_CTLS2 + 1, 1); // none of VMX
    set_firmware();
    host.rates = (struct timer_rates){.tsc_hz = 3500000000, .apic_hz = 24000000, .reference = "HPET"};
    strcpy(host.rates.vain, "ACPI timer: stands still");
    strcpy(host.frequency.says, "base");
    strcpy(host.pmu.says, "none");
    host.empty_exit_cycles = 1300;
    host.mark_faults = host.input = true;
    line_is(
        "{\"penumbra\":\"machine\",\"word\":\"0123456789ab\",\"version\":\"v1\",\"processor\":\"Intel(R) \\u0022Xeon\\u0022 CPU\","
        "\"signature\":\"0x50654\",\"microcode\":\"0x2006e05\",\"physical_bits\":46,\"hypervisor\":\"KVMKVMKVM\","
        "\"firmware\":\"UEFI\",\"loader\":\"GRUB \\u005c \\u0001\",\"clock\":\"time\",\"tsc_khz\":3500000,\"apic_khz\":24000,"
        "\"invariant_tsc\":true,\"pm_timer_bits\":32,\"hpet\":\"fed00000\",\"measured_by\":\"HPET\","
        "\"measured_in_vain\":\"ACPI timer: stands still\",\"empty_exit_cycles\":1300,\"mark_faults\":true,\"input\":true,"
        "\"frequency\":\"base\",\"counters\":\"none\",\"processors\":9,\"parked\":7,\"silent\":1,\"mwait\":\"60\","
        "\"msrs\":{\"3a\":\"5\",\"480\":\"da040000000004\",\"493\":\"8\"},\"memory_mib\":6,\"node\":3,\"far_mib\":2,"
        "\"memory_map\":[\"0-9fc00 1\",\"4000000000-ffffffffffffffff 4294967295\"],"
        "\"special_memory\":[\"100000000-140000000 1\"],\"not_write_back\":\"1000-4000\",\"not_write_back_kib\":8,"
        "\"no_write_back\":false,\"acpi\":[\"FACP 6 ALASKA/A M I\",\"\\u0022}\\u000a\\u00ff 255 \\u005c/\"],"
        "\"acpi_tables\":2,\"acpi_unread\":1}\n");
}

// Before anything is found out, on a processor without VT-x whose MSRs of VMX read as numbers.
static void nothing_known(void **state)
{
    (void)state;
    begin(0x80000000, 0);
    fake_msr_set(IA32_FEATURE_CONTROL, 1);
    fake_msr_set(IA32_VMX_BASIC, 1);
    line_is(
        "{\"penumbra\":\"machine\",\"word\":\"0123456789ab\",\"version\":\"v1\",\"processor\":\"\",\"signature\":\"0x50654\","
        "\"microcode\":\"0x0\",\"physical_bits\":36,\"hypervisor\":\"\",\"firmware\":\"BIOS\",\"loader\":\"\",\"clock\":\"time\","
        "\"tsc_khz\":0,\"apic_khz\":0,\"invariant_tsc\":false,\"pm_timer_bits\":0,\"hpet\":\"0\",\"measured_by\":\"\","
        "\"measured_in_vain\":\"\",\"empty_exit_cycles\":0,\"mark_faults\":false,\"input\":false,\"frequency\":\"\","
        "\"counters\":\"\",\"processors\":0,\"parked\":0,\"silent\":0,\"msrs\":{\"3a\":\"1\"},\"memory_mib\":0,\"memory_map\":[],"
        "\"special_memory\":[],\"no_write_back\":false,\"acpi\":[],\"acpi_tables\":0,\"acpi_unread\":0}\n");
}

// A line of a firmware's memory map for each range that can be, and tables of which only the first are kept.
static void more_than_fits(void **state)
{
    (void)state;
    begin(0x80000008, 0);
    host.boot.range_count = BOOT_RANGES;
    host.acpi.tables = ACPI_MAX_TABLES + 9;
    machine_json_begin(&host);
    machine_json_end();
    unsigned ranges = 0, tables = 0;
    for (const char *at = machine_console; (at = strstr(at, "\"0-0 0\"")); at++)
        ranges++;
    for (const char *at = machine_console; (at = strstr(at, "\" 0 /\"")); at++)
        tables++;
    assert_int_equal(ranges, BOOT_RANGES);
    assert_int_equal(tables, ACPI_MAX_TABLES);
    assert_non_null(strstr(machine_console, "],\"acpi_tables\":137,\"acpi_unread\":0}\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(nothing_known),
        cmocka_unit_test(more_than_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
