// ACPI tables built here by hand, whole and broken, in a machine memory of our own.
// link: arch/acpi.c
#include "support.h"

#include <arch/acpi.h>

#define LIMIT (2 * MIB)
#define RSDT  0x10000u
#define XSDT  0x11000u
#define FADT  0x12000u
#define MADT  0x100000u
#define DSDT  0x14000u
#define SSDT  0x15000u
#define HPET  0x16000u

static struct frames frames;
static struct acpi acpi;
static u8 rsdp[36];

static void put(u8 *at, u64 value, unsigned bytes)
{
    memcpy(at, &value, bytes);
}

static u8 sum_of(const u8 *data, size_t size)
{
    u8 sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += data[i];
    return sum;
}

static u8 *table(u64 hpa)
{
    return phys_ptr(hpa);
}

static void seal(u64 hpa)
{
    u32 length;
    memcpy(&length, table(hpa) + 4, 4);
    table(hpa)[9] -= sum_of(table(hpa), length);
}

static void make_table(u64 hpa, const char *signature, const void *body, size_t size)
{
    memset(table(hpa), 0, 4096);
    memcpy(table(hpa), signature, 4);
    put(table(hpa) + 4, 36 + size, 4);
    memcpy(table(hpa) + 36, body, size);
    seal(hpa);
}

static void set(u64 hpa, size_t offset, u64 value, unsigned bytes)
{
    put(table(hpa) + offset, value, bytes);
    seal(hpa);
}

static void seal_rsdp(void)
{
    rsdp[8] -= sum_of(rsdp, 20);
    rsdp[32] -= sum_of(rsdp, 36);
}

static const u8 s5_qemu[] = {0x10, 0x20, 0x5c, 0x00, 0x08, '_',  'S', '5', '_',
                             0x12, 0x06, 0x04, 0x0a, 5,    0x0a, 7,   0,   0};

static const u8 madt_body[] = {
    0x00, 0x00, 0xe0, 0xfe, 1,    0,    0,    0,                   // local APIC address, flags
    0,    8,    0,    0x10, 1,    0,    0,    0,                   // a processor
    0,    8,    1,    0x12, 0,    0,    0,    0,                   // one that is off
    0,    8,    2,    0x14, 3,    0,    0,    0,                   // another
    1,    12,   9,    0,    0x00, 0x00, 0xc0, 0xfe, 0,    0, 0, 0, // IOAPIC 9 from GSI 0
    1,    12,   10,   0,    0x00, 0x10, 0xc0, 0xfe, 24,   0, 0, 0, // IOAPIC 10 from GSI 24
    2,    10,   0,    0,    2,    0,    0,    0,    0,    0,       // IRQ 0 is GSI 2
    2,    10,   0,    4,    26,   0,    0,    0,    0x0f, 0,       // IRQ 4 is GSI 26, low, level
    4,    6,    0xff, 5,    0,    1,                               // an NMI pin of local APICs: not wanted
    9,    16,   0,    0,    0x34, 0x12, 0,    0,    1,    0, 0, 0,
    0,    0,    0,    0, // a processor with an x2APIC id
    9,    16,   0,    0,    0x35, 0x12, 0,    0,    0,    0, 0, 0,
    0,    0,    0,    0,                                           // one that is off
    5,    12,   0,    0,    0x00, 0x00, 0xd0, 0xfe, 1,    0, 0, 0, // the local APIC is elsewhere
    0xff, 2,                                                       // a type of the future
};

static void make_fadt(size_t size)
{
    u8 body[276 - 36] = {0};
    put(body + 40 - 36, DSDT, 4);
    put(body + 48 - 36, 0xb2, 4);
    body[52 - 36] = 0xf1;
    put(body + 64 - 36, 0x604, 4);
    put(body + 68 - 36, 0x704, 4);
    put(body + 76 - 36, 0x608, 4);
    put(body + 112 - 36, BIT(8) | BIT(10), 4);
    put(body + 116 - 36, 0x00010801, 4); // I/O, 8 bits wide
    put(body + 120 - 36, 0xcf9, 8);
    body[128 - 36] = 0x0e;
    make_table(FADT, "FACP", body, size - 36);
}

