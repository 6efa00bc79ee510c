// The guest memory map, and the Linux loader: where everything goes, what the kernel is told, and each
// refusal.

// link: hv/guest/load_linux.c hv/memory/guest_map.c
#include "support.h"

#include "hv/guest/load_linux.h"
#include "loaded_guest.h"
#include <stdio.h>

#define SETUP_BYTES  (6 * 512u)
#define KERNEL_BYTES (40 * 1024u)
#define INIT_SIZE    (20 * MIB)
#define PREFERRED    (16 * MIB)

static u8 image[SETUP_BYTES + KERNEL_BYTES];
static u8 initrd[3 * MIB];
static struct linux_initrd parts[3];
static struct linux_plan plan;
static char message[300];

// The fields that the loader reads, by their offsets in Linux's boot.rst and not by the loader's own struct.
static void set(u32 offset, u64 value, unsigned bytes)
{
    memcpy(image + offset, &value, bytes);
}

static struct linux_source make_image(void)
{
    memset(image, 0xcc, sizeof(image));
    set(0x1f1, 5, 1);                  // setup_sects
    set(0x1f4, KERNEL_BYTES / 16, 4);  // syssize
    set(0x1fe, 0xaa55, 2);             // boot_flag
    set(0x201, 0x264 - 0x202, 1);      // the header's end
    memcpy(image + 0x202, "HdrS", 4);  // header
    set(0x206, 0x020f, 2);             // version
    set(0x211, 0x01, 1);               // loadflags: LOADED_HIGH
    set(0x218, 0x77777777, 8);         // ramdisk_image and size: nobody's
    set(0x22c, 0x7fffffff, 4);         // initrd_addr_max
    set(0x236, 0x01, 2);               // xloadflags: XLF_KERNEL_64
    set(0x238, 2047, 4);               // cmdline_size
    set(0x250, 0x1234567812345678, 8); // setup_data: nobody's
    set(0x258, PREFERRED, 8);          // pref_address
    set(0x260, INIT_SIZE, 4);          // init_size
    for (u32 i = 0; i < KERNEL_BYTES; i++)
        image[SETUP_BYTES + i] = (u8)(i * 7 + i / 256);
    for (u32 i = 0; i < sizeof(initrd); i++)
        initrd[i] = (u8)(i * 3 + i / 4096);
    parts[0] = (struct linux_initrd){initrd, sizeof(initrd) - 1234};
    return (struct linux_source){
        .kernel = image,
        .kernel_bytes = sizeof(image),
        .initrds = parts,
        .initrd_count = 1,
        .command_line = "console=ttyS0 quiet",
        .rsdp_gpa = 0xe0000,
    };
}

static u64 read_at(const struct loaded_guest *g, u64 gpa, unsigned bytes)
{
    u64 value = 0;
    memcpy(&value, g->bytes + gpa, bytes);
    return value;
}

static struct linux_entry load(struct loaded_guest *g, const struct linux_source *source, u64 mem)
{
    loaded_guest_make(g, mem);
    if (linux_plan(&plan, source, &g->map, message, sizeof(message)))
        fail_msg("%s", message);
    return linux_write(&plan, source, &g->ram);
}

static void refused_with(const struct linux_source *source, u64 mem, const char *sentence)
{
    struct guest_map map;
    guest_map_make(&map, mem);
    assert_int_equal(linux_plan(&plan, source, &map, message, sizeof(message)), ERR_INVALID);
    assert_string_equal(message, sentence);
}

