// The guest's ACPI tables: found as Linux finds them, from the RSDP on; checksums and the fields that Linux
// acts on; and read by iasl, which must compile the DSDT without a remark and disassemble every table without
// a complaint. Run from the top folder: it writes below build/host/acpi.

// link: hv/guest/acpi_tables.c
#include "hv/devices/guest_ports.h"
#include "hv/guest/acpi_tables.h"
#include "support.h"

#include <stdio.h>

#define FOLDER   "build/host/acpi"
#define AREA_GPA 0xf0000u

static u8 dsdt[4096];
static size_t dsdt_bytes;
static u8 area[8192];

static void read_file(const char *path, void *buffer, size_t size, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    *bytes = fread(buffer, 1, size, file);
    fclose(file);
    assert_in_range(*bytes, 1, size - 1);
}

static void run(const char *format, ...)
{
    char command[512];
    va_list args;
    va_start(args, format);
    fmtv(command, sizeof(command), format, args);
    va_end(args);
    if (system(command) != 0)
        fail_msg("failed: %s", command);
}

static int compile_dsdt(void **state)
{
    (void)state;
    static char text[4096];
    size_t bytes;
    run("mkdir -p %s && gcc -E -P -undef -x c -Ihv/devices hv/guest/dsdt.asl -o %s/dsdt.asl", FOLDER, FOLDER);
    run("iasl -tc -p %s/dsdt %s/dsdt.asl > %s/dsdt.log 2>&1", FOLDER, FOLDER, FOLDER);
    read_file(FOLDER "/dsdt.log", text, sizeof(text), &bytes);
    assert_non_null(strstr(text, "0 Errors, 0 Warnings, 0 Remarks"));
    read_file(FOLDER "/dsdt.aml", dsdt, sizeof(dsdt), &dsdt_bytes);
    return 0;
}

static int build(u32 apic_id, size_t area_bytes)
{
    struct acpi_guest guest = {apic_id, dsdt, dsdt_bytes};
    memset(area, 0xcc, sizeof(area));
    return acpi_tables_build(area, area_bytes, AREA_GPA, &guest);
}

static u64 field(const u8 *table, unsigned offset, unsigned bytes)
{
    u64 value = 0;
    memcpy(&value, table + offset, bytes);
    return value;
}

static void check_sum(const u8 *bytes, size_t count)
{
    u8 total = 0;
    for (size_t i = 0; i < count; i++)
        total += bytes[i];
    assert_int_equal(total, 0);
}

static const u8 *table_at(u64 gpa, const char *signature, int used)
{
    assert_in_range(gpa, AREA_GPA, AREA_GPA + (u64)used - 36);
    assert_int_equal(gpa % 16, 0);
    const u8 *table = area + (gpa - AREA_GPA);
    assert_memory_equal(table, signature, 4);
    u64 length = field(table, 4, 4);
    assert_in_range(gpa + length, gpa + 36, AREA_GPA + (u64)used);
    check_sum(table, length);
    assert_memory_equal(table + 10, "PENUMBPENUMBRA", 14);
    return table;
}

struct tables {
    const u8 *xsdt, *fadt, *madt, *dsdt;
};

static struct tables tables_find(int used)
{
    assert_memory_equal(area, "RSD PTR ", 8);
    assert_int_equal(area[15], 2);
    assert_int_equal(field(area, 16, 4), 0); // no RSDT
    assert_int_equal(field(area, 20, 4), 36);
    check_sum(area, 20);
    check_sum(area, 36);
    struct tables t;
    t.xsdt = table_at(field(area, 24, 8), "XSDT", used);
    assert_int_equal(field(t.xsdt, 4, 4), 36 + 2 * 8);
    t.fadt = table_at(field(t.xsdt, 36, 8), "FACP", used);
    t.madt = table_at(field(t.xsdt, 44, 8), "APIC", used);
    assert_int_equal(field(t.fadt, 40, 4), field(t.fadt, 140, 8));
    t.dsdt = table_at(field(t.fadt, 140, 8), "DSDT", used);
    assert_memory_equal(t.dsdt, dsdt, dsdt_bytes);
    return t;
}

