// The Multiboot 1 loader: segments, modules, the information structure, and each refusal.

// link: hv/guest/load_multiboot.c hv/memory/guest_map.c
#include "support.h"

#include "hv/guest/load_multiboot.h"
#include "loaded_guest.h"

struct segment {
    u32 type, offset, vaddr, paddr, filesz, memsz, flags, align;
};

static u8 image[40000];
static struct multiboot_plan plan;
static char message[300];

static void set(u32 offset, u32 value, unsigned bytes)
{
    memcpy(image + offset, &value, bytes);
}

static void set_header(u32 offset, u32 flags)
{
    set(offset, 0x1badb002, 4);
    set(offset + 4, flags, 4);
    set(offset + 8, -(0x1badb002 + flags), 4);
}

static void set_segments(const struct segment *segments, u16 count)
{
    set(28, 0x100, 4); // phoff
    set(42, 32, 2);    // phentsize
    set(44, count, 2); // phnum
    memcpy(image + 0x100, segments, count * sizeof(*segments));
}

static void set64(u32 offset, u64 value)
{
    memcpy(image + offset, &value, 8);
}

// A kernel like the micro-guests: code with the header at 1M, data with BSS behind it.
static struct multiboot_source make_image(void)
{
    static const struct segment segments[] = {
        {1, 0x1000, 0xc0100000, 0x100000, 0x2345, 0x2345, 5, 0x1000},
        {4, 0x9000, 0, 0, 0x100, 0x100, 4, 4}, // a note: not loaded
        {1, 0x4000, 0xc0103000, 0x103000, 0x800, 0x6000, 6, 0x1000},
    };
    for (u32 i = 0; i < sizeof(image); i++)
        image[i] = (u8)(i * 5 + i / 255);
    memcpy(image, "\177ELF\1\1\1", 7);
    set(16, 2, 2);          // ET_EXEC
    set(18, 3, 2);          // EM_386
    set(24, 0xc0100010, 4); // entry
    set_segments(segments, ARRAY_SIZE(segments));
    set_header(0x1000, 0x3);
    return (struct multiboot_source){
        .kernel = image, .kernel_bytes = sizeof(image), .command_line = "test=all verbose"};
}

struct segment64 {
    u32 type, flags;
    u64 offset, vaddr, paddr, filesz, memsz, align;
};

// The same kernel as ELF64, linked to the upper end of the address space.
static struct multiboot_source make_image64(void)
{
    static const struct segment64 segments[] = {
        {1, 5, 0x1000, 0xffffffff80100000, 0x100000, 0x2345, 0x2345, 0x1000},
        {4, 4, 0x9000, 0, 0, 0x100, 0x100, 4},
        {1, 6, 0x4000, 0xffffffff80103000, 0x103000, 0x800, 0x6000, 0x1000},
    };
    struct multiboot_source source = make_image();
    image[4] = 2;                  // ELFCLASS64
    set(18, 62, 2);                // EM_X86_64
    set64(24, 0xffffffff80100010); // entry
    set64(32, 0x100);              // phoff
    set(54, 56, 2);                // phentsize
    set(56, 3, 2);                 // phnum
    memcpy(image + 0x100, segments, sizeof(segments));
    return source;
}

// The same as a file of no format, whose header says where it goes: code and data from 1M, then BSS.
static struct multiboot_source make_flat(void)
{
    static const u32 addresses[] = {0x100400, 0x100000, 0x105000, 0x106000, 0x100010};
    struct multiboot_source source = make_image();
    memset(image, 0x5a, 0x1000);
    set(0x1000, 0, 4);
    set_header(0x1400, 0x10003);
    memcpy(image + 0x140c, addresses, sizeof(addresses));
    return source;
}

static u32 read_at(const struct loaded_guest *g, u64 gpa)
{
    u32 value;
    memcpy(&value, g->bytes + gpa, 4);
    return value;
}

static struct multiboot_entry load(struct loaded_guest *g, const struct multiboot_source *source, u64 mem)
{
    loaded_guest_make(g, mem);
    if (multiboot_plan(&plan, source, &g->map, message, sizeof(message)))
        fail_msg("%s", message);
    return multiboot_write(&plan, source, &g->map, &g->ram);
}

static void refused_with(const struct multiboot_source *source, const char *sentence)
{
    struct guest_map map;
    guest_map_make(&map, 32 * MIB);
    assert_int_equal(multiboot_plan(&plan, source, &map, message, sizeof(message)), ERR_INVALID);
    assert_string_equal(message, sentence);
}

