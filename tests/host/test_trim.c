// RAM that MTRRs do not make write-back: maps that firmware has made, by hand; random ones against a model
// that goes page by page.

// link: arch/trim.c arch/mtrr.c
#include "support.h"

#include <arch/trim.h>

#define VALID   BIT(11)
#define ENABLED BIT(11)
#define BITS    36

static struct boot_info boot;
static struct mtrrs mtrrs;

static int start(void **state)
{
    (void)state;
    memset(&boot, 0, sizeof(boot));
    mtrrs = (struct mtrrs){.cap = 8, .def_type = ENABLED | MEMTYPE_UC, .maxphyaddr = BITS};
    return 0;
}

static void range(u64 start, u64 end, u32 type)
{
    boot.ranges[boot.range_count++] = (struct boot_range){start, end, type};
}

// `bytes`: a power of 2.
static void mtrr(unsigned i, u64 start, u64 bytes, u8 type)
{
    mtrrs.variable[i].base = start | type;
    mtrrs.variable[i].mask = ((BIT(BITS) - 1) & ~(bytes - 1)) | VALID;
}

static bool range_is(unsigned i, u64 start, u64 end, u32 type)
{
    const struct boot_range *r = &boot.ranges[i];
    return i < boot.range_count && r->start == start && r->end == end && r->type == type;
}

// 4.5 GiB, and MTRRs for the first 4 of it: some firmware forgets what it has moved above a hole.
static void the_last_is_forgotten(void **state)
{
    (void)state;
    range(0, 0x9f000, BOOT_MEMORY_RAM);
    range(MIB, 3 * GIB, BOOT_MEMORY_RAM);
    range(3 * GIB, 4 * GIB, BOOT_MEMORY_RESERVED);
    range(4 * GIB, 5 * GIB + GIB / 2, BOOT_MEMORY_RAM);
    mtrr(0, 0, 2 * GIB, MEMTYPE_WB);
    mtrr(1, 2 * GIB, GIB, MEMTYPE_WB);
    mtrr(2, 4 * GIB, GIB, MEMTYPE_WB);
    struct trimmed t = ram_trim(&boot, &mtrrs);
    assert_false(t.all);
    assert_int_equal(t.bytes, GIB / 2);
    assert_int_equal(t.start, 5 * GIB);
    assert_int_equal(t.end, 5 * GIB + GIB / 2);
    assert_int_equal(boot.range_count, 5);
    assert_true(range_is(1, MIB, 3 * GIB, BOOT_MEMORY_RAM));
    assert_true(range_is(3, 4 * GIB, 5 * GIB, BOOT_MEMORY_RAM));
    assert_true(range_is(4, 5 * GIB, 5 * GIB + GIB / 2, BOOT_MEMORY_RESERVED));
    assert_int_equal(ram_trim(&boot, &mtrrs).bytes, 0); // nothing is left to do
}

// A hole in the middle, of another type, that begins and ends in no step of the map.
static void a_hole(void **state)
{
    (void)state;
    range(MIB + 0x123, GIB + 0x456, BOOT_MEMORY_RAM);
    mtrr(0, 0, 2 * GIB, MEMTYPE_WB);
    mtrr(1, 512 * MIB, 4096, MEMTYPE_WT);
    struct trimmed t = ram_trim(&boot, &mtrrs);
    assert_int_equal(t.bytes, 4096);
    assert_int_equal(boot.range_count, 3);
    assert_true(range_is(0, MIB + 0x123, 512 * MIB, BOOT_MEMORY_RAM));
    assert_true(range_is(1, 512 * MIB, 512 * MIB + 4096, BOOT_MEMORY_RESERVED));
    assert_true(range_is(2, 512 * MIB + 4096, GIB + 0x456, BOOT_MEMORY_RAM));
}

static void all_or_nothing(void **state)
{
    (void)state;
    range(MIB, GIB, BOOT_MEMORY_RAM);
    mtrrs.def_type = MEMTYPE_WB; // disabled: all is uncached
    assert_true(ram_trim(&boot, &mtrrs).all);
    assert_true(range_is(0, MIB, GIB, BOOT_MEMORY_RAM));
    mtrrs.def_type |= ENABLED;
    struct trimmed t = ram_trim(&boot, &mtrrs);
    assert_true(!t.all && !t.bytes);
    assert_true(range_is(0, MIB, GIB, BOOT_MEMORY_RAM));
}

