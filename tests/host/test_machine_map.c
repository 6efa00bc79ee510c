// What the monitor's page tables map: the direct map of odd memory maps, and the screen and a UART wherever
// they may be.
// The judge is a walk of 4-level paging as the SDM has it (vol. 3, 4.5).

// link: arch/paging.c arch/memory.c arch/phys_bits.c arch/device_map.c tests/host/fake_cpu.c
//
// link: arch/reserved_bit.c
#include "support.h"

#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/layout.h>
#include <arch/memory.h>
#include <arch/reserved_bit.h>
#include <arch/traps.h>

#include "arch/page_table.h"
#include "arch/paging.h"
#include "arch/device_map.h"

#include "fake_cpu.h"

#define MACHINE    (12 * GIB)
#define PAGE_2M    (2 * MIB)
#define TABLE_BITS 0xffffffffff000ull

// What boot.asm and the linker have.
u64 boot_pml4[ENTRIES] __attribute__((aligned(4096)));
__asm__(".bss\n.balign 4096\n.globl image_start, image_end\nimage_start: .skip 8192\nimage_end: .text");

static struct frames frames;
static unsigned physical_bits;
static bool has_1g;

static struct cpuid processor(u32 leaf, u32 subleaf)
{
    (void)subleaf;
    switch (leaf) {
    case 0x80000000:
        return (struct cpuid){.eax = 0x80000008};
    case 0x80000001:
        return (struct cpuid){.edx = has_1g ? BIT(26) : 0};
    case 0x80000008:
        return (struct cpuid){.eax = physical_bits};
    default:
        return (struct cpuid){0};
    }
}

static int start(void **state)
{
    (void)state;
    fake_cpu_reset();
    fake_cpuid = processor;
    fake_msr_set(IA32_PAT, 0x0007040600070406);
    fake_cr3 = (uintptr_t)boot_pml4; // tables of the image's own are where the test program has them
    memset(boot_pml4, 0, sizeof(boot_pml4));
    physical_bits = 46;
    has_1g = true;
    memory_make(MACHINE, &frames);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    memory_gone();
    return 0;
}

struct place {
    u64 hpa, size, entry; // size 0: not mapped
};

static const u64 *table_at(u64 entry)
{
    u64 hpa = entry & TABLE_BITS;
    return hpa < MACHINE ? phys_ptr(hpa) : (const u64 *)hpa;
}

static struct place walk(u64 address)
{
    const u64 *table = boot_pml4;
    for (int shift = 39; shift >= 12; shift -= 9) {
        u64 entry = table[address >> shift & 511];
        if (!(entry & 1))
            return (struct place){0};
        if (shift == 12 || (shift < 39 && entry & BIT(7))) {
            u64 base = entry & TABLE_BITS & ~(BIT(shift) - 1);
            assert_int_equal(entry & TABLE_BITS & (BIT(shift) - 1), 0); // PAT of a large page, reserved bits
            return (struct place){base + (address & (BIT(shift) - 1)), BIT(shift), entry};
        }
        assert_int_equal(entry & ~TABLE_BITS, 3);
        table = table_at(entry);
    }
    abort();
}

// ---- the console's devices ----

static const struct device {
    volatile void *(*map)(u64 hpa, u64 bytes);
    u64 slot, pat; // the entry of the PAT, by bits 4:3
} screen = {screen_map, SCREEN_MAP_SLOT, 1}, uart = {uart_map, UART_MAP_SLOT, 3};

// Type and rights of a device's page; bit 63 is reserved where there is no NXE.
static void check_page(const struct device *d, u64 address, u64 hpa)
{
    struct place place = walk(address);
    assert_int_equal(place.hpa, hpa);
    assert_int_equal(place.entry & (BIT(63) | 0x1f), d->pat << 3 | 3);
    if (place.size == PAGE_SIZE)
        assert_int_equal(place.entry & BIT(7), 0); // PAT
}

static u64 check_device(const struct device *d, u64 hpa, u64 bytes)
{
    fake_msr_write_count = 0;
    u64 at = (uintptr_t)d->map(hpa, bytes);
    assert_int_not_equal(at, 0);
    assert_int_equal(at >> 39, 0x1fffe00 | d->slot);
    u64 last = (hpa + bytes - 1) & PAGE_MASK;
    u64 step = bytes > 64 * MIB ? 511 * PAGE_SIZE : PAGE_SIZE;
    for (u64 page = hpa & PAGE_MASK; page <= last; page += step)
        check_page(d, at - hpa + page, page);
    check_page(d, at - hpa + last, last);
    check_page(d, at, hpa);
    assert_int_equal(walk(((at - hpa + last) & PAGE_MASK) + PAGE_SIZE).size, 0);
    assert_int_equal(walk((at & PAGE_MASK) - PAGE_SIZE).size, 0);
    return at;
}