static void check_untouched(size_t from)
{
    for (size_t i = from; i < sizeof(area); i++)
        assert_int_equal(area[i], 0xcc);
}

static void check_gas(const u8 *gas, u64 port)
{
    assert_memory_equal(gas, "\x01\x08\x00\x01", 4); // I/O space, 8 bits wide, from bit 0, by bytes
    assert_int_equal(field(gas, 4, 8), port);
}

static void test_fadt(void **state)
{
    (void)state;
    int used = build(0, sizeof(area));
    assert_int_equal(used % 16, 0);
    const u8 *fadt = tables_find(used).fadt;
    check_untouched((size_t)used);
    assert_int_equal(field(fadt, 4, 4), 276);
    assert_int_equal(fadt[8], 6);
    assert_int_equal(field(fadt, 109, 2), 0x04); // no VGA; a CMOS RTC, no 8042
    assert_int_equal(field(fadt, 112, 4), 0x101435);
    check_gas(fadt + 116, ACPI_RESET_PORT);
    assert_int_equal(fadt[128], ACPI_RESET_VALUE);
    check_gas(fadt + 244, ACPI_SLEEP_CONTROL_PORT);
    check_gas(fadt + 256, ACPI_SLEEP_STATUS_PORT);
    for (unsigned i = 46; i < 109; i++)
        assert_int_equal(fadt[i], 0);
    for (unsigned i = 148; i < 244; i++)
        assert_int_equal(fadt[i], 0);
}

static void check_io_apic(const u8 *entry)
{
    assert_memory_equal(entry, "\x01\x0c\x00\x00", 4);
    assert_int_equal(field(entry, 4, 4), 0xfec00000);
    assert_int_equal(field(entry, 8, 4), 0);
}

static void test_madt(void **state)
{
    (void)state;
    static const u32 ids[] = {0, 1, 253, 254, 255, 256, 0x12345678};
    for (unsigned i = 0; i < ARRAY_SIZE(ids); i++) {
        const u8 *madt = tables_find(build(ids[i], sizeof(area))).madt;
        const u8 *cpu = madt + 44;
        assert_int_equal(field(madt, 36, 4), 0xfee00000);
        assert_int_equal(field(madt, 40, 4), 0);
        if (ids[i] < 255) {
            assert_memory_equal(cpu, "\x00\x08\x00", 3);
            assert_int_equal(cpu[3], ids[i]);
            assert_int_equal(field(cpu, 4, 4), 1);
        } else {
            assert_memory_equal(cpu, "\x09\x10\x00\x00", 4);
            assert_int_equal(field(cpu, 4, 4), ids[i]);
            assert_int_equal(field(cpu, 8, 4), 1);
            assert_int_equal(field(cpu, 12, 4), 0);
        }
        check_io_apic(cpu + cpu[1]);
        assert_int_equal(field(madt, 4, 4), 44 + cpu[1] + 12);
    }
}

static void test_area_too_small(void **state)
{
    (void)state;
    int used = build(0, sizeof(area));
    assert_in_range(used, 500, 1000);
    for (int bytes = 0; bytes < used; bytes++) {
        assert_int_equal(build(0, (size_t)bytes), ERR_NOMEM);
        check_untouched(0);
    }
    assert_int_equal(build(0, (size_t)used), used);
    check_untouched((size_t)used);
}

static void check_invalid(u32 gpa, const void *bytes, size_t count)
{
    struct acpi_guest guest = {0, bytes, count};
    memset(area, 0xcc, sizeof(area));
    assert_int_equal(acpi_tables_build(area, sizeof(area), gpa, &guest), ERR_INVALID);
    check_untouched(0);
}

