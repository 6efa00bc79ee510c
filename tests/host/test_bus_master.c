// Configuration space of made-up machines, by ports and by memory: which functions the walk finds, and which
// go on being bus masters.
// link: arch/bus_master.c arch/pci.c arch/multiboot2.c tests/host/fake_pci.c
#include "support.h"

#include <arch/bus_master.h>
#include <arch/io.h>
#include <arch/pci.h>

#include "fake_pci.h"

#define ECAM     (16 * MIB) // of segment 1, buses 4 and 5
#define ECAM_BUS 4u
#define MEMORY   (32 * MIB)

static struct frames frames;
static struct acpi acpi;
static struct boot_info boot;

static struct fake_function *add(u32 at, u32 class_code, u8 header)
{
    return fake_pci_add(
        &(struct fake_function){.at = at, .class_code = class_code, .command = 0x22100007, .header = header});
}

void outb(u16 port, u8 value)
{
    assert_int_equal(port, 0xcfe);
    assert_int_equal(fake_pci.address, 0x8000fbcc);
    fake_pci.reads = value;
}

static int start(void **state)
{
    (void)state;
    memory_make(MEMORY, &frames);
    memset(phys_ptr(ECAM), 0xff, 8 * MIB);
    memset(&acpi, 0, sizeof(acpi));
    memset(&boot, 0, sizeof(boot));
    fake_pci_reset();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    memory_gone();
    return 0;
}

static struct bus_masters stop_all(void)
{
    return bus_masters_stop(&acpi, &boot, MEMORY);
}

static bool runs(const struct fake_function *f)
{
    return f->command & PCI_COMMAND_BUS_MASTER;
}

static void devices_are_stopped(void **state)
{
    (void)state;
    struct fake_function *usb = add(PCI_AT(0, 20, 0), 0x0c0330, 0);
    struct fake_function *network = add(PCI_AT(255, 31, 0), 0x020000, 0); // a bus that no bridge leads to
    struct fake_function *idle = add(PCI_AT(1, 0, 0), 0x010802, 0);
    idle->command &= ~PCI_COMMAND_BUS_MASTER;
    struct bus_masters m = stop_all();
    assert_int_equal(m.functions, 3);
    assert_int_equal(m.stopped, 2);
    assert_int_equal(m.stuck, 0);
    assert_int_equal(m.unreached, 0);
    assert_int_equal(usb->command, 0x22100003); // all else as it was
    assert_false(runs(network));
    assert_int_equal(idle->writes, 0);
}

static void displays_and_bridges_stay(void **state)
{
    (void)state;
    static const struct {
        u32 class_code;
        u8 header;
    } stay[] = {{0x030000, 0}, {0x038000, 0}, {0x060000, 0}, {0x060100, 0}, {0x060400, 1},
                {0x060700, 2}, {0x068000, 0}, {0x080020, 0}, {0x080600, 0}, {0x020000, 1}};
    for (unsigned i = 0; i < ARRAY_SIZE(stay); i++)
        add(PCI_AT(0, i, 0), stay[i].class_code, stay[i].header);
    struct bus_masters m = stop_all();
    assert_int_equal(m.functions, ARRAY_SIZE(stay));
    assert_int_equal(m.stopped, 0);
    for (unsigned i = 0; i < fake_pci.count; i++)
        assert_int_equal(fake_pci.functions[i].writes, 0);
}

// A controller of SD cards (0805) is a device like others.
static void what_goes_on_is_counted(void **state)
{
    (void)state;
    add(PCI_AT(0, 1, 0), 0x080501, 0);
    struct fake_function *stuck = add(PCI_AT(0, 2, 0), 0x020000, 0);
    stuck->stuck = true;
    struct bus_masters m = stop_all();
    assert_int_equal(m.stopped, 1);
    assert_int_equal(m.stuck, 1);
}

// Without the header's bit 7 there are no functions 1 to 7, whatever answers there; with it there may be
// gaps.
static void functions_of_a_device(void **state)
{
    (void)state;
    add(PCI_AT(0, 1, 0), 0x020000, 0);
    struct fake_function *ghost = add(PCI_AT(0, 1, 3), 0x020000, 0);
    add(PCI_AT(0, 2, 0), 0x060400, 0x81);
    struct fake_function *far = add(PCI_AT(0, 2, 7), 0x0c0320, 0);
    struct fake_function *orphan = add(PCI_AT(0, 3, 1), 0x020000, 0); // its device has no function 0
    struct bus_masters m = stop_all();
    assert_int_equal(m.functions, 3);
    assert_int_equal(m.stopped, 2);
    assert_false(runs(far));
    assert_int_equal(ghost->writes + orphan->writes, 0);
}