#define UHD (3840ull * 2160 * 4)

static void screen_anywhere(void **state)
{
    (void)state;
    static const struct {
        unsigned bits;
        u64 hpa, bytes;
    } rows[] = {
        {36, 0xe0000000, 1024 * 768 * 3},
        {36, 0xfd000000, 1280 * 800 * 4},
        {39, 0x4000000000, UHD},                  // integrated graphics since Ice Lake
        {39, 0x4000000000, 1920 * 1080 * 4 + 64}, // an end inside a page
        {39, 0x4000000000 - 3 * MIB, UHD},        // across a border of 1G
        {46, 512 * GIB - 4 * MIB, UHD},           // and of 512G
        {46, 0x207fff801000, 1366 * 768 * 4},     // not on a border of 2M
        {46, 0x4000123000, 4096},                 // within one page of 2M
        {46, 0x40001ff000, 8192},                 // across two
        {46, 0x4000000010, PAGE_SIZE},            // not on a border of pages
        {39, BIT(39) - UHD, UHD},                 // the last addresses
        {46, BIT(46) - PAGE_SIZE, PAGE_SIZE},
        {46, BIT(46) - 20, 20},
        {52, BIT(52) - 32 * MIB, 32 * MIB},
        {46, 0x5000000000, GIB}, // the largest
        {46, 0x5000000000 - PAGE_SIZE, GIB},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        physical_bits = rows[i].bits;
        check_device(&screen, rows[i].hpa, rows[i].bytes);
    }
    for (unsigned i = 0; i < 2000; i++) {
        u64 bytes = 1 + random_below(16 * MIB);
        physical_bits = 32 + (unsigned)random_below(21);
        check_device(&screen, random_below(BIT(physical_bits) - bytes), bytes);
    }
    assert_int_equal(frames.count[FRAME_MONITOR], 0); // it needs no memory
}

// The registers of a UART are uncached, and neither it nor the screen takes anything from the other.
static void uart_anywhere(void **state)
{
    (void)state;
    static const u64 places[] = {0xfe036000,   0xfedc9000,   0xd0000ff0,
                                 0xfe03000000, BIT(46) - 32, 0x4000000000};
    u64 shown = check_device(&screen, 0x4000000000, UHD);
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        u64 at = check_device(&uart, places[i], 32);
        check_page(&screen, shown, 0x4000000000);
        shown = check_device(&screen, 0x4000000000, UHD);
        check_page(&uart, at, places[i]);
    }
    assert_int_equal(fake_msr(IA32_PAT) >> 24 & 0xff, 0);
    assert_null((const void *)uart_map(BIT(46) - 31, 32));
}

// Entry 1 of the PAT is write-combining, and the others are as after reset, before anything is reached by
// them.
static void screen_is_write_combining(void **state)
{
    (void)state;
    assert_non_null((const void *)screen_map(0x4000000000, UHD));
    assert_int_equal(fake_msr(IA32_PAT), 0x0007040600070106);
    assert_int_equal(fake_wbinvd, 1);
    assert_int_equal(fake_cr3_writes, 1);
    assert_int_equal(fake_cr3, (uintptr_t)boot_pml4);
}

static void screen_nowhere(void **state)
{
    (void)state;
    static const struct {
        u64 hpa, bytes;
    } rows[] = {
        {0x4000000000, 0}, {0x4000000000, GIB + 1}, {BIT(39), UHD},     {BIT(39) - UHD + 1, UHD},
        {BIT(48), UHD},    {BIT(63), UHD},          {~0ull - 100, 200}, {0, ~0ull},
    };
    physical_bits = 39;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_null((const void *)screen_map(rows[i].hpa, rows[i].bytes));
        assert_int_equal(boot_pml4[SCREEN_MAP_SLOT], 0);
    }
    assert_int_equal(fake_msr_write_count, 0);
}

// ---- the direct map ----

#define RANGES 4
struct range {
    u64 start, end;
};

static bool in_one(const struct range *ranges, unsigned count, u64 start, u64 end, bool whole)
{
    for (unsigned i = 0; i < count; i++) {
        if (whole ? ranges[i].start <= start && end <= ranges[i].end
                  : ranges[i].start < end && start < ranges[i].end)
            return true;
    }
    return false;
}

// Each 2M of [start, end) is mapped if there is something in it, by a page of 1G only if all of that is.
static void check_direct_map(const struct range *ranges, unsigned count, u64 start, u64 end)
{
    for (u64 hpa = start; hpa < end; hpa += PAGE_2M) {
        struct place place = walk(DIRECT_MAP + hpa);
        u64 gib = align_down(hpa, GIB);
        assert_int_equal(place.size != 0, in_one(ranges, count, hpa, hpa + PAGE_2M, false));
        if (!place.size)
            continue;
        assert_int_equal(place.hpa, hpa);
        assert_int_equal(place.entry & (BIT(63) | 0x1f), BIT(63) | 3); // write-back
        if (place.size == GIB)
            assert_true(has_1g && in_one(ranges, count, gib, gib + GIB, true));
    }
}

