// Which memory is held back, by made-up tables of ACPI: the judge goes through all frames.
// link: arch/numa.c
#include "support.h"

#include <arch/numa.h>

#define MEMORY (1 * GIB)
#define OWN    5u // local APIC ID

static struct frames frames;
static struct acpi acpi;
static struct boot_info boot;

static int start(void **state)
{
    (void)state;
    memory_make(MEMORY, &frames);
    memset(&acpi, 0, sizeof(acpi));
    memset(&boot, 0, sizeof(boot));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    memory_gone();
    return 0;
}

static void cpu(u32 apic_id, u32 node)
{
    acpi.cpu_node[acpi.cpu_nodes++] = (struct acpi_cpu_node){apic_id, node};
}

static void memory(u64 start, u64 end, u32 node)
{
    acpi.memory_node[acpi.memory_nodes++] = (struct acpi_memory_node){start, end, node};
}

// Whether of all RAM just [start, end) is held back.
static bool held(u64 start, u64 end)
{
    u64 first = start / PAGE_SIZE, last = end / PAGE_SIZE;
    return frames.count[FRAME_HELD] == last - first &&
           frames_owned(&frames, mfn(first), last - first, FRAME_HELD);
}

static struct numa hold(void)
{
    return numa_hold(&frames, &acpi, &boot, OWN);
}

static void other_nodes_are_held(void **state)
{
    (void)state;
    cpu(0, 0);
    cpu(OWN, 1);
    memory(0, 512 * MIB, 0);
    memory(512 * MIB, MEMORY, 1);
    memory(64 * GIB, 128 * GIB, 0); // hot-pluggable: nothing is there
    frames_reserve(&frames, 100 * MIB, 101 * MIB);
    frames_keep(&frames);
    struct numa n = hold();
    assert_true(n.known && !n.too_few);
    assert_int_equal(n.node, 1);
    assert_int_equal(n.far, frames.count[FRAME_HELD]);
    assert_true(frames_owned(&frames, mfn(0x6500), 0x20000 - 0x6500, FRAME_HELD));
    assert_true(frames_owned(&frames, mfn(100 * 256), 256, FRAME_KEPT));
    mfn_t block;
    while (frames_alloc(&frames, ORDER_4K, FRAME_GUEST, &block) == 0)
        assert_true(mfn_hpa(block) >= 512 * MIB);
    frames_rewind(&frames);
    assert_int_equal(hold().far, n.far); // once more: the same
}

static void without_tables_all_is_near(void **state)
{
    (void)state;
    assert_false(hold().known);
    assert_true(held(0, 0));
    memory(0, 512 * MIB, 0); // memory, but no processor
    assert_false(hold().known);
    assert_true(held(0, 0));
    cpu(OWN + 1, 0); // but not this one
    assert_false(hold().known);
    assert_true(held(0, 0));
}

static void the_first_entry_of_a_processor_counts(void **state)
{
    (void)state;
    cpu(OWN, 2);
    cpu(OWN, 3);
    memory(256 * MIB, 512 * MIB, 3);
    assert_int_equal(hold().node, 2);
    assert_true(held(256 * MIB, 512 * MIB));
}

static void broken_tables(void **state)
{
    (void)state;
    cpu(OWN, 1);
    memory(0, 700 * MIB, 1);
    memory(500 * MIB, ~0ull, 0); // overlaps what is the processor's own
    memory(900 * MIB, 800 * MIB, 0);
    memory(600 * MIB + 1, 600 * MIB + 1, 0);
    struct numa n = hold();
    assert_true(n.known && !n.too_few);
    assert_true(held(700 * MIB, MEMORY));
}

static void memory_that_no_node_has_is_near(void **state)
{
    (void)state;
    cpu(OWN, 1);
    memory(300 * MIB, 400 * MIB, 0);
    hold();
    assert_true(held(300 * MIB, 400 * MIB));
}

// A node without memory, or a table that is wrong: a choice would leave nothing.
static void too_little_is_near(void **state)
{
    (void)state;
    cpu(OWN, 1);
    memory(0, MEMORY - 255 * MIB, 0);
    struct numa n = hold();
    assert_true(n.known && n.too_few);
    assert_true(held(0, 0));
    acpi.memory_node[0].end = MEMORY - 257 * MIB;
    n = hold();
    assert_false(n.too_few);
    assert_int_equal(n.far, frames.count[FRAME_HELD]);
}

static void special_memory_is_held(void **state)
{
    (void)state;
    boot.special[boot.special_count++] = (struct boot_range){128 * MIB, 256 * MIB, BOOT_MEMORY_RAM};
    struct numa n = hold();
    assert_false(n.known);
    assert_int_equal(n.far, 128 * MIB / PAGE_SIZE);
    assert_true(held(128 * MIB, 256 * MIB));
    cpu(OWN, 1);
    memory(0, MEMORY, 1); // also of the processor's own node
    hold();
    assert_true(held(128 * MIB, 256 * MIB));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(other_nodes_are_held, start, stop),
        cmocka_unit_test_setup_teardown(without_tables_all_is_near, start, stop),
        cmocka_unit_test_setup_teardown(the_first_entry_of_a_processor_counts, start, stop),
        cmocka_unit_test_setup_teardown(broken_tables, start, stop),
        cmocka_unit_test_setup_teardown(memory_that_no_node_has_is_near, start, stop),
        cmocka_unit_test_setup_teardown(too_little_is_near, start, stop),
        cmocka_unit_test_setup_teardown(special_memory_is_held, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