static void segments_and_bss(void **state)
{
    (void)state;
    struct loaded_guest g;
    struct multiboot_source source = make_image();
    struct multiboot_entry entry = load(&g, &source, 32 * MIB);
    assert_int_equal(entry.eip, 0x100010); // physical
    assert_int_equal(entry.eax, 0x2badb002);
    assert_memory_equal(g.bytes + 0x100000, image + 0x1000, 0x2345);
    assert_int_equal(g.bytes[0x102345], GUEST_UNTOUCHED);
    assert_memory_equal(g.bytes + 0x103000, image + 0x4000, 0x800);
    for (u32 i = 0x103800; i < 0x109000; i++)
        assert_int_equal(g.bytes[i], 0);
    assert_int_equal(g.bytes[0x109000], GUEST_UNTOUCHED);
    assert_int_equal(g.bytes[0], GUEST_UNTOUCHED);
    loaded_guest_gone(&g);
}

static void elf64(void **state)
{
    (void)state;
    struct loaded_guest g;
    struct multiboot_source source = make_image64();
    struct multiboot_entry entry = load(&g, &source, 4 * GIB);
    assert_int_equal(entry.eip, 0x100010);
    assert_int_equal(entry.eax, 0x2badb002);
    assert_memory_equal(g.bytes + 0x100000, image + 0x1000, 0x2345);
    assert_memory_equal(g.bytes + 0x103000, image + 0x4000, 0x800);
    for (u32 i = 0x103800; i < 0x109000; i++)
        assert_int_equal(g.bytes[i], 0);
    assert_int_equal(g.bytes[0x109000], GUEST_UNTOUCHED);
    loaded_guest_gone(&g);
}

// Fields that wrap around in 64 bits, or lead to where a 32-bit guest does not come.
static void hostile_elf64(void **state)
{
    (void)state;
    static const char outside[] = "A segment of the kernel is not inside its file: copy the kernel again.";
    static const char headers[] = "The kernel's program headers are not inside its file: copy it again.";
    static const struct {
        u32 offset;
        u64 value;
        const char *sentence;
    } rows[] = {
        {32, -0x100ull, headers}, // further program headers would be inside again
        {32, sizeof(image) - 3 * 56 + 1, headers},
        {0x100 + 8, -0x1000ull, outside},
        {0x100 + 32, -1ull, outside},
        {0x100 + 24, 4 * GIB,
         "The kernel is linked to 0x100000000 to 0x100002345, where the guest has no RAM: link it between 1M and 3072M, or raise mem=."},
        {0x100 + 24, -0x1000ull,
         "The kernel is linked to 0xfffffffffffff000 to 0xffffffffffffffff, where the guest has no RAM: link it between 1M and 3072M, or raise mem=."},
        {0x100 + 40, -1ull,
         "The kernel is linked to 0x100000 to 0xffffffffffffffff, where the guest has no RAM: link it between 1M and 3072M, or raise mem=."},
        {24, 0x100010, "The kernel's entry point is in none of its segments: link it again."},
        {24, 0xffffffff80102345, "The kernel's entry point is in none of its segments: link it again."},
        {54, 55 | 3 << 16, "The Multiboot kernel's ELF header is damaged: copy the kernel again."},
    };
    struct guest_map map;
    guest_map_make(&map, 8 * GIB);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct multiboot_source source = make_image64();
        set64(rows[i].offset, rows[i].value);
        assert_int_equal(multiboot_plan(&plan, &source, &map, message, sizeof(message)), ERR_INVALID);
        assert_string_equal(message, rows[i].sentence);
    }
    struct multiboot_source source = make_image64();
    source.kernel_bytes = 60; // the header is cut
    set_header(12, 3);
    assert_int_equal(multiboot_plan(&plan, &source, &map, message, sizeof(message)), ERR_INVALID);
}

static void load_addresses(void **state)
{
    (void)state;
    struct loaded_guest g;
    struct multiboot_source source = make_flat();
    assert_int_equal(load(&g, &source, 32 * MIB).eip, 0x100010);
    assert_int_equal(g.bytes[0xfffff], GUEST_UNTOUCHED);
    assert_memory_equal(g.bytes + 0x100000, image + 0x1000, 0x5000);
    for (u32 i = 0x105000; i < 0x106000; i++)
        assert_int_equal(g.bytes[i], 0);
    assert_int_equal(g.bytes[0x106000], GUEST_UNTOUCHED);
    loaded_guest_gone(&g);
}