static void memory_maps(void **state)
{
    (void)state;
    static const u64 sizes[] = {16 * MIB, 512 * MIB, 3 * GIB - 4096, 3 * GIB, 3 * GIB + 4096, 1024 * GIB};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct guest_map map;
        u64 ram = 0;
        guest_map_make(&map, sizes[i]);
        for (unsigned r = 0; r < map.count; r++) {
            assert_true(map.rows[r].start < map.rows[r].end);
            assert_true(!r || map.rows[r].start >= map.rows[r - 1].end);
            if (map.rows[r].type == E820_RAM)
                ram += map.rows[r].end - map.rows[r].start;
            assert_int_equal(map.rows[r].type == E820_RAM,
                             guest_map_is_ram(&map, map.rows[r].start, map.rows[r].end - map.rows[r].start));
        }
        assert_int_equal(ram + (GUEST_ACPI_END - GUEST_LOW_RAM_END), sizes[i]);
        assert_int_equal(map.low_end + (map.high_end ? map.high_end - 4 * GIB : 0), sizes[i]);
        assert_true(map.low_end <= 3 * GIB);
        assert_true(guest_map_is_ram(&map, map.low_end - 1, 1));
        assert_false(guest_map_is_ram(&map, map.low_end - 1, 2));
        assert_false(guest_map_is_ram(&map, 0x9fc00 - 1, 2));
        assert_false(guest_map_is_ram(&map, 0xfffff, 2));
        assert_true(guest_map_is_ram(&map, 0x100000, 1));
        assert_false(guest_map_is_ram(&map, 0xfee00000, 1));
        assert_false(guest_map_is_ram(&map, 0x100000, UINT64_MAX));
        assert_int_equal(guest_map_is_ram(&map, 4 * GIB, 4096), sizes[i] > 3 * GIB);
    }
}

static void kernel_and_initrd(void **state)
{
    (void)state;
    struct loaded_guest g;
    struct linux_source source = make_image();
    struct linux_entry entry = load(&g, &source, 64 * MIB);
    assert_int_equal(entry.rip, PREFERRED + 0x200);
    assert_memory_equal(g.bytes + PREFERRED, image + SETUP_BYTES, KERNEL_BYTES);
    assert_int_equal(g.bytes[PREFERRED - 1], GUEST_UNTOUCHED);
    assert_int_equal(g.bytes[PREFERRED + KERNEL_BYTES], GUEST_UNTOUCHED);
    u64 at = read_at(&g, entry.rsi + 0x218, 4);
    assert_int_equal(read_at(&g, entry.rsi + 0x21c, 4), parts[0].bytes);
    assert_int_equal(at, 61 * MIB);
    assert_memory_equal(g.bytes + at, initrd, parts[0].bytes);
    loaded_guest_gone(&g);
}

static void boot_params(void **state)
{
    (void)state;
    struct loaded_guest g;
    struct linux_source source = make_image();
    struct linux_entry entry = load(&g, &source, 64 * MIB);
    u64 zero_page = entry.rsi;
    assert_true(zero_page >= 4096 && zero_page + 4096 <= GUEST_LOW_RAM_END);
    assert_int_equal(read_at(&g, zero_page + 0x070, 8), 0xe0000);
    assert_int_equal(read_at(&g, zero_page + 0x0c0, 8), 0);
    assert_int_equal(read_at(&g, zero_page + 0x1ef, 1), 0); // sentinel
    assert_memory_equal(g.bytes + zero_page + 0x1f1, image + 0x1f1, 0x20d - 0x1f1);
    assert_int_equal(read_at(&g, zero_page + 0x210, 1), 0xff);
    assert_int_equal(read_at(&g, zero_page + 0x250, 8), 0);
    assert_int_equal(read_at(&g, zero_page + 0x258, 8), PREFERRED);
    assert_string_equal((char *)g.bytes + read_at(&g, zero_page + 0x228, 4), "console=ttyS0 quiet");
    for (u32 i = 0x264; i < 0x2d0; i++) // the header ended at 264: what follows it in the image is code
        assert_int_equal(g.bytes[zero_page + i], 0);
    loaded_guest_gone(&g);
}

static void e820(void **state)
{
    (void)state;
    struct loaded_guest g;
    struct linux_source source = make_image();
    struct linux_entry entry = load(&g, &source, 4 * GIB);
    unsigned count = (unsigned)read_at(&g, entry.rsi + 0x1e8, 1);
    assert_int_equal(count, g.map.count);
    for (unsigned i = 0; i < count; i++) {
        u64 row = entry.rsi + 0x2d0 + i * 20;
        assert_int_equal(read_at(&g, row, 8), g.map.rows[i].start);
        assert_int_equal(read_at(&g, row + 8, 8), g.map.rows[i].end - g.map.rows[i].start);
        assert_int_equal(read_at(&g, row + 16, 4), g.map.rows[i].type);
    }
    assert_int_equal(read_at(&g, entry.rsi + 0x2d0 + count * 20, 8), 0);
    assert_int_equal(read_at(&g, entry.rsi + 0x218, 4), 2 * GIB - 3 * MIB); // below initrd_addr_max
    loaded_guest_gone(&g);
}