static int make_machine(void **state)
{
    (void)state;
    memory_make(LIMIT, &frames);
    u64 pointers[] = {FADT, MADT, SSDT};
    u32 old_pointers[] = {FADT, MADT, SSDT};
    make_table(XSDT, "XSDT", pointers, sizeof(pointers));
    make_table(RSDT, "RSDT", old_pointers, sizeof(old_pointers));
    make_fadt(276);
    make_table(MADT, "APIC", madt_body, sizeof(madt_body));
    make_table(DSDT, "DSDT", s5_qemu, sizeof(s5_qemu));
    make_table(SSDT, "SSDT", "", 0);
    memset(rsdp, 0, sizeof(rsdp));
    memcpy(rsdp, "RSD PTR \0OEMOEM\2", 16);
    put(rsdp + 16, RSDT, 4);
    put(rsdp + 20, 36, 4);
    put(rsdp + 24, XSDT, 8);
    seal_rsdp();
    return 0;
}

static int unmake_machine(void **state)
{
    (void)state;
    memory_gone();
    return 0;
}

static int parse(size_t rsdp_size)
{
    memset(&acpi, 0xcc, sizeof(acpi)); // all of it must be written
    return acpi_parse(&acpi, rsdp, rsdp_size, LIMIT);
}

static void check_whole_machine(void)
{
    assert_string_equal(acpi.oem, "OEMOEM");
    assert_int_equal(acpi.pm_timer.address, 0x608);
    assert_int_equal(acpi.pm_timer.space, ACPI_IO);
    assert_int_equal(acpi.pm_timer_bits, 32);
    assert_int_equal(acpi.reset.address, 0xcf9);
    assert_int_equal(acpi.reset.space, ACPI_IO);
    assert_int_equal(acpi.reset_value, 0x0e);
    assert_int_equal(acpi.smi_command, 0xb2);
    assert_int_equal(acpi.acpi_enable, 0xf1);
    assert_int_equal(acpi.pm1a_control.address, 0x604);
    assert_int_equal(acpi.pm1b_control.address, 0x704);
    assert_int_equal(acpi.sleep_control.address, 0);
    assert_true(acpi.s5);
    assert_int_equal(acpi.s5_type_a, 5);
    assert_int_equal(acpi.s5_type_b, 7);
    assert_int_equal(acpi.local_apic_hpa, 0x1fed00000);
    assert_int_equal(acpi.cpus, 3);
    assert_int_equal(acpi.apic_id[0], 0x10);
    assert_int_equal(acpi.apic_id[1], 0x14);
    assert_int_equal(acpi.apic_id[2], 0x1234);
    assert_int_equal(acpi.ioapics, 2);
    assert_int_equal(acpi.ioapic[1].id, 10);
    assert_int_equal(acpi.ioapic[1].hpa, 0xfec01000);
    assert_int_equal(acpi.ioapic[1].gsi_base, 24);
    assert_int_equal(acpi.overrides, 2);
}

static void whole_machine_by_xsdt(void **state)
{
    (void)state;
    set(RSDT, 0, 0, 4); // not used
    assert_int_equal(parse(36), 0);
    check_whole_machine();
}

static void whole_machine_by_rsdt(void **state)
{
    (void)state;
    set(XSDT, 0, 0, 4);
    assert_int_equal(parse(36), 0); // the XSDT is not one
    check_whole_machine();
    assert_int_equal(parse(20), 0); // a copy of 20 bytes, whatever revision it claims
    check_whole_machine();
    rsdp[15] = 0;
    rsdp[24] = 0xff;
    seal_rsdp();
    assert_int_equal(parse(36), 0); // revision 0: what follows means nothing
    check_whole_machine();
}

static void broken_rsdp(void **state)
{
    (void)state;
    assert_int_equal(parse(19), ERR_INVALID);
    rsdp[10] ^= 1;
    assert_int_equal(parse(36), ERR_INVALID);
    assert_int_equal(acpi.cpus, 0);
    rsdp[10] ^= 1;
    rsdp[33] ^= 1; // only the second checksum is wrong: the XSDT is not believed, the RSDT is
    set(XSDT, 4, 36, 4);
    assert_int_equal(parse(36), 0);
    check_whole_machine();
    put(rsdp + 16, 0, 4);
    seal_rsdp();
    rsdp[33] ^= 1;
    assert_int_equal(parse(36), ERR_INVALID);
    memcpy(rsdp, "RSD PTRX", 8);
    put(rsdp + 16, RSDT, 4);
    seal_rsdp();
    assert_int_equal(parse(36), ERR_INVALID);
}

