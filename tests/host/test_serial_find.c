// Which serial port console=auto takes: machines with UARTs behind some ports and in memory, PCI functions
// and ACPI's words for them.

// link: arch/serial_find.c arch/pci.c arch/multiboot2.c tests/host/fake_pci.c
#include "support.h"

#include <arch/console.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/multiboot2.h>
#include <arch/pci.h>

#include "arch/device_map.h"
#include "arch/serial_find.h"
#include "fake_pci.h"

#define CARD   0xc000u
#define MAPPED 0xffff000000000000ull

static struct acpi acpi;
static struct boot_info boot;
static u64 there[4];               // ports at which a UART answers
static struct serial in_memory[2]; // UARTs by hpa, distance of the registers and width of an access
static u64 mapped;
static unsigned divisor;

volatile void *uart_map(u64 hpa, u64 bytes)
{
    mapped = hpa;
    return hpa + bytes <= BIT(46) ? (volatile void *)(MAPPED + hpa) : NULL;
}

// A function's UART answers only where it is switched on.
static bool is_switched_on(u32 bar, u32 bit)
{
    for (unsigned i = 0; i < fake_pci.count; i++) {
        for (unsigned n = 0; n < PCI_BARS; n++) {
            if (fake_pci.functions[i].bar[n] == bar && !(fake_pci.functions[i].command & bit))
                return false;
        }
    }
    return true;
}

static bool is_there(const struct serial *s)
{
    bool found = false;
    for (size_t i = 0; !s->stride && i < ARRAY_SIZE(there); i++)
        found |= there[i] == s->base && is_switched_on((u32)s->base | 1, PCI_COMMAND_IO);
    for (size_t i = 0; s->stride && i < ARRAY_SIZE(in_memory); i++) {
        const struct serial *uart = &in_memory[i];
        found |= s->base == MAPPED + uart->base && s->stride == uart->stride && s->width == uart->width &&
                 is_switched_on((u32)uart->base, PCI_COMMAND_MEMORY);
    }
    return found;
}

bool serial_init(struct serial *s, unsigned with)
{
    if (!s->base || !is_there(s))
        s->base = 0;
    divisor = with;
    return s->base;
}

void outb(u16 port, u8 value)
{
    (void)port, (void)value;
    fail();
}

static int start(void **state)
{
    (void)state;
    memset(&acpi, 0, sizeof(acpi));
    memset(&boot, 0, sizeof(boot));
    memset(there, 0, sizeof(there));
    memset(in_memory, 0, sizeof(in_memory));
    fake_pci_reset();
    divisor = 0;
    mapped = 0;
    return 0;
}

static struct fake_function *add(u32 class_code, u32 bar0, u32 bar1)
{
    return fake_pci_add(&(struct fake_function){.at = PCI_AT(0, 3 + fake_pci.count, 0),
                                                .class_code = class_code,
                                                .command = 0x22100004,
                                                .bar = {bar0, bar1},
                                                .bytes = PAGE_SIZE});
}

static struct serial s;

static void check_found(const struct console_port *found, u64 at, bool unasked, const char *word)
{
    assert_non_null(found->how);
    assert_non_null(strstr(found->how, word));
    assert_int_equal(found->at, at);
    assert_int_equal(found->unasked, unasked);
}

static void finds(u16 port, unsigned with, bool unasked, const char *word)
{
    struct console_port found = serial_find(&s, &boot, &acpi, false);
    check_found(&found, port, unasked, word);
    assert_int_equal(s.base, port);
    assert_int_equal(s.stride, 0);
    assert_false(found.in_memory);
    assert_int_equal(divisor, with);
}

static void finds_in_memory(const struct serial *uart, bool unasked, const char *word)
{
    struct console_port found = serial_find(&s, &boot, &acpi, false);
    check_found(&found, uart->base, unasked, word);
    assert_int_equal(s.base, MAPPED + uart->base);
    assert_int_equal(s.stride, uart->stride);
    assert_int_equal(s.width, uart->width);
    assert_true(found.in_memory);
    assert_int_equal(found.in_ram, 0);
    assert_int_equal(divisor, SERIAL_KEEP);
}