static void odd_ranges(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        u64 base = (4 + random_below(16 * 1024 - 16)) * GIB;
        struct range ranges[RANGES];
        memset(boot_pml4, 0, sizeof(boot_pml4));
        has_1g = round & 1;
        for (unsigned i = 0; i < RANGES; i++) {
            static const u64 units[] = {GIB, PAGE_2M, PAGE_SIZE, 1};
            u64 unit = units[random_below(4)];
            u64 from = base + align_down(random_below(8 * GIB), unit);
            ranges[i] = (struct range){from, from + align_up(1 + random_below(3 * GIB), unit)};
            assert_int_equal(paging_map(&frames, ranges[i].start, ranges[i].end), 0);
        }
        check_direct_map(ranges, RANGES, base > 5 * GIB ? base - GIB : 4 * GIB, base + 12 * GIB);
    }
}

// Whole GiBs take no table but those above.
static void large_pages_take_no_tables(void **state)
{
    (void)state;
    assert_int_equal(paging_map(&frames, 4 * GIB, DIRECT_MAP_END), 0);
    assert_int_equal(frames.count[FRAME_MONITOR], DIRECT_MAP_END / (512 * GIB));
    assert_int_equal(walk(DIRECT_MAP + DIRECT_MAP_END - 1).size, GIB);
}

static void bounds(void **state)
{
    (void)state;
    assert_int_equal(paging_map(&frames, DIRECT_MAP_END - GIB, DIRECT_MAP_END + 1), ERR_INVALID);
    assert_int_equal(paging_map(&frames, BIT(46), BIT(46) + GIB), ERR_INVALID);
    assert_int_equal(paging_map(&frames, 4 * GIB, ~0ull), ERR_INVALID);
    assert_int_equal(paging_map(&frames, 1 * MIB, 4 * GIB), 0); // boot.asm's
    assert_int_equal(paging_map(&frames, 9 * GIB, 9 * GIB), 0);
    for (unsigned i = 0; i < ENTRIES; i++)
        assert_int_equal(boot_pml4[i], 0);
    frames_reserve(&frames, 0, MACHINE);
    assert_int_equal(paging_map(&frames, 5 * GIB, 6 * GIB), ERR_NOMEM);
}

// ---- from the boot loader's memory map ----

static struct boot_info boot;

static int try_init(const struct boot_range *ranges, unsigned count)
{
    boot = (struct boot_info){.bytes = 4096, .range_count = count};
    memcpy(boot.ranges, ranges, count * sizeof(*ranges));
    boot.framebuffer = (struct boot_framebuffer){
        .present = true, .hpa = 0x4000000000, .pitch = 3840 * 4, .width = 3840, .height = 2160};
    boot_pml4[0] = 1;
    memset(boot_pml4 + 1, 0, sizeof(boot_pml4) - 8);
    return memory_init(&frames, &boot, 16 * MIB);
}

static void init(const struct boot_range *ranges, unsigned count)
{
    assert_int_equal(try_init(ranges, count), 0);
    assert_int_equal(boot_pml4[0], 0);
}

#define LOW                           \
    {0, 0x9f000, BOOT_MEMORY_RAM},    \
    {                                 \
        MIB, 2 * GIB, BOOT_MEMORY_RAM \
    }

static void memory_with_holes(void **state)
{
    (void)state;
    static const struct boot_range ranges[] = {
        {9 * GIB, 10 * GIB + 5, BOOT_MEMORY_RAM}, // in no order
        LOW,
        {5 * GIB, 6 * GIB + 3 * MIB, BOOT_MEMORY_RAM},
        {4 * GIB, 5 * GIB, BOOT_MEMORY_RAM},
        {6 * GIB + 3 * MIB, 6 * GIB + 3 * MIB + 0x123, BOOT_MEMORY_ACPI},
        {6 * GIB + 3 * MIB + 0x123, 6 * GIB + 5 * MIB, BOOT_MEMORY_NVS},
        {6 * GIB + 5 * MIB, 9 * GIB, BOOT_MEMORY_RESERVED},
        {11 * GIB, 12 * GIB, 12},
    };
    static const struct range mapped[] = {{4 * GIB, 6 * GIB + 5 * MIB}, {9 * GIB, 10 * GIB + 5}};
    for (unsigned i = 0; i < 2; i++) {
        has_1g = i;
        init(ranges, ARRAY_SIZE(ranges));
        check_direct_map(mapped, 2, 4 * GIB, 20 * GIB);
        assert_int_equal(memory_map_end(), 6 * GIB + 5 * MIB);
        assert_true(frames_owned(&frames, hpa_mfn(10 * GIB - PAGE_SIZE), 1, FRAME_FREE));
        assert_true(frames.count[FRAME_MONITOR] <= 8); // the screen at 256G costs no tables between
        assert_int_equal(memory_left_out(&frames, &boot), 0);
    }
}