static void broken_tables_are_absent(void **state)
{
    (void)state;
    table(MADT)[60] ^= 1;
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.cpus, 0);
    assert_int_equal(acpi.local_apic_hpa, 0);
    assert_true(acpi.s5);
    table(DSDT)[40] ^= 1;
    assert_int_equal(parse(36), 0);
    assert_false(acpi.s5);
    assert_int_equal(acpi.pm1a_control.address, 0x604);
    table(FADT)[40] ^= 1;
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.pm1a_control.address, 0);
}

static void check_listed(unsigned index, const char *signature, u8 revision, const char *oem,
                         const char *oem_table)
{
    assert_string_equal(acpi.table[index].signature, signature);
    assert_int_equal(acpi.table[index].revision, revision);
    assert_string_equal(acpi.table[index].oem, oem);
    assert_string_equal(acpi.table[index].oem_table, oem_table);
}

// Each table in its place, as its header has it; what cannot be read is counted.
static void tables_are_listed(void **state)
{
    (void)state;
    memcpy(table(MADT) + 10, "OEMABCTABLE678", 14);
    set(MADT, 8, 5, 1);
    table(SSDT)[9] ^= 1;
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.tables, 3);
    assert_int_equal(acpi.unread, 1);
    check_listed(0, "FACP", 0, "", "");
    check_listed(1, "DSDT", 0, "", "");
    check_listed(2, "APIC", 5, "OEMABC", "TABLE678");
    u64 pointers[ACPI_MAX_TABLES + 7];
    for (unsigned i = 0; i < ARRAY_SIZE(pointers); i++)
        pointers[i] = MADT;
    make_table(XSDT, "XSDT", pointers, sizeof(pointers));
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.tables, ACPI_MAX_TABLES + 7);
    check_listed(ACPI_MAX_TABLES - 1, "APIC", 5, "OEMABC", "TABLE678");
    assert_int_equal(acpi.pm_timer.address, 0); // what lies behind the list
}

// Tables at and beyond the end of memory, lengths beyond it or below a header, and a table of tables that
// names itself.
static void foreign_addresses(void **state)
{
    (void)state;
    static const u64 addresses[] = {0, LIMIT - 35, LIMIT, 0xffffffff, ~0ull, ~0ull - 40, XSDT};
    for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
        set(XSDT, 36, addresses[i], 8);
        assert_int_equal(parse(36), 0);
        assert_int_equal(acpi.pm_timer.address, 0);
        assert_int_equal(acpi.cpus, 3);
        put(rsdp + 24, addresses[i] == XSDT ? MADT : addresses[i], 8);
        put(rsdp + 16, 0xffffff00, 4);
        seal_rsdp();
        assert_int_equal(parse(36), ERR_INVALID);
        put(rsdp + 24, XSDT, 8);
        seal_rsdp();
    }
    static const u32 lengths[] = {0, 35, 0xffffffff, LIMIT};
    for (unsigned i = 0; i < ARRAY_SIZE(lengths); i++) {
        put(table(MADT) + 4, lengths[i], 4);
        assert_int_equal(parse(36), 0);
        assert_int_equal(acpi.cpus, 0);
    }
}

static void madt_entries_are_bounded(void **state)
{
    (void)state;
    static const u8 endless[] = {0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 0, 8, 0, 1,
                                 1, 0, 0,    0,    0, 0, 0, 2, 1, 0, 0, 0};
    make_table(MADT, "APIC", endless, sizeof(endless));
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.cpus, 1);
    static const u8 too_long[] = {0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 0, 9, 0, 1, 1, 0, 0, 0};
    make_table(MADT, "APIC", too_long, sizeof(too_long));
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.cpus, 0);
    static const u8 too_short[] = {0, 0, 0xe0, 0xfe, 0, 0, 0, 0, 0, 7, 0, 1, 1, 0, 0, 0, 8, 0, 2, 1, 0, 0, 0};
    make_table(MADT, "APIC", too_short, sizeof(too_short));
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.cpus, 1);
    assert_int_equal(acpi.apic_id[0], 2);
}