// 0 for an end: to the end of the file, and no BSS. They go before an ELF header.
static void load_addresses_to_the_end(void **state)
{
    (void)state;
    struct loaded_guest g;
    struct multiboot_source source = make_image();
    static const u32 addresses[] = {0x201000, 0x200000, 0, 0, 0x200fff};
    set_header(0x1000, 0x10003);
    memcpy(image + 0x100c, addresses, sizeof(addresses));
    assert_int_equal(load(&g, &source, 32 * MIB).eip, 0x200fff);
    assert_memory_equal(g.bytes + 0x200000, image, sizeof(image));
    assert_int_equal(g.bytes[0x200000 + sizeof(image)], GUEST_UNTOUCHED);
    assert_int_equal(g.bytes[0x100000], GUEST_UNTOUCHED);
    loaded_guest_gone(&g);
}

static void hostile_addresses(void **state)
{
    (void)state;
    static const char damaged[] =
        "The load addresses in the kernel's Multiboot header do not fit together or into its file: link it again.";
    static const struct {
        u32 field, value;
        const char *sentence;
    } rows[] = {
        {0, 0x100000 - 1, damaged}, // the header before what is loaded
        {0, 0x101401, damaged},     // it would begin before the file
        {0, 0xffffffff, damaged},
        {1, 0x100401, damaged},
        {2, 0x100000, damaged}, // nothing
        {2, 0x106001, damaged}, // more than with BSS
        {3, 0x104fff, damaged},
        {4, 0xfffff, damaged},
        {4, 0x106000, damaged},
        {3, 0xffffffff,
         "The kernel is linked to 0x100000 to 0xffffffff, where the guest has no RAM: link it between 1M and 32M, or raise mem=."},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct multiboot_source source = make_flat();
        set(0x140c + 4 * rows[i].field, rows[i].value, 4);
        refused_with(&source, rows[i].sentence);
    }
    struct multiboot_source source = make_flat();
    source.kernel_bytes = 0x5fff;
    refused_with(&source, "A segment of the kernel is not inside its file: copy the kernel again.");
    source.kernel_bytes = 0x1400 + 31;
    refused_with(&source, "The kernel's Multiboot header is cut short: copy the kernel again.");
    source.kernel_bytes = 0x1400 + 11;
    refused_with(
        &source,
        "The kernel module has no Multiboot header in its first 8192 bytes: give a Multiboot 1 kernel, or start a bzImage with `linux'.");
}

static void information(void **state)
{
    (void)state;
    struct loaded_guest g;
    struct multiboot_source source = make_image();
    struct multiboot_entry entry = load(&g, &source, 4 * GIB);
    u64 info = entry.ebx;
    assert_int_equal(read_at(&g, info), BIT(0) | BIT(2) | BIT(3) | BIT(6) | BIT(9));
    assert_int_equal(read_at(&g, info + 4), 639);
    assert_int_equal(read_at(&g, info + 8), 3 * 1024 * 1024 - 1024);
    assert_string_equal((char *)g.bytes + read_at(&g, info + 16), "test=all verbose");
    assert_int_equal(read_at(&g, info + 20), 0);
    const char *name = (char *)g.bytes + read_at(&g, info + 64);
    assert_memory_equal(name, "Penumbra", 8);
    assert_non_null(strstr(name, "GRUB 2")); // so Xen knows that its own name is not in the command line
    u32 length = read_at(&g, info + 44), row = read_at(&g, info + 48), rows = 0;
    for (u32 end = row + length; row < end; row += read_at(&g, row) + 4, rows++) {
        const struct guest_range *range = &g.map.rows[rows];
        assert_int_equal(read_at(&g, row), 20);
        assert_int_equal(read_at(&g, row + 4) | (u64)read_at(&g, row + 8) << 32, range->start);
        assert_int_equal(read_at(&g, row + 12) | (u64)read_at(&g, row + 16) << 32, range->end - range->start);
        assert_int_equal(read_at(&g, row + 20), range->type);
    }
    assert_int_equal(rows, g.map.count);
    assert_true(plan.info_gpa == info && info >= 4096 && info + plan.info_bytes <= GUEST_LOW_RAM_END);
    assert_int_equal(g.bytes[info + plan.info_bytes], GUEST_UNTOUCHED);
    loaded_guest_gone(&g);
}