static void test_invalid(void **state)
{
    (void)state;
    u8 broken[sizeof(dsdt)];
    check_invalid(AREA_GPA + 8, dsdt, dsdt_bytes);
    check_invalid(0xfffffff0, dsdt, dsdt_bytes);
    check_invalid(AREA_GPA, dsdt, dsdt_bytes - 1);
    check_invalid(AREA_GPA, dsdt, 35);
    check_invalid(AREA_GPA, dsdt, 0);
    for (size_t i = 0; i < dsdt_bytes; i++) { // signature, length or checksum
        memcpy(broken, dsdt, dsdt_bytes);
        broken[i] ^= 1 << i % 8;
        check_invalid(AREA_GPA, broken, dsdt_bytes);
    }
}

static void disassemble(const u8 *table, const char *name, char *text, size_t size)
{
    char path[128];
    size_t bytes;
    fmt(path, sizeof(path), "%s/%s.dat", FOLDER, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(table, 1, field(table, 4, 4), file);
    fclose(file);
    run("cd %s && rm -f %s.dsl && iasl -d %s.dat > %s.log 2>&1", FOLDER, name, name, name);
    run("cd %s && ! grep -iE 'warning|error|invalid|unknown|incorrect|should be' %s.log %s.dsl", FOLDER, name,
        name);
    fmt(path, sizeof(path), "%s/%s.dsl", FOLDER, name);
    read_file(path, text, size, &bytes);
    text[bytes] = 0;
}

static void check_text(const char *text, const char *const *wanted)
{
    for (; *wanted; wanted++)
        if (!strstr(text, *wanted))
            fail_msg("iasl does not say: %s", *wanted);
}

static void test_iasl_data_tables(void **state)
{
    (void)state;
    static char text[32768];
    struct tables t = tables_find(build(3, sizeof(area)));
    disassemble(t.xsdt, "xsdt", text, sizeof(text));
    check_text(text, (const char *const[]){"ACPI Table Address   1 : 00000000000F", NULL});
    disassemble(t.fadt, "fadt", text, sizeof(text));
    check_text(text,
               (const char *const[]){"Hardware Reduced (V5) : 1", "Reset Register Supported (V2) : 1",
                                     "VGA Not Present (V4) : 1", "CMOS RTC Not Present (V5) : 0",
                                     "8042 Present on ports 60/64 (V2) : 0", "Address : 0000000000000600",
                                     "Address : 0000000000000601", "Address : 0000000000000CF9", NULL});
    disassemble(t.madt, "madt", text, sizeof(text));
    check_text(text, (const char *const[]){"[Processor Local APIC]", "Local Apic ID : 03", "[I/O APIC]",
                                           "PC-AT Compatibility : 0", NULL});
    t = tables_find(build(300, sizeof(area)));
    disassemble(t.madt, "madt_x2apic", text, sizeof(text));
    check_text(text,
               (const char *const[]){"[Processor Local x2APIC]", "Processor x2Apic ID : 0000012C", NULL});
}

static void test_iasl_dsdt(void **state)
{
    (void)state;
    static char text[32768];
    char s5[64];
    disassemble(tables_find(build(0, sizeof(area))).dsdt, "dsdt_built", text, sizeof(text));
    check_text(text, (const char *const[]){"\"ACPI0007\"", "EisaId (\"PNP0501\")", "0x03F8,",
                                           "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive", NULL});
    const char *package = strstr(text, "Name (_S5, Package (0x04)");
    assert_non_null(package);
    fmt(s5, sizeof(s5), "0x%02x", ACPI_S5_SLP_TYP);
    assert_memory_equal(strstr(strstr(package, "{"), "0x"), s5, strlen(s5));
    assert_int_equal(ACPI_SLP_TYP(ACPI_S5_SLP_TYP << 2 | ACPI_SLP_EN), ACPI_S5_SLP_TYP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fadt),           cmocka_unit_test(test_madt),
        cmocka_unit_test(test_area_too_small), cmocka_unit_test(test_invalid),
        cmocka_unit_test(test_iasl_dsdt),      cmocka_unit_test(test_iasl_data_tables),
    };
    return cmocka_run_group_tests(tests, compile_dsdt, NULL);
}