// Walks the tables as the processor would.
static u64 walk(const struct loaded_guest *g, u64 cr3, u64 gva)
{
    u64 table = cr3;
    for (int shift = 39; shift >= 21; shift -= 9) {
        u64 entry = read_at(g, table + ((gva >> shift) & 511) * 8, 8);
        assert_int_equal(entry & 3, 3);
        if (entry & BIT(7)) {
            assert_int_equal(shift, 21);
            assert_int_equal(entry & 0x1ff000, 0);
            return (entry & 0xffffffe00000) + (gva & 0x1fffff);
        }
        table = entry & 0xfffffffff000;
    }
    fail();
    return 0;
}

static void entry_state(void **state)
{
    (void)state;
    struct loaded_guest g;
    struct linux_source source = make_image();
    struct linux_entry entry = load(&g, &source, 64 * MIB);
    for (u64 gva = 0; gva < 4 * GIB; gva += 2 * MIB - 8)
        assert_int_equal(walk(&g, entry.cr3, gva), gva);
    assert_int_equal(walk(&g, entry.cr3, 4 * GIB - 1), 4 * GIB - 1);
    for (int i = 1; i < 512; i++) // and nothing else
        assert_int_equal(read_at(&g, entry.cr3 + i * 8, 8), 0);
    assert_int_equal(entry.gdt_limit, 31);
    assert_int_equal(read_at(&g, entry.gdt_base, 8), 0);
    assert_int_equal(read_at(&g, entry.gdt_base + 0x10, 8), 0x00af9b000000ffff);
    assert_int_equal(read_at(&g, entry.gdt_base + 0x18, 8), 0x00cf93000000ffff);
    loaded_guest_gone(&g);
}

static void low_memory_is_apart(void **state)
{
    (void)state;
    struct loaded_guest g;
    struct linux_source source = make_image();
    static char longest[2048];
    memset(longest, 'x', 2047);
    source.command_line = longest;
    struct linux_entry entry = load(&g, &source, 64 * MIB);
    u64 line = read_at(&g, entry.rsi + 0x228, 4);
    const u64 parts[][2] = {{entry.rsi, 4096}, {entry.gdt_base, 32}, {entry.cr3, 6 * 4096}, {line, 2048}};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        assert_true(parts[i][0] >= 4096 && parts[i][0] + parts[i][1] <= GUEST_LOW_RAM_END);
        for (size_t j = 0; j < i; j++)
            assert_true(parts[i][0] >= parts[j][0] + parts[j][1] || parts[j][0] >= parts[i][0] + parts[i][1]);
    }
    assert_string_equal((char *)g.bytes + line, longest);
    loaded_guest_gone(&g);
}

// Each begins at a multiple of 4, with four bytes of zeros and more before it, which tell the kernel where
// one by lz4 ends; the size is that of all.
static void several_initrds(void **state)
{
    (void)state;
    static const u32 starts[] = {0, 1008, 1016}, sizes[] = {1001, 4, 4096};
    struct loaded_guest g;
    struct linux_source source = make_image();
    source.initrd_count = 3;
    for (u32 i = 0; i < 3; i++)
        parts[i] = (struct linux_initrd){initrd + i * 5000, sizes[i]};
    struct linux_entry entry = load(&g, &source, 64 * MIB);
    u64 at = read_at(&g, entry.rsi + 0x218, 4);
    assert_int_equal(read_at(&g, entry.rsi + 0x21c, 4), 1016 + 4096);
    for (u32 i = 0; i < 3; i++)
        assert_memory_equal(g.bytes + at + starts[i], parts[i].data, sizes[i]);
    assert_memory_equal(g.bytes + at + 1001, "\0\0\0\0\0\0", 7);
    assert_memory_equal(g.bytes + at + 1012, "\0\0\0", 4);
    assert_int_equal(g.bytes[at + 1016 + 4096], GUEST_UNTOUCHED);
    loaded_guest_gone(&g);
    parts[1].bytes = UINT64_MAX - 1000; // the sum would be small
    refused_with(
        &source, 64 * MIB,
        "The initrd of 1048577M does not fit into the 28M of guest memory above the kernel: raise mem= or make it smaller.");
}