// Some firmware lists each processor as local APIC and as local x2APIC, and fills up with entries that are
// nobody.
static void processors_of_servers(void **state)
{
    (void)state;
    static u8 body[8 + 256 * 8 + 600 * 16];
    u8 *at = body + 8;
    for (unsigned i = 0; i < 256; i++, at += 8) // 100 processors; then 0xff
        memcpy(at, (u8[]){0, 8, 0, i < 100 ? (u8)(2 * i) : 0xff, 1, 0, 0, 0}, 8);
    for (unsigned i = 0; i < 600; i++, at += 16) { // 500 processors, some of them of above; then 0xffffffff
        u32 id = i < 500 ? 2 * i : 0xffffffff;
        memcpy(at, (u8[]){9, 16, 0, 0, 0, 0, 0, 0, 1}, 9);
        memcpy(at + 4, &id, 4);
    }
    make_table(MADT, "APIC", body, sizeof(body));
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.cpus, 500);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(acpi.apic_id[i], 2 * i);
}

static void more_than_fits(void **state)
{
    (void)state;
    static u8 body[8 + (ACPI_MAX_CPUS + 1) * 16 + 80 * 12 + 40 * 10];
    u8 *at = body + 8;
    for (unsigned i = 0; i < ACPI_MAX_CPUS + 1; i++, at += 16)
        memcpy(at, (u8[]){9, 16, 0, 0, (u8)i, (u8)(i >> 8), 1, 0, 1}, 9);
    for (unsigned i = 0; i < 80; i++, at += 12)
        memcpy(at, (u8[]){1, 12, (u8)i, 0, 0, 0, 0, 1, (u8)i, 0, 0, 0}, 12);
    for (unsigned i = 0; i < 40; i++, at += 10)
        memcpy(at, (u8[]){2, 10, 0, (u8)i, (u8)i, 0, 0, 0, 0, 0}, 10);
    make_table(MADT, "APIC", body, sizeof(body));
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.cpus, ACPI_MAX_CPUS);
    assert_int_equal(acpi.apic_id[ACPI_MAX_CPUS - 1], 0x10000 + ACPI_MAX_CPUS - 1);
    assert_int_equal(acpi.ioapics, ACPI_MAX_IOAPICS);
    assert_int_equal(acpi.overrides, ACPI_MAX_OVERRIDES);
}

// Base address, segment, first and last bus, four reserved bytes.
static void put_segment(u8 *at, u64 ecam, u16 number, u8 first, u8 last)
{
    put(at, ecam, 8);
    put(at + 8, number, 2);
    at[10] = first;
    at[11] = last;
}

static void segments_of_mcfg(void **state)
{
    (void)state;
    u8 body[8 + (ACPI_MAX_SEGMENTS + 4) * 16 + 15] = {0};
    put_segment(body + 8, 0xe0000000, 0, 0, 255);
    put_segment(body + 24, 0x380000000000, 0x1234, 0x80, 0x80);
    put_segment(body + 40, 0xd0000000, 2, 1, 0); // no bus
    put_segment(body + 56, 0, 3, 0, 255);        // nowhere
    put_segment(body + 72, 0xc0000000, 4, 0, 255);
    make_table(SSDT, "MCFG", body, 8 + 64 + 15); // the last entry is cut short
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.segments, 2);
    assert_int_equal(acpi.segment[0].ecam, 0xe0000000);
    assert_int_equal(acpi.segment[0].last_bus, 255);
    assert_int_equal(acpi.segment[1].ecam, 0x380000000000);
    assert_int_equal(acpi.segment[1].number, 0x1234);
    assert_int_equal(acpi.segment[1].first_bus, 0x80);
    assert_int_equal(acpi.segment[1].last_bus, 0x80);
    for (u16 i = 0; i < ACPI_MAX_SEGMENTS + 4; i++)
        put_segment(body + 8 + 16 * i, 0xe0000000, i, 0, 0);
    make_table(SSDT, "MCFG", body, sizeof(body));
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.segments, ACPI_MAX_SEGMENTS);
    assert_int_equal(acpi.overrides, 2);
}