static void memory_below_4_gib_only(void **state)
{
    (void)state;
    static const struct boot_range ranges[] = {LOW};
    init(ranges, 2);
    assert_int_equal(memory_map_end(), 4 * GIB);
    assert_int_equal(frames.count[FRAME_MONITOR], 0);
}

// Below 4 GiB there is no room for a byte for each frame: what lies highest is left out, and the page tables
// that map all, without pages of 1G, have room as well.
static void more_than_the_table_has_room_for(void **state)
{
    (void)state;
    static const struct boot_range ranges[] = {
        {0, 0x9f000, BOOT_MEMORY_RAM},
        {16 * MIB, 100 * MIB, BOOT_MEMORY_RAM},
        {4 * GIB, 5 * GIB, BOOT_MEMORY_RAM},
        {1024 * GIB, 1324 * GIB, BOOT_MEMORY_RAM},
        {20 * 1024 * GIB, 20 * 1024 * GIB + 4096, BOOT_MEMORY_RAM},
    };
    has_1g = false;
    init(ranges, ARRAY_SIZE(ranges));
    assert_in_range(frames.limit * PAGE_SIZE / GIB, 300, 340);
    assert_in_range(ptr_hpa(frames.state), 16 * MIB, 100 * MIB - frames.limit);
    assert_int_equal(memory_left_out(&frames, &boot), 300 * GIB + 4096);
    assert_true(frames_owned(&frames, hpa_mfn(4 * GIB), GIB / PAGE_SIZE, FRAME_FREE));
    assert_true(frames_owned(&frames, hpa_mfn(1024 * GIB), 1, FRAME_NONE));
}

static void no_room_for_the_table(void **state)
{
    (void)state;
    static const struct boot_range small[] = {{MIB, 40 * MIB, BOOT_MEMORY_RAM},
                                              {1024 * GIB, 1025 * GIB, BOOT_MEMORY_RAM}};
    assert_int_equal(try_init(small, 2), ERR_NOMEM);
}

// ---- a reserved bit ----

// Odd processors, by what each touch in turn gives: an error code, or GOES for none. What is tried is a page
// that only the bit keeps from being read.
#define TRIED 51
#define GOES  ~0u
static const u32 *touches;
static unsigned touched;

static bool touch(u64 address, u32 write, u32 *error_code)
{
    assert_true(touched < 4);
    const u64 *table = boot_pml4;
    for (int shift = 39; shift > 12; shift -= 9)
        table = table_at(table[address >> shift & 511]);
    assert_int_equal(table[address >> 12 & 511], BIT(TRIED) | 1);
    u32 code = touches[touched++];
    if (code != GOES)
        *error_code = code | write;
    return code == GOES;
}

bool trap_try_read(const volatile u8 *at, u32 *error_code)
{
    return touch((uintptr_t)at, 0, error_code);
}

bool trap_try_write(volatile u8 *at, u32 *error_code)
{
    return touch((uintptr_t)at, 2, error_code);
}

static void reserved_or_not(void **state)
{
    (void)state;
    static const struct {
        u32 touch[4];
        bool faults;
    } rows[] = {{{9, 9, 9, 9}, true},     {{GOES, 1, GOES, 1}, false}, {{9, 9, GOES, 9}, false},
                {{9, 9, 9, GOES}, false}, {{9, GOES, 9, GOES}, false}, {{GOES, GOES, GOES, GOES}, false},
                {{GOES, 9, 9, 9}, false}, {{9, 1, 9, 1}, false},       {{1, 9, 9, 9}, false}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        touches = rows[i].touch;
        touched = 0;
        assert_int_equal(reserved_bit_faults(TRIED), rows[i].faults);
        assert_int_equal(touched, 4);
        for (unsigned slot = 0; slot < ENTRIES; slot++)
            assert_int_equal(boot_pml4[slot], 0); // nothing stays mapped
    }
}

#define WITH_MACHINE(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MACHINE(screen_anywhere),
        WITH_MACHINE(uart_anywhere),
        WITH_MACHINE(screen_is_write_combining),
        WITH_MACHINE(screen_nowhere),
        WITH_MACHINE(odd_ranges),
        WITH_MACHINE(large_pages_take_no_tables),
        WITH_MACHINE(bounds),
        WITH_MACHINE(memory_with_holes),
        WITH_MACHINE(memory_below_4_gib_only),
        WITH_MACHINE(more_than_the_table_has_room_for),
        WITH_MACHINE(no_room_for_the_table),
        WITH_MACHINE(reserved_or_not),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