static void without_initrd(void **state)
{
    (void)state;
    struct loaded_guest g;
    struct linux_source source = make_image();
    source.initrd_count = 0;
    struct linux_entry entry = load(&g, &source, 64 * MIB);
    assert_int_equal(read_at(&g, entry.rsi + 0x218, 8), 0);
    loaded_guest_gone(&g);
}

// The last page counts: what just fits is taken, one byte or page more is not.
static void tight_fits(void **state)
{
    (void)state;
    struct guest_map map;
    struct linux_source source = make_image();
    parts[0].bytes = 2 * MIB;
    guest_map_make(&map, 38 * MIB);
    assert_int_equal(linux_plan(&plan, &source, &map, message, sizeof(message)), 0);
    assert_int_equal(plan.initrd_gpa, 36 * MIB);
    parts[0].bytes++;
    refused_with(
        &source, 38 * MIB,
        "The initrd of 3M does not fit into the 2M of guest memory above the kernel: raise mem= or make it smaller.");
    parts[0].bytes = 3 * MIB;
    set(0x22c, 38 * MIB - 1, 4);
    refused_with(
        &source, 64 * MIB,
        "The initrd of 3M does not fit into the 2M of guest memory above the kernel: make it smaller.");
    set(0x22c, 0xffffffff, 4);
    parts[0].bytes = UINT64_MAX;
    assert_int_equal(linux_plan(&plan, &source, &map, message, sizeof(message)), ERR_INVALID);
    parts[0].bytes = 0;
    guest_map_make(&map, 36 * MIB);
    assert_int_equal(linux_plan(&plan, &source, &map, message, sizeof(message)), 0);
    refused_with(&source, 36 * MIB - 4096,
                 "The kernel needs guest memory up to 36M, and the guest has 35M below 3G: raise mem=.");
}

static void other_setup_sizes(void **state)
{
    (void)state;
    struct loaded_guest g;
    struct linux_source source = make_image();
    set(0x1f1, 0, 1); // stands for 4
    struct linux_entry entry = load(&g, &source, 64 * MIB);
    assert_memory_equal(g.bytes + entry.rip - 0x200, image + 5 * 512, KERNEL_BYTES);
    loaded_guest_gone(&g);
}

static void not_a_bzimage(void **state)
{
    (void)state;
    static const char sentence[] =
        "The kernel module is not a bzImage: give Linux's arch/x86/boot/bzImage or a distribution's vmlinuz.";
    struct linux_source source = make_image();
    image[0x202] = 'h';
    refused_with(&source, 64 * MIB, sentence);
    source = make_image();
    image[0x1fe] = 0;
    refused_with(&source, 64 * MIB, sentence);
    for (u64 bytes = 0; bytes < 0x290; bytes += 7) {
        u8 *part = malloc(bytes + 1);
        source = make_image();
        memcpy(part, image, bytes);
        source.kernel = part;
        source.kernel_bytes = bytes;
        refused_with(&source, 64 * MIB, sentence);
        free(part);
    }
}