static void modules(void **state)
{
    (void)state;
    static u8 data[3][5000];
    const struct multiboot_module list[] = {
        {data[0], 5000, "first one"}, {data[1], 0, ""}, {data[2], 4096, "third"}};
    static const u32 places[] = {0x109000, 0x10b000, 0x10b000};
    struct loaded_guest g;
    struct multiboot_source source = make_image();
    for (int i = 0; i < 3; i++)
        memset(data[i], 0x11 * (i + 1), sizeof(data[i]));
    source.modules = list;
    source.module_count = 3;
    u64 info = load(&g, &source, 32 * MIB).ebx;
    assert_int_equal(read_at(&g, info + 20), 3);
    for (u32 i = 0; i < 3; i++) {
        u64 row = read_at(&g, info + 24) + i * 16;
        assert_int_equal(read_at(&g, row), places[i]);
        assert_int_equal(read_at(&g, row + 4), places[i] + list[i].bytes);
        assert_memory_equal(g.bytes + places[i], list[i].data, list[i].bytes);
        assert_string_equal((char *)g.bytes + read_at(&g, row + 8), list[i].string);
        assert_int_equal(read_at(&g, row + 12), 0);
    }
    assert_int_equal(g.bytes[0x10c000], GUEST_UNTOUCHED);
    loaded_guest_gone(&g);
}

// The information steps out of the way of segments in low memory, and below 64K when all above is taken.
static void information_avoids_segments(void **state)
{
    (void)state;
    static const struct {
        u32 start, bytes, info;
    } rows[] = {
        {0x8000, 0x8000, 0x10000}, {0x8000, 0x8001, 0x11000}, {0x10000, 0x1000, 0x11000},
        {0x10008, 4, 0x11000},     {0x2000, 0x9d801, 0x1000}, {0x10000, 0x8f801, 0x1000},
        {0, 0x9e800, 0x9f000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct loaded_guest g;
        struct multiboot_source source = make_image();
        const struct segment segments[] = {
            {1, 0x1000, 0xc0100000, 0x100000, 0x100, 0x100, 5, 1},
            {1, 0, 0, rows[i].start, 0, rows[i].bytes, 6, 1},
        };
        set_segments(segments, 2);
        assert_int_equal(load(&g, &source, 32 * MIB).ebx, rows[i].info);
        loaded_guest_gone(&g);
    }
    struct multiboot_source source = make_image();
    const struct segment all[] = {
        {1, 0x1000, 0xc0100000, 0x100000, 0x100, 0x100, 5, 1},
        {1, 0, 0, 0x60000, 0, 0x3fc00, 6, 1},
        {1, 0, 0, 0x1000, 0, 0x5f000, 6, 1},
    };
    set_segments(all, 3);
    refused_with(
        &source,
        "The kernel leaves no room below 640K for the Multiboot information: link it at 1M, or shorten the command lines.");
}

// Kernels and modules up to the guest's last byte are taken, one byte more is not.
static void last_byte(void **state)
{
    (void)state;
    struct guest_map map;
    struct multiboot_source source = make_image();
    struct segment s = {1, 0x1000, 0xc0100000, 0x100000, 0x100, 31 * MIB - 4096, 5, 1};
    struct multiboot_module module = {image, 4096, "m"};
    guest_map_make(&map, 32 * MIB);
    source.modules = &module;
    source.module_count = 1;
    set_segments(&s, 1);
    assert_int_equal(multiboot_plan(&plan, &source, &map, message, sizeof(message)), 0);
    assert_int_equal(plan.module_gpa[0], 32 * MIB - 4096);
    module.bytes++;
    refused_with(
        &source,
        "Module 1 of 5K does not fit into guest memory above the kernel, from 0x1fff000: raise mem=.");
    source.module_count = 0;
    s.memsz += 4096;
    set_segments(&s, 1);
    assert_int_equal(multiboot_plan(&plan, &source, &map, message, sizeof(message)), 0);
    s.memsz++;
    set_segments(&s, 1);
    refused_with(
        &source,
        "The kernel is linked to 0x100000 to 0x2000001, where the guest has no RAM: link it between 1M and 32M, or raise mem=.");
}

static void outside_ram(void **state)
{
    (void)state;
    static const struct {
        u32 paddr, memsz;
    } rows[] = {{0x9f000, 0xc01}, {0xa0000, 1},     {0xe0000, 16},
                {0xfffff, 2},     {0xfee00000, 16}, {0xfffffff0, 0xffff}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct multiboot_source source = make_image();
        struct guest_map map;
        set_segments(&(struct segment){1, 0x1000, 0xc0100000, rows[i].paddr, 0, rows[i].memsz, 5, 1}, 1);
        guest_map_make(&map, 32 * MIB);
        assert_int_equal(multiboot_plan(&plan, &source, &map, message, sizeof(message)), ERR_INVALID);
        assert_non_null(strstr(message, "where the guest has no RAM"));
    }
}

static void header_search(void **state)
{
    (void)state;
    static const char none[] =
        "The kernel module has no Multiboot header in its first 8192 bytes: give a Multiboot 1 kernel, or start a bzImage with `linux'.";
    struct guest_map map;
    guest_map_make(&map, 32 * MIB);
    struct multiboot_source source = make_image();
    set(0x1008, 0, 4); // the sum is wrong
    refused_with(&source, none);
    set_header(8192 - 12, 0); // the last place, behind the broken one
    assert_int_equal(multiboot_plan(&plan, &source, &map, message, sizeof(message)), 0);
    source = make_image();
    set(0x1000, 0, 4);
    set_header(8192 - 8, 0);
    refused_with(&source, none);
    source = make_image();
    set(0x1000, 0, 4);
    set_header(0x1402, 0); // not aligned
    refused_with(&source, none);
    source.kernel_bytes = 0;
    refused_with(&source, none);
}

static void header_flags(void **state)
{
    (void)state;
    struct guest_map map;
    guest_map_make(&map, 32 * MIB);
    for (int bit = 0; bit < 32; bit++) {
        struct multiboot_source source = make_image();
        if (bit == 16)
            continue; // the load addresses
        set_header(0x1000, 1u << bit);
        int result = multiboot_plan(&plan, &source, &map, message, sizeof(message));
        assert_int_equal(result, bit >= 3 && bit < 16 ? ERR_INVALID : 0);
    }
    struct multiboot_source source = make_image();
    set_header(0x1000, 0xfffe0007);
    assert_int_equal(multiboot_plan(&plan, &source, &map, message, sizeof(message)), 0);
    set_header(0x1000, 0x8017);
    refused_with(
        &source,
        "The kernel's Multiboot header requires flags 0x8010 that this loader does not know: clear them.");
}

static void no_elf(void **state)
{
    (void)state;
    static const u8 offsets[] = {0, 3, 4, 5, 16, 17, 18, 19};
    for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
        struct multiboot_source source = make_image();
        image[offsets[i]] ^= 3;
        refused_with(
            &source,
            "The Multiboot kernel is no ELF executable for i386 or x86-64, and its header does not say where it is to be loaded (flag bit 16): link it as one.");
    }
}