static void finds_none(void)
{
    assert_null(serial_find(&s, &boot, &acpi, false).how);
    assert_int_equal(s.base, 0);
}

static void in_order(void **state)
{
    (void)state;
    finds_none();
    acpi.dbg2.at = (struct acpi_register){0x4000, ACPI_IO};
    there[0] = 0x4000;
    finds(0x4000, SERIAL_KEEP, true, "DBG2");
    struct fake_function *card = add(0x070002, 0, CARD | 1);
    there[1] = CARD;
    finds(CARD, SERIAL_KEEP, true, "PCI");
    assert_int_equal(card->command, 0x22100005);
    there[2] = COM3_PORT;
    finds(COM3_PORT, SERIAL_115200, false, "COM3");
    acpi.spcr = (struct acpi_uart){{0x5000, ACPI_IO}, 1, 1, 9600};
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
        acpi.spcr = acpi.dbg2 = (struct acpi_uart){rows[i], 1, 1, 0};
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
        {0x070002, 0xd0000000, 0, 0},        // nothing is there
        {0x070002, 0, 0, 0},                 // nor has it an address
        {0x070002, 0x1c001, 0, 0},           // beyond the ports
    };
    there[0] = CARD;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        fake_pci.count = 0;
        struct fake_function *f = add(rows[i].class_code, rows[i].bar0, rows[i].bar1);
        f->header = rows[i].header;
        finds_none();
        assert_int_equal(f->command, 0x22100004);
    }
    fake_pci.count = 0;
    struct fake_function *silent = add(0x070002, 0xe001, 0); // nothing answers, and it is as before
    add(0x070003, 0xd0000000, CARD | 1);
    finds(CARD, SERIAL_KEEP, true, "PCI");
    assert_int_equal(silent->command, 0x22100004);
}

// A table says how far apart the registers are, and how wide an access is.
static void memory_of_tables(void **state)
{
    (void)state;
    static const struct serial rows[] = {SERIAL_MEMORY(0xfe036000, 1, 1), SERIAL_MEMORY(0xfe036000, 4, 4),
                                         SERIAL_MEMORY(0xfe036000, 4, 1), SERIAL_MEMORY(0xfe03000000, 4, 4),
                                         SERIAL_MEMORY(0xfe036010, 1, 1)};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        start(state);
        in_memory[0] = rows[i];
        acpi.dbg2 = (struct acpi_uart){{rows[i].base, ACPI_MEMORY}, rows[i].stride, rows[i].width, 0};
        finds_in_memory(&rows[i], true, "DBG2");
        acpi.spcr = acpi.dbg2;
        acpi.spcr.baud = 9600; // of a clock that is not known
        finds_in_memory(&rows[i], false, "SPCR");
        acpi.spcr.width = acpi.dbg2.width ^= 5;
        finds_none();
    }
}

static void odd_memory(void **state)
{
    (void)state;
    static const u64 rows[] = {0, 0xfe036002, BIT(46), BIT(46) - 28, ~0ull - 3, ~0ull - 31};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        in_memory[0] = (struct serial)SERIAL_MEMORY(rows[i], 4, 4);
        acpi.spcr = (struct acpi_uart){{rows[i], ACPI_MEMORY}, 4, 4, 0};
        finds_none();
    }
}