// Below 1M are the fixed-range registers, and firmware.
static void the_first_megabyte_stays(void **state)
{
    (void)state;
    mtrrs.cap |= MTRRCAP_FIX;
    mtrrs.def_type = ENABLED | BIT(10) | MEMTYPE_WB; // all fixed ranges are uncached
    range(0, 0x9f000, BOOT_MEMORY_RAM);
    range(0xf0000, 2 * MIB, BOOT_MEMORY_RAM);
    assert_int_equal(ram_trim(&boot, &mtrrs).bytes, 0);
    mtrr(0, MIB, MIB, MEMTYPE_UC);
    range(4 * MIB, 8 * MIB, BOOT_MEMORY_RAM);
    assert_int_equal(ram_trim(&boot, &mtrrs).bytes, MIB);
    assert_true(range_is(1, 0xf0000, MIB, BOOT_MEMORY_RAM));
}

// A map that is full loses RAM rather than calling it write-back.
static void a_full_map(void **state)
{
    (void)state;
    while (boot.range_count < BOOT_RANGES)
        range(GIB + boot.range_count * 4 * MIB, GIB + boot.range_count * 4 * MIB + MIB, BOOT_MEMORY_RAM);
    mtrrs.def_type = ENABLED | MEMTYPE_WB;
    mtrr(0, GIB + 256 * 1024, 256 * 1024, MEMTYPE_UC);
    ram_trim(&boot, &mtrrs);
    assert_int_equal(boot.range_count, BOOT_RANGES);
    assert_true(range_is(0, GIB, GIB + 256 * 1024, BOOT_MEMORY_RAM));
    assert_true(range_is(1, GIB + 4 * MIB, GIB + 5 * MIB, BOOT_MEMORY_RAM));
}

static bool is_ram(const struct boot_info *b, u64 page)
{
    for (unsigned i = 0; i < b->range_count; i++) {
        const struct boot_range *r = &b->ranges[i];
        if (r->type == BOOT_MEMORY_RAM && r->start <= page * PAGE_SIZE && (page + 1) * PAGE_SIZE <= r->end)
            return true;
    }
    return false;
}

static void random_maps(void **state)
{
    (void)state;
    static const u8 types[] = {MEMTYPE_UC, MEMTYPE_WT, MEMTYPE_WB, MEMTYPE_WB, MEMTYPE_WC};
    unsigned trimmed = 0;
    for (unsigned round = 0; round < 3000; round++) {
        start(NULL);
        mtrrs.def_type = ENABLED | types[random_below(3)];
        for (unsigned i = 0; i < 8; i++) {
            u64 bytes = PAGE_SIZE << random_below(11);
            if (random_below(2))
                mtrr(i, MIB + random_below(1024) * PAGE_SIZE / bytes * bytes, bytes, types[random_below(5)]);
        }
        for (u64 at = MIB, end; at < 5 * MIB; at = end + random_below(2) * PAGE_SIZE) {
            end = at + (1 + random_below(300)) * PAGE_SIZE;
            range(at, end, random_below(4) ? BOOT_MEMORY_RAM : BOOT_MEMORY_ACPI);
        }
        struct boot_info before = boot;
        struct trimmed t = ram_trim(&boot, &mtrrs);
        u64 lost = 0;
        for (u64 page = 256; page < 2048; page++) {
            bool write_back = mtrr_memtype(&mtrrs, mfn(page), 1) == MEMTYPE_WB;
            assert_int_equal(is_ram(&boot, page), is_ram(&before, page) && (write_back || t.all));
            lost += is_ram(&before, page) && !is_ram(&boot, page);
        }
        assert_int_equal(t.bytes, lost * PAGE_SIZE);
        trimmed += lost != 0;
    }
    assert_in_range(trimmed, 500, 2990);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_last_is_forgotten, start),    cmocka_unit_test_setup(a_hole, start),
        cmocka_unit_test_setup(all_or_nothing, start),           cmocka_unit_test_setup(a_full_map, start),
        cmocka_unit_test_setup(the_first_megabyte_stays, start), cmocka_unit_test(random_maps),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