// Registers in memory, wholly within the direct map; the first table counts.
static void hpets(void **state)
{
    (void)state;
    static const struct {
        u8 space;
        u64 hpa, expected;
    } rows[] = {
        {0, 0x1ff000, 0x1ff000},
        {0, LIMIT - 0x400, LIMIT - 0x400},
        {0, LIMIT - 0x3ff, 0},
        {0, LIMIT, 0},
        {0, ~0ull, 0},
        {0, 0xfed0000000000000ull, 0},
        {0, 0, 0},
        {1, 0x1000, 0},
    };
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.hpet_hpa, 0);
    set(XSDT, 36 + 16, HPET, 8);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        u8 body[56 - 36] = {0x01, 0xa2, 0x86, 0x80, rows[i].space, 64};
        put(body + 44 - 36, rows[i].hpa, 8);
        make_table(HPET, "HPET", body, sizeof(body));
        assert_int_equal(parse(36), 0);
        assert_int_equal(acpi.hpet_hpa, rows[i].expected);
        make_table(HPET, "HPET", body, 15); // cut within the address
        assert_int_equal(parse(36), 0);
        assert_int_equal(acpi.hpet_hpa, 0);
    }
    u8 body[56 - 36] = {0};
    put(body + 44 - 36, 0x1000, 8);
    make_table(HPET, "HPET", body, sizeof(body));
    put(body + 44 - 36, 0x2000, 8);
    make_table(SSDT, "HPET", body, sizeof(body));
    set(XSDT, 36, SSDT, 8);
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.hpet_hpa, 0x2000);
}

// Of the kinds of UARTs that a table can name only a 16550, at a speed or the firmware's.
static void console_of_spcr(void **state)
{
    (void)state;
    static const struct {
        u8 type, space, baud;
        u64 address, expected;
        u32 speed;
    } rows[] = {
        {0, ACPI_IO, 7, 0x3f8, 0x3f8, 115200},
        {1, ACPI_IO, 3, 0x2f8, 0x2f8, 9600},
        {0x12, ACPI_MEMORY, 0, 0xfe03000000, 0xfe03000000, 0},
        {0, ACPI_IO, 5, 0x3f8, 0x3f8, 0},
        {0, ACPI_IO, 255, 0x3f8, 0x3f8, 0},
        {3, ACPI_MEMORY, 7, 0x9000000, 0, 0}, // a PL011
        {0, ACPI_IO, 7, 0, 0, 115200},        // redirection is off
    };
    set(XSDT, 36 + 16, HPET, 8);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        u8 body[80 - 36] = {rows[i].type, 0, 0, 0, rows[i].space, 8, 0, 1};
        put(body + 44 - 36, rows[i].address, 8);
        body[58 - 36] = rows[i].baud;
        make_table(HPET, "SPCR", body, sizeof(body));
        assert_int_equal(parse(36), 0);
        assert_int_equal(acpi.spcr.at.address, rows[i].expected);
        assert_int_equal(acpi.spcr.baud, rows[i].speed);
        assert_true(!rows[i].expected || acpi.spcr.at.space == rows[i].space);
        make_table(HPET, "SPCR", body, 15); // cut within the address
        assert_int_equal(parse(36), 0);
        assert_int_equal(acpi.spcr.at.address, 0);
    }
}

// How its registers lie in memory, by the width of one and of an access.
static void layout_of_spcr(void **state)
{
    (void)state;
    static const struct {
        u8 bits, access, stride, width;
    } rows[] = {
        {8, 1, 1, 1},  {32, 3, 4, 4}, {8, 0, 1, 1}, {0, 0, 1, 1},
        {32, 0, 4, 4}, {32, 1, 4, 1}, {8, 3, 4, 4}, {0, 3, 4, 4},
    };
    set(XSDT, 36 + 16, HPET, 8);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        u8 body[80 - 36] = {0x12, 0, 0, 0, ACPI_MEMORY, rows[i].bits, 0, rows[i].access};
        put(body + 44 - 36, 0xfe036000, 8);
        make_table(HPET, "SPCR", body, sizeof(body));
        assert_int_equal(parse(36), 0);
        assert_int_equal(acpi.spcr.stride, rows[i].stride);
        assert_int_equal(acpi.spcr.width, rows[i].width);
    }
}

// A device of DBG2 at `at` of the table's body, with its address right behind it.
static void put_debug_port(u8 *body, unsigned at, u16 type, u16 subtype, u16 port)
{
    put(body + at + 1, 22 + 12, 2);
    body[at + 3] = 1;
    put(body + at + 12, type, 2);
    put(body + at + 14, subtype, 2);
    put(body + at + 18, 22, 2);
    body[at + 22] = ACPI_IO;
    body[at + 23] = 32;
    body[at + 25] = 1;
    put(body + at + 26, port, 8);
}