static bool end_at_second(const struct pci_function *f, void *context)
{
    (void)f;
    return ++*(unsigned *)context == 2;
}

static void the_walk_ends_where_it_is_told(void **state)
{
    (void)state;
    unsigned seen = 0;
    for (u32 i = 0; i < 4; i++)
        add(PCI_AT(i, 0, 0), 0x020000, 0);
    assert_true(pci_walk(&pci_ports, end_at_second, &seen));
    assert_int_equal(seen, 2);
    fake_pci.count = 1;
    seen = 0;
    fake_pci.reads = 0;
    assert_false(pci_walk(&pci_ports, end_at_second, &seen));
    assert_int_equal(seen, 1);
    assert_int_equal(fake_pci.reads, 256 * 32 + 2);
}

static u32 *ecam(u32 at)
{
    return phys_ptr(ECAM + at - PCI_AT(ECAM_BUS, 0, 0));
}

static void add_to_memory(u32 at, u32 class_code)
{
    ecam(at)[0] = 0x12348086;
    ecam(at)[1] = 0x22100007;
    ecam(at)[2] = class_code << 8;
    ecam(at)[3] = 0;
}

static void list_segment(u16 number, u64 start)
{
    acpi.segment[acpi.segments++] = (struct acpi_segment){
        .ecam = start - PCI_AT(ECAM_BUS, 0, 0), .number = number, .first_bus = 4, .last_bus = 5};
}

static void segments_of_acpi(void **state)
{
    (void)state;
    list_segment(0, ECAM); // what the ports reach is not looked at twice
    list_segment(1, ECAM);
    add_to_memory(PCI_AT(4, 0, 0), 0x020000);
    add_to_memory(PCI_AT(5, 31, 0), 0x030000);
    struct bus_masters m = stop_all();
    assert_int_equal(m.functions, 2);
    assert_int_equal(m.stopped, 1);
    assert_int_equal(m.unreached, 0);
    assert_int_equal(ecam(PCI_AT(4, 0, 0))[1], 3);
    assert_int_equal(ecam(PCI_AT(5, 31, 0))[1], 0x22100007);
}

static void segments_out_of_reach(void **state)
{
    (void)state;
    boot.range_count = 1;
    boot.ranges[0] = (struct boot_range){ECAM + 2 * MIB - PAGE_SIZE, MEMORY, BOOT_MEMORY_RAM};
    list_segment(1, ECAM); // its last page is RAM
    list_segment(2, MEMORY - 2 * MIB + PAGE_SIZE);
    list_segment(3, BIT(63) + BIT(62));
    list_segment(4, 0 - 1 * MIB); // goes round
    add_to_memory(PCI_AT(4, 0, 0), 0x020000);
    struct bus_masters m = stop_all();
    assert_int_equal(m.functions, 0);
    assert_int_equal(m.unreached, 4);
    assert_int_equal(ecam(PCI_AT(4, 0, 0))[1], 0x22100007);
    boot.ranges[0].type = BOOT_MEMORY_RESERVED;
    assert_int_equal(stop_all().stopped, 1);
}

static void a_byte_by_ports(void **state)
{
    (void)state;
    pci_write_byte(PCI_AT(0, 31, 3) | 0xce, 0x5a);
    assert_int_equal(fake_pci.reads, 0x5a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(devices_are_stopped, start, stop),
        cmocka_unit_test_setup_teardown(displays_and_bridges_stay, start, stop),
        cmocka_unit_test_setup_teardown(what_goes_on_is_counted, start, stop),
        cmocka_unit_test_setup_teardown(functions_of_a_device, start, stop),
        cmocka_unit_test_setup_teardown(the_walk_ends_where_it_is_told, start, stop),
        cmocka_unit_test_setup_teardown(segments_of_acpi, start, stop),
        cmocka_unit_test_setup_teardown(segments_out_of_reach, start, stop),
        cmocka_unit_test_setup_teardown(a_byte_by_ports, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
