// Which serial port console=auto takes: machines with UARTs behind some ports, PCI functions and ACPI's words
// for them.

// link: arch/serial_find.c arch/pci.c
#include "support.h"

#include <arch/console.h>
#include <arch/io.h>
#include <arch/pci.h>

#include "arch/serial_find.h"

#define CARD 0xc000u

static struct acpi acpi;
static u64 there[4]; // ports at which a UART answers
static struct function {
    u32 at, class_code, command, bar[PCI_BARS];
    u8 header;
} functions[3];
static unsigned count;
static u32 address;
static unsigned divisor;

bool serial_init(struct serial *s, u16 port, unsigned with)
{
    s->port = 0;
    for (size_t i = 0; i < ARRAY_SIZE(there); i++) {
        if (there[i] == port)
            s->port = port;
    }
    for (unsigned i = 0; i < count && port == CARD; i++) { // it answers only where it is switched on
        if (functions[i].bar[1] == (CARD | 1) && !(functions[i].command & PCI_COMMAND_IO))
            s->port = 0;
    }
    divisor = with;
    return s->port;
}

static struct function *addressed(void)
{
    for (unsigned i = 0; i < count; i++) {
        if (functions[i].at == (address & 0xffff00) << 4)
            return &functions[i];
    }
    return NULL;
}

void outl(u16 port, u32 value)
{
    if (port == 0xcf8) {
        address = value;
        return;
    }
    assert_int_equal(address & 0xfc, PCI_COMMAND);
    assert_int_equal(value >> 16, 0);
    addressed()->command = 0x22100000 | value;
}

void outb(u16 port, u8 value)
{
    (void)port, (void)value;
    fail();
}

u32 inl(u16 port)
{
    const struct function *f = addressed();
    u32 offset = address & 0xfc;
    assert_int_equal(port, 0xcfc);
    if (!f)
        return 0xffffffff;
    if (offset >= PCI_BAR && offset < PCI_BAR + 4 * PCI_BARS)
        return f->bar[(offset - PCI_BAR) / 4];
    return offset == PCI_COMMAND ? f->command
           : offset == 8         ? f->class_code << 8
           : offset == 0xc       ? (u32)f->header << 16
                                 : 0x12348086;
}

static int start(void **state)
{
    (void)state;
    memset(&acpi, 0, sizeof(acpi));
    memset(there, 0, sizeof(there));
    memset(functions, 0, sizeof(functions));
    count = divisor = 0;
    return 0;
}

static struct function *add(u32 class_code, u32 bar0, u32 bar1)
{
    functions[count] = (struct function){
        .at = PCI_AT(0, 3 + count, 0), .class_code = class_code, .command = 0x22100004, .bar = {bar0, bar1}};
    return &functions[count++];
}

static void finds(u16 port, unsigned with, bool is_unasked, const char *word)
{
    struct serial s;
    bool unasked;
    const char *how = serial_find(&s, &acpi, &unasked);
    assert_non_null(how);
    assert_non_null(strstr(how, word));
    assert_int_equal(s.port, port);
    assert_int_equal(divisor, with);
    assert_int_equal(unasked, is_unasked);
}

static void finds_none(void)
{
    struct serial s;
    bool unasked;
    assert_null(serial_find(&s, &acpi, &unasked));
    assert_int_equal(s.port, 0);
}

static void in_order(void **state)
{
    (void)state;
    finds_none();
    acpi.dbg2.at = (struct acpi_register){0x4000, ACPI_IO};
    there[0] = 0x4000;
    finds(0x4000, SERIAL_KEEP, true, "DBG2");
    struct function *card = add(0x070002, 0, CARD | 1);
    there[1] = CARD;
    finds(CARD, SERIAL_KEEP, true, "PCI");
    assert_int_equal(card->command, 0x22100005);
    there[2] = COM3_PORT;
    finds(COM3_PORT, SERIAL_115200, false, "COM3");
    acpi.spcr = (struct acpi_uart){{0x5000, ACPI_IO}, 9600};
    finds(COM3_PORT, SERIAL_115200, false, "COM3"); // nothing answers where SPCR says
    there[3] = 0x5000;
    finds(0x5000, 12, false, "SPCR");
    acpi.spcr.baud = 0;
    finds(0x5000, SERIAL_KEEP, false, "SPCR");
}

// An address is a port only in that space, and none wraps.
static void odd_addresses(void **state)
{
    (void)state;
    static const struct acpi_register rows[] = {
        {0x4000, ACPI_MEMORY}, {0x10000 + 0x4000, ACPI_IO}, {0xfff9, ACPI_IO}, {0xff, ACPI_IO},
        {0x4000, ACPI_PCI},    {BIT(32) + 0x4000, ACPI_IO}, {0x4000, 0x7f},
    };
    there[0] = 0xfff9;
    there[1] = 0xff;
    there[2] = 0x4000;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        acpi.spcr.at = acpi.dbg2.at = rows[i];
        finds_none();
    }
}

static void odd_functions(void **state)
{
    (void)state;
    static const struct {
        u32 class_code, bar0, bar1;
        u8 header;
    } rows[] = {
        {0x070000, 0, CARD | 1, 0},          // 8250: no FIFO
        {0x070007, 0, CARD | 1, 0},          // not known
        {0x070200, 0, CARD | 1, 0},          // several ports
        {0x078000, 0, CARD | 1, 0},          // another kind
        {0x070002, 0, CARD | 1, 1},          // a bridge's registers are others
        {0x070002, 0xd0000004, CARD | 1, 0}, // the upper half of an address
        {0x070002, 1, 0, 0},                 // not assigned
        {0x070002, 0xd0000000, 0, 0},        // memory
        {0x070002, 0x1c001, 0, 0},           // beyond the ports
    };
    there[0] = CARD;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        count = 0;
        struct function *f = add(rows[i].class_code, rows[i].bar0, rows[i].bar1);
        f->header = rows[i].header;
        finds_none();
        assert_int_equal(f->command, 0x22100004);
    }
    count = 0;
    struct function *silent = add(0x070002, 0xe001, 0); // nothing answers, and it is as before
    add(0x070003, 0xd0000000, CARD | 1);
    finds(CARD, SERIAL_KEEP, true, "PCI");
    assert_int_equal(silent->command, 0x22100004);
}

#define TEST(f) cmocka_unit_test_setup(f, start)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(in_order), TEST(odd_addresses), TEST(odd_functions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