static u64 debug_port(u8 *body, size_t size, u64 first, u64 devices)
{
    put(body, first, 4);
    put(body + 4, devices, 4);
    make_table(HPET, "DBG2", body, size);
    assert_int_equal(parse(36), 0);
    return acpi.dbg2.at.address;
}

static void debug_port_of_dbg2(void **state)
{
    (void)state;
    u8 body[8 + 3 * 34] = {0};
    set(XSDT, 36 + 16, HPET, 8);
    put_debug_port(body, 8, 0x8003, 0, 0x1000);      // a network card
    put_debug_port(body, 8 + 34, 0x8000, 3, 0x2000); // a PL011
    put_debug_port(body, 8 + 68, 0x8000, 0x12, 0x3000);
    assert_int_equal(debug_port(body, sizeof(body), 44, 3), 0x3000);
    assert_int_equal(acpi.dbg2.at.space, ACPI_IO);
    assert_int_equal(acpi.dbg2.stride, 4);
    assert_int_equal(acpi.dbg2.width, 1);
    assert_int_equal(debug_port(body, sizeof(body), 44, 2), 0);
    assert_int_equal(debug_port(body, sizeof(body), 44, 0xffffffff), 0x3000);
    assert_int_equal(debug_port(body, sizeof(body) - 1, 44, 3), 0);
    assert_int_equal(debug_port(body, sizeof(body), 0xfffffff0, 3), 0);
    put(body + 8 + 68 + 18, 0xffff, 2); // its address lies elsewhere
    assert_int_equal(debug_port(body, sizeof(body), 44, 3), 0);
    put(body + 8 + 1, 0, 2); // a device without a length ends the list
    assert_int_equal(debug_port(body, sizeof(body), 44, 0xffffffff), 0);
}

// A processor by its local APIC, one by its local x2APIC, memory.
static u8 *put_cpu_node(u8 *at, u8 apic_id, u32 node, u32 flags)
{
    memset(at, 0, 16);
    memcpy(at, (u8[]){0, 16, (u8)node, apic_id}, 4);
    put(at + 4, flags, 4);
    put(at + 9, node >> 8, 3);
    return at + 16;
}

static u8 *put_x2apic_node(u8 *at, u32 apic_id, u32 node, u32 flags)
{
    memset(at, 0, 24);
    memcpy(at, (u8[]){2, 24}, 2);
    put(at + 4, node, 4);
    put(at + 8, apic_id, 4);
    put(at + 12, flags, 4);
    return at + 24;
}

static u8 *put_memory_node(u8 *at, u64 start, u64 length, u32 node, u32 flags)
{
    memset(at, 0, 40);
    memcpy(at, (u8[]){1, 40}, 2);
    put(at + 2, node, 4);
    put(at + 8, start, 8);
    put(at + 16, length, 8);
    put(at + 28, flags, 4);
    return at + 40;
}

static void nodes_of_srat(void **state)
{
    (void)state;
    u8 body[512] = {0}, *at = body + 12;
    at = put_cpu_node(at, 4, 0x01020304, 1);
    at = put_cpu_node(at, 6, 7, 0); // one that is off
    at = put_x2apic_node(at, 0x12345, 0x80000001, 1);
    at = put_memory_node(at, 0, 0x80000000, 0, 1);
    at = put_memory_node(at, 0x100000000, 0x80000000, 0x01020304, 3); // hot-pluggable
    at = put_memory_node(at, 0x200000000, 0x80000000, 2, 2);          // not there
    at = put_memory_node(at, 0x300000000, ~0ull, 3, 1);               // goes round
    memcpy(at, (u8[]){9, 4, 0, 0}, 4);                                // a kind that nobody knows
    at = put_memory_node(at + 4, 0x380000000, PAGE_SIZE, 4, 5);
    memcpy(at, (u8[]){1, 40}, 2); // cut short
    make_table(SSDT, "SRAT", body, (size_t)(at + 20 - body));
    set(SSDT, 8, 3, 1);
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.cpu_nodes, 2);
    assert_int_equal(acpi.cpu_node[0].apic_id, 4);
    assert_int_equal(acpi.cpu_node[0].node, 0x01020304);
    assert_int_equal(acpi.cpu_node[1].apic_id, 0x12345);
    assert_int_equal(acpi.cpu_node[1].node, 0x80000001);
    assert_int_equal(acpi.memory_nodes, 3);
    assert_int_equal(acpi.memory_node[0].end, 0x80000000);
    assert_int_equal(acpi.memory_node[1].start, 0x100000000);
    assert_int_equal(acpi.memory_node[1].end, 0x180000000);
    assert_int_equal(acpi.memory_node[1].node, 0x01020304);
    assert_int_equal(acpi.memory_node[2].node, 4);
    set(SSDT, 8, 1, 1); // the domains of revision 1 are bytes
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.cpu_node[0].node, 4);
    assert_int_equal(acpi.memory_node[1].node, 4);
}