static void damaged_elf(void **state)
{
    (void)state;
    static const char outside[] = "A segment of the kernel is not inside its file: copy the kernel again.";
    static const char headers[] = "The kernel's program headers are not inside its file: copy it again.";
    struct multiboot_source source = make_image();
    set(42, 31, 2);
    refused_with(&source, "The Multiboot kernel's ELF header is damaged: copy the kernel again.");
    source = make_image();
    set(28, sizeof(image) - 95, 4);
    refused_with(&source, headers);
    set(28, 0xfffffff0, 4);
    refused_with(&source, headers);
    source = make_image();
    source.kernel_bytes = 0x4000 + 0x800 - 1;
    refused_with(&source, outside);
    source = make_image();
    set(0x100 + 4, 0xffffffff, 4);
    refused_with(&source, outside);
    source = make_image();
    set(0x100 + 16, 0x2346, 4); // filesz above memsz
    refused_with(&source, outside);
    source = make_image();
    set(24, 0xc0102345, 4);
    refused_with(&source, "The kernel's entry point is in none of its segments: link it again.");
    struct segment many[MULTIBOOT_SEGMENTS + 1];
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = (struct segment){1, 0, 0xc0100000, 0x100000, 0, 0x100, 5, 1};
    source = make_image();
    set_segments(many, ARRAY_SIZE(many));
    refused_with(&source, "The kernel has more than 32 loadable segments: link it with fewer.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_and_bss),
        cmocka_unit_test(elf64),
        cmocka_unit_test(hostile_elf64),
        cmocka_unit_test(load_addresses),
        cmocka_unit_test(load_addresses_to_the_end),
        cmocka_unit_test(hostile_addresses),
        cmocka_unit_test(information),
        cmocka_unit_test(modules),
        cmocka_unit_test(information_avoids_segments),
        cmocka_unit_test(last_byte),
        cmocka_unit_test(outside_ram),
        cmocka_unit_test(header_search),
        cmocka_unit_test(header_flags),
        cmocka_unit_test(no_elf),
        cmocka_unit_test(damaged_elf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