// Where the boot loader says that RAM is, nothing is mapped, and the search goes on.
static void memory_that_is_ram(void **state)
{
    (void)state;
    static const u64 rows[] = {0x100000 - 4, 0x100000 - 31 + 3, 0x200000, 0x300000 - 4};
    boot.range_count = 2;
    boot.ranges[0] = (struct boot_range){0xf0000, 0x100000, BOOT_MEMORY_RESERVED};
    boot.ranges[1] = (struct boot_range){0x100000, 0x300000, BOOT_MEMORY_RAM};
    there[0] = COM2_PORT;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        in_memory[0] = (struct serial)SERIAL_MEMORY(rows[i], 4, 4);
        acpi.spcr = (struct acpi_uart){{rows[i], ACPI_MEMORY}, 4, 4, 0};
        struct console_port found = serial_find(&s, &boot, &acpi, false);
        check_found(&found, COM2_PORT, false, "COM2");
        assert_int_equal(found.in_ram, rows[i]);
        assert_false(found.in_memory);
        assert_int_equal(mapped, 0);
    }
    acpi.spcr.at.address = in_memory[0].base = 0x100000 - 32;
    finds_in_memory(&in_memory[0], false, "SPCR");
}

// A card with its registers in memory, at either distance; the wide one only where all of it is the card's.
static void memory_of_cards(void **state)
{
    (void)state;
    static const struct {
        struct serial uart;
        u32 bar0, bar1, bytes;
        bool found;
    } rows[] = {
        {SERIAL_MEMORY(0xd0000000, 1, 1), 0xd0000000, 0, 16, true},
        {SERIAL_MEMORY(0xd0000000, 1, 1), 0xd0000000, 0, PAGE_SIZE, true},
        {SERIAL_MEMORY(0xd0000000, 4, 4), 0xd0000000, 0, 32, true},
        {SERIAL_MEMORY(0xd0000000, 4, 4), 0xd0000000, 0, 16, false},
        {SERIAL_MEMORY(0xd0000000, 4, 4), 0xe001, 0xd0000000, PAGE_SIZE, true}, // its port does not answer
        {SERIAL_MEMORY(0xfed0000000, 4, 4), 0xd0000004, 0xfe, PAGE_SIZE, true},
        {SERIAL_MEMORY(0xd0000000, 4, 4), 0xd000000c, 0xfe, PAGE_SIZE, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        start(state);
        struct fake_function *f = add(0x070002, rows[i].bar0, rows[i].bar1);
        f->bytes = rows[i].bytes;
        in_memory[0] = rows[i].uart;
        if (rows[i].found)
            finds_in_memory(&rows[i].uart, true, "PCI");
        else
            finds_none();
        assert_int_equal(f->command, rows[i].found ? 0x22100006 : 0x22100004);
        assert_int_equal(f->bar[0], rows[i].bar0);
        assert_int_equal(f->bar[1], rows[i].bar1);
    }
}

// A port is preferred to memory, and a card may be asked for before all else.
static void card_that_is_asked_for(void **state)
{
    (void)state;
    struct console_port found = serial_find(&s, &boot, &acpi, true);
    assert_null(found.how);
    add(0x070002, 0xd0000000, CARD | 1);
    in_memory[0] = (struct serial)SERIAL_MEMORY(0xd0000000, 1, 1);
    there[0] = CARD;
    there[1] = COM1_PORT;
    acpi.spcr = acpi.dbg2 = (struct acpi_uart){{COM1_PORT, ACPI_IO}, 1, 1, 0};
    found = serial_find(&s, &boot, &acpi, true);
    check_found(&found, CARD, false, "PCI");
    there[0] = 0;
    found = serial_find(&s, &boot, &acpi, true);
    check_found(&found, 0xd0000000, false, "PCI");
    in_memory[0].base = 0;
    found = serial_find(&s, &boot, &acpi, true);
    assert_null(found.how);
    assert_int_equal(s.base, 0);
}

#define TEST(f) cmocka_unit_test_setup(f, start)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_order),   TEST(odd_addresses),      TEST(odd_functions),   TEST(memory_of_tables),
        TEST(odd_memory), TEST(memory_that_is_ram), TEST(memory_of_cards), TEST(card_that_is_asked_for)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