static void fadt_of_every_age(void **state)
{
    (void)state;
    make_fadt(116); // ACPI 1.0: no reset register, no X_ fields
    set(FADT, 112, 0, 4);
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.pm_timer.address, 0x608);
    assert_int_equal(acpi.pm_timer_bits, 24);
    assert_int_equal(acpi.reset.address, 0);
    assert_true(acpi.s5);

    make_fadt(276); // the extended fields win
    make_table(SSDT, "DSDT", s5_qemu, sizeof(s5_qemu));
    set(SSDT, 36 + 13, 3, 1);
    set(FADT, 140, SSDT, 8);
    set(FADT, 208, 0x00200000, 4); // memory, 32 bits wide
    set(FADT, 212, LIMIT - 4, 8);
    set(FADT, 172, 0x00100001, 4);
    set(FADT, 176, 0x1804, 8);
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.pm_timer.space, ACPI_MEMORY);
    assert_int_equal(acpi.pm_timer.address, LIMIT - 4);
    assert_int_equal(acpi.pm1a_control.address, 0x1804);
    assert_int_equal(acpi.s5_type_a, 3);
    static const u64 unmapped[] = {LIMIT - 3, LIMIT, 0x1fed80000, ~0ull};
    for (unsigned i = 0; i < ARRAY_SIZE(unmapped); i++) {
        set(FADT, 212, unmapped[i], 8);
        assert_int_equal(parse(36), 0);
        assert_int_equal(acpi.pm_timer.address, 0);
    }

    make_fadt(276); // hardware-reduced: the old registers do not count
    set(FADT, 112, BIT(20), 4);
    set(FADT, 244, 0x00080001, 4);
    set(FADT, 248, 0x3f0, 8);
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi.sleep_control.address, 0x3f0);
    assert_int_equal(acpi.pm1a_control.address, 0);
    assert_int_equal(acpi.pm_timer.address, 0);
    assert_int_equal(acpi.smi_command, 0);
    assert_int_equal(acpi.reset.address, 0);
}

#define NAME '_', 'S', '5', '_'
static const struct {
    bool found;
    u8 a, b;
    u8 size;
    u8 aml[16];
} s5_forms[] = {
    {true, 0, 0, 11, {0x08, NAME, 0x12, 6, 4, 0x00, 0x00, 0x00}},
    {true, 1, 0, 11, {0x08, NAME, 0x12, 6, 4, 0x01, 0x00, 0x00}},
    {true, 7, 1, 12, {0x08, '\\', NAME, 0x12, 6, 4, 0x0a, 7, 0x01}},
    {true, 5, 6, 13, {0x08, NAME, 0x12, 0x47, 0x00, 2, 0x0a, 5, 0x0a, 6}},
    {true, 5, 0, 10, {0x08, NAME, 0x12, 6, 1, 0x0a, 5}},
    {true, 2, 3, 16, {NAME, 0x08, NAME, 0x12, 6, 2, 0x0a, 2, 0x0a, 3}}, // a mention before the definition
    {false, 0, 0, 11, {0x09, NAME, 0x12, 6, 4, 0x00, 0x00, 0x00}},      // not a Name
    {false, 0, 0, 11, {0x08, NAME, 0x11, 6, 4, 0x00, 0x00, 0x00}},      // not a package
    {false, 0, 0, 8, {0x08, NAME, 0x12, 2, 0}},                         // empty
    {false, 0, 0, 9, {0x08, NAME, 0x12, 6, 4, 0x0a}},                   // cut short
    {false, 0, 0, 10, {0x08, NAME, 0x12, 6, 4, 0x0a, 8}},               // more than three bits
    {false, 0, 0, 9, {0x08, NAME, 0x12, 6, 4, 0x00}},                   // the second is missing
    {false, 0, 0, 11, {0x08, NAME, 0x12, 6, 4, 0x0b, 5, 0}},            // a word: not known
    {false, 0, 0, 5, {0x08, NAME}},
    {false, 0, 0, 4, {NAME}},
};