static void too_old(void **state)
{
    (void)state;
    static const struct {
        u32 offset, bytes;
        u64 value;
        const char *version;
    } rows[] = {
        {0x206, 2, 0x020b, "2.11"},
        {0x206, 2, 0x0200, "2.0"},
        {0x211, 1, 0x00, "2.15"},
        {0x201, 1, 0x61, "2.15"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char sentence[300];
        struct linux_source source = make_image();
        set(rows[i].offset, rows[i].value, rows[i].bytes);
        snprintf(
            sentence, sizeof(sentence),
            "The kernel is too old for the 64-bit boot protocol (its boot protocol is %s): give a 64-bit kernel with protocol 2.12, which is Linux 3.8 or newer.",
            rows[i].version);
        refused_with(&source, 64 * MIB, sentence);
    }
}

// What an i386 kernel's header says: as new as any, without the 64-bit entry.
static void thirty_two_bit(void **state)
{
    (void)state;
    struct linux_source source = make_image();
    set(0x236, 0x7e, 2);
    refused_with(
        &source, 64 * MIB,
        "The kernel has no 64-bit entry point, as a 32-bit kernel (i386) has none: give one that is built for x86-64.");
}

static void words_without_interrupts(void **state)
{
    (void)state;
    assert_null(linux_word_without_interrupts(""));
    assert_null(linux_word_without_interrupts("console=ttyS0 xnoapic noapics acpi=of noapic=1 acpi=off,"));
    assert_string_equal(linux_word_without_interrupts("console=ttyS0  acpi=off"), "acpi=off");
    assert_string_equal(linux_word_without_interrupts("noapic quiet"), "noapic");
    assert_string_equal(linux_word_without_interrupts("quiet  pnpacpi=off  nolapic"), "pnpacpi=off");
}

static void damaged(void **state)
{
    (void)state;
    static const struct {
        u32 offset, bytes;
        u64 value;
    } rows[] = {
        {0x258, 8, 0},       {0x258, 8, MIB - 4096}, {0x258, 8, UINT64_MAX - 4095},
        {0x258, 8, 4 * GIB}, {0x260, 4, 0},          {0x260, 4, KERNEL_BYTES - 1},
        {0x1f4, 4, 0},       {0x1f4, 4, 0x200 / 16},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct linux_source source = make_image();
        set(rows[i].offset, rows[i].value, rows[i].bytes);
        refused_with(&source, 64 * MIB, "The kernel's setup header is damaged: copy the bzImage again.");
    }
    struct linux_source source = make_image();
    source.kernel_bytes -= 16;
    refused_with(&source, 64 * MIB, "The kernel module is cut short: copy the bzImage again.");
}

// The size in the header is in units of 16 bytes, rounded up: no byte after the file's last is read.
static void last_unit_in_part(void **state)
{
    (void)state;
    for (unsigned missing = 0; missing < 16; missing++) {
        static struct linux_plan plan;
        char message[300];
        struct guest_map map;
        struct linux_source source = make_image();
        source.kernel_bytes -= missing;
        guest_map_make(&map, 64 * MIB);
        assert_int_equal(linux_plan(&plan, &source, &map, message, sizeof(message)), 0);
        assert_int_equal(plan.kernel_offset + plan.kernel_bytes, source.kernel_bytes);
    }
}

static void long_command_line(void **state)
{
    (void)state;
    static char line[80000];
    struct linux_source source = make_image();
    memset(line, 'x', 2048);
    source.command_line = line;
    refused_with(&source, 64 * MIB,
                 "The guest's command line has 2048 characters and its kernel takes 2047: shorten it.");
    set(0x238, 0xffffffff, 4);
    memset(line, 'x', 65536);
    refused_with(&source, 64 * MIB,
                 "The guest's command line has 65536 characters and its kernel takes 65535: shorten it.");
}

// Debian's kernel, if PENUMBRA_BZIMAGE names it: what is true of every stock kernel.
static void stock_kernel(void **state)
{
    (void)state;
    const char *name = getenv("PENUMBRA_BZIMAGE");
    FILE *file = name ? fopen(name, "rb") : NULL;
    if (!file)
        skip();
    u8 *kernel = malloc(64 * MIB);
    struct linux_source source = make_image();
    source.kernel = kernel;
    source.kernel_bytes = fread(kernel, 1, 64 * MIB, file);
    fclose(file);
    struct loaded_guest g;
    struct linux_entry entry = load(&g, &source, 512 * MIB);
    assert_int_equal(entry.rip, PREFERRED + 0x200);
    assert_memory_equal(g.bytes + PREFERRED, kernel + plan.kernel_offset, plan.kernel_bytes);
    assert_int_equal(plan.initrd_gpa, 509 * MIB);
    loaded_guest_gone(&g);
    free(kernel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_maps),
        cmocka_unit_test(kernel_and_initrd),
        cmocka_unit_test(boot_params),
        cmocka_unit_test(e820),
        cmocka_unit_test(entry_state),
        cmocka_unit_test(low_memory_is_apart),
        cmocka_unit_test(without_initrd),
        cmocka_unit_test(several_initrds),
        cmocka_unit_test(words_without_interrupts),
        cmocka_unit_test(thirty_two_bit),
        cmocka_unit_test(tight_fits),
        cmocka_unit_test(other_setup_sizes),
        cmocka_unit_test(not_a_bzimage),
        cmocka_unit_test(too_old),
        cmocka_unit_test(damaged),
        cmocka_unit_test(last_unit_in_part),
        cmocka_unit_test(long_command_line),
        cmocka_unit_test(stock_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