static void s5_by_its_bytes(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(s5_forms); i++) {
        // Once in the DSDT, once in an SSDT with nothing in the DSDT.
        make_table(DSDT, "DSDT", s5_forms[i].aml, s5_forms[i].size);
        make_table(SSDT, "SSDT", "", 0);
        for (unsigned round = 0; round < 2; round++) {
            assert_int_equal(parse(36), 0);
            assert_int_equal(acpi.s5, s5_forms[i].found);
            assert_int_equal(acpi.s5_type_a, s5_forms[i].a);
            assert_int_equal(acpi.s5_type_b, s5_forms[i].b);
            make_table(SSDT, "SSDT", s5_forms[i].aml, s5_forms[i].size);
            make_table(DSDT, "DSDT", "", 0);
        }
    }
}

static void routes(void **state)
{
    (void)state;
    assert_int_equal(parse(36), 0);
    assert_int_equal(acpi_isa_route(&acpi, 0).gsi, 2);
    assert_int_equal(acpi_isa_route(&acpi, 3).gsi, 3);
    assert_int_equal(acpi_isa_route(&acpi, 3).flags, 0);
    assert_int_equal(acpi_isa_route(&acpi, 4).gsi, 26);
    assert_int_equal(acpi_isa_route(&acpi, 4).flags, 0x0f);
    assert_int_equal(acpi_ioapic_of(&acpi, 23)->id, 9);
    assert_int_equal(acpi_ioapic_of(&acpi, 24)->id, 10);
    assert_int_equal(acpi_ioapic_of(&acpi, 26)->id, 10);
    acpi.ioapics = 0;
    assert_null(acpi_ioapic_of(&acpi, 0));
}

// Random damage under right checksums, with each table at the very end of memory in turn: nothing is read
// beyond it (the address sanitizer does not see it, but the page after it is not there).
static void survives_damage(void **state)
{
    (void)state;
    static const u64 homes[] = {XSDT, FADT, MADT, DSDT};
    for (unsigned round = 0; round < 40000; round++) {
        if (round % 100 == 0) {
            unmake_machine(NULL);
            make_machine(NULL);
        }
        u64 home = homes[random_below(ARRAY_SIZE(homes))];
        u32 length;
        memcpy(&length, table(home) + 4, 4);
        size_t offset = 36 + random_below(length - 36);
        set(home, offset, random_below(2) ? random_u64() : random_below(40), 1);
        if (home == MADT || home == DSDT) {
            u64 end = LIMIT - length;
            memcpy(table(end), table(home), length);
            set(home == MADT ? XSDT : FADT, home == MADT ? 44 : 40, end, home == MADT ? 8 : 4);
        }
        assert_int_equal(parse(36), 0);
        assert_true(acpi.cpus <= ACPI_MAX_CPUS && acpi.ioapics <= ACPI_MAX_IOAPICS);
        assert_true(acpi.overrides <= ACPI_MAX_OVERRIDES && acpi.s5_type_a < 8 && acpi.s5_type_b < 8);
    }
}

#define ON_MACHINE(test) cmocka_unit_test_setup_teardown(test, make_machine, unmake_machine)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_MACHINE(whole_machine_by_xsdt),
        ON_MACHINE(whole_machine_by_rsdt),
        ON_MACHINE(broken_rsdp),
        ON_MACHINE(broken_tables_are_absent),
        ON_MACHINE(foreign_addresses),
        ON_MACHINE(madt_entries_are_bounded),
        ON_MACHINE(processors_of_servers),
        ON_MACHINE(more_than_fits),
        ON_MACHINE(segments_of_mcfg),
        ON_MACHINE(hpets),
        ON_MACHINE(console_of_spcr),
        ON_MACHINE(layout_of_spcr),
        ON_MACHINE(debug_port_of_dbg2),
        ON_MACHINE(nodes_of_srat),
        ON_MACHINE(fadt_of_every_age),
        ON_MACHINE(s5_by_its_bytes),
        ON_MACHINE(routes),
        ON_MACHINE(survives_damage),
        ON_MACHINE(tables_are_listed),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
