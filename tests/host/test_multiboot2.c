// Multiboot2 boot information built tag by tag: what is read from it, and every way of breaking it.

// link: arch/multiboot2.c
#include "support.h"

#include <arch/multiboot2.h>

static u8 info[32768];
static u64 used;
static struct boot_info boot;

static void begin(void)
{
    memset(info, 0xee, sizeof(info));
    used = 8;
}

// A tag of its 8 bytes of header and `count` bytes at `body`.
static void add_tag(u32 type, const void *body, u64 count)
{
    u32 header[2] = {type, (u32)(8 + count)};
    memcpy(info + used, header, 8);
    memcpy(info + used + 8, body, count);
    used += align_up(8 + count, 8);
}

static int finish(void)
{
    add_tag(0, "", 0);
    memcpy(info, &(u32){(u32)used}, 4);
    return multiboot2_parse(&boot, info, used);
}

static void add_module(u32 start, u32 end, const char *string)
{
    u8 body[300];
    memcpy(body, (u32[]){start, end}, 8);
    strcpy((char *)body + 8, string);
    add_tag(3, body, 8 + strlen(string) + 1);
}

struct row {
    u64 start, bytes;
    u32 type, zero;
};

static void add_map(const struct row *rows, unsigned count, u32 row_bytes)
{
    u8 *body = malloc(8 + count * row_bytes);
    memcpy(body, (u32[]){row_bytes, 0}, 8);
    for (unsigned i = 0; i < count; i++)
        memcpy(body + 8 + i * row_bytes, &rows[i], sizeof(rows[i]));
    add_tag(6, body, 8 + count * row_bytes);
    free(body);
}

static void broken(void)
{
    assert_int_equal(finish(), ERR_INVALID);
    assert_non_null(boot.problem);
}

static void strings_and_modules(void **state)
{
    (void)state;
    begin();
    add_tag(2, "GRUB 2.06", 10);
    add_tag(1, "mmu=ept mem=1G", 15);
    add_tag(4, "\0\0\0\0\0\0\0", 8); // basic memory information: of no use here
    add_module(0x100000, 0x123456, "linux console=ttyS0");
    add_module(0x200000, 0x200000, "");
    assert_int_equal(finish(), 0);
    assert_int_equal(boot.bytes, used);
    assert_string_equal(boot.loader_name, "GRUB 2.06");
    assert_string_equal(boot.command_line, "mmu=ept mem=1G");
    assert_int_equal(boot.module_count, 2);
    assert_int_equal(boot.modules[0].start, 0x100000);
    assert_int_equal(boot.modules[0].end, 0x123456);
    assert_string_equal(boot.modules[0].string, "linux console=ttyS0");
    assert_string_equal(boot.modules[1].string, "");
    assert_int_equal(boot.rsdp_bytes, 0);
    assert_int_equal(boot.symbols.symbols_bytes, 0);
    assert_false(boot.framebuffer.present || boot.has_load_base);
}

static void nothing_given(void **state)
{
    (void)state;
    begin();
    assert_int_equal(finish(), 0);
    assert_string_equal(boot.command_line, "");
    assert_string_equal(boot.loader_name, "");
}

static void memory_map(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {0, 0x9fc00, 1, 0},          {0x9fc00, 0x400, 2, 0},      {0xf0000, 0, 2, 0},
        {0x100000, 0x1000000, 1, 0}, {0x1100000, 0x100000, 1, 0}, {0x1200000, 0x1000, 3, 0},
        {GIB * 4, GIB * 2, 1, 0},
    };
    static const struct boot_range expected[] = {
        {0, 0x9fc00, 1},           {0x9fc00, 0xa0000, 2}, {0x100000, 0x1200000, 1}, // merged
        {0x1200000, 0x1201000, 3}, {GIB * 4, GIB * 6, 1},
    };
    for (u32 row_bytes = 24; row_bytes <= 40; row_bytes += 8) { // entries may grow
        begin();
        add_map(rows, ARRAY_SIZE(rows), row_bytes);
        assert_int_equal(finish(), 0);
        assert_int_equal(boot.range_count, ARRAY_SIZE(expected));
        for (unsigned i = 0; i < boot.range_count; i++) {
            assert_int_equal(boot.ranges[i].start, expected[i].start);
            assert_int_equal(boot.ranges[i].end, expected[i].end);
            assert_int_equal(boot.ranges[i].type, expected[i].type);
        }
    }
}

static void limits(void **state)
{
    (void)state;
    struct row rows[BOOT_RANGES + 1];
    for (unsigned i = 0; i <= BOOT_RANGES; i++)
        rows[i] = (struct row){i * 0x10000ull, 0x1000, 1, 0};
    begin();
    add_map(rows, BOOT_RANGES, 24);
    for (unsigned i = 0; i < BOOT_MODULES; i++)
        add_module(i, i + 1, "m");
    assert_int_equal(finish(), 0);
    assert_int_equal(boot.range_count, BOOT_RANGES);
    assert_int_equal(boot.module_count, BOOT_MODULES);
    assert_int_equal(boot.modules[15].start, 15);
    begin();
    add_map(rows, BOOT_RANGES + 1, 24);
    broken();
    begin();
    for (unsigned i = 0; i <= BOOT_MODULES; i++)
        add_module(i, i + 1, "m");
    broken();
}

static void framebuffer(void **state)
{
    (void)state;
    u8 body[24 + 6] = {0};
    memcpy(body, &(u64){0x123450000000}, 8);
    memcpy(body + 8, (u32[]){4096, 1024, 768}, 12);
    body[20] = 32;
    body[21] = BOOT_FRAMEBUFFER_RGB;
    memcpy(body + 24, (u8[]){16, 8, 9, 7, 0, 6}, 6);
    begin();
    add_tag(8, body, sizeof(body));
    assert_int_equal(finish(), 0);
    const struct boot_framebuffer *f = &boot.framebuffer;
    assert_true(f->present);
    assert_int_equal(f->hpa, 0x123450000000);
    assert_int_equal(f->pitch, 4096);
    assert_int_equal(f->width, 1024);
    assert_int_equal(f->height, 768);
    assert_int_equal(f->bpp, 32);
    assert_int_equal(f->type, BOOT_FRAMEBUFFER_RGB);
    assert_int_equal(f->red.position << 8 | f->red.size, 0x1008);
    assert_int_equal(f->green.position << 8 | f->green.size, 0x0907);
    assert_int_equal(f->blue.position << 8 | f->blue.size, 0x0006);
    begin();
    add_tag(8, body, sizeof(body) - 1);
    broken();
    begin();
    body[21] = BOOT_FRAMEBUFFER_TEXT; // has no colours
    add_tag(8, body, 24);
    assert_int_equal(finish(), 0);
    assert_int_equal(boot.framebuffer.type, BOOT_FRAMEBUFFER_TEXT);
    begin();
    add_tag(8, body, 23);
    broken();
}

struct descriptor {
    u32 type, pad;
    u64 start, virtual, pages, attributes, more;
};

static void add_efi_map(const struct descriptor *rows, unsigned count, u32 row_bytes, u64 cut)
{
    u8 body[8 + 100 * sizeof(*rows)] = {0};
    memcpy(body, (u32[]){row_bytes, 1}, 8);
    for (unsigned i = 0; i < count; i++)
        memcpy(body + 8 + i * row_bytes, &rows[i], row_bytes);
    add_tag(17, body, 8 + count * row_bytes - cut);
}

static void special_memory(void **state)
{
    (void)state;
    static struct descriptor rows[100] = {
        {7, 0, GIB, 0, 16, BIT(18) | 15, 0},        {7, 0, 2 * GIB, 0, 16, 15, 0},         // ordinary
        {0, 0, 3 * GIB, 0, 16, BIT(18), 0},                                                // no RAM
        {7, 0, 4 * GIB, 0, 0x100, BIT(18), 0},      {7, 0, ~0ull << 12, 0, 1, BIT(18), 0}, // to the very end
        {7, 0, 5 * GIB, 0, 1ull << 52, BIT(18), 0},                                        // round it
    };
    begin();
    add_efi_map(rows, 6, 48, 0);
    assert_int_equal(finish(), 0);
    assert_true(boot.efi);
    assert_int_equal(boot.special_count, 2);
    assert_int_equal(boot.special[0].start, GIB);
    assert_int_equal(boot.special[0].end, GIB + 16 * PAGE_SIZE);
    assert_int_equal(boot.special[1].start, 4 * GIB);
    assert_int_equal(boot.special[1].end, 4 * GIB + MIB);
    begin();
    add_efi_map(rows, 1, 48, 9); // the entry is cut short
    assert_int_equal(finish(), 0);
    assert_int_equal(boot.special_count, 0);
    begin();
    add_efi_map(rows, 1, 32, 0); // entries that are too small
    assert_int_equal(finish(), 0);
    assert_int_equal(boot.special_count, 0);
    begin();
    for (unsigned i = 0; i < 100; i++)
        rows[i] = (struct descriptor){7, 0, i * GIB, 0, 1, BIT(18), 0};
    add_efi_map(rows, 100, 40, 0);
    assert_int_equal(finish(), 0);
    assert_int_equal(boot.special_count, BOOT_SPECIAL);
}

static void rsdp_and_load_base(void **state)
{
    (void)state;
    static const char old[21] = "RSD PTR old.........", new[37] = "RSD PTR new.........................";
    for (int order = 0; order < 2; order++) {
        begin();
        add_tag(order ? 15 : 14, order ? new : old, order ? 36 : 20);
        add_tag(order ? 14 : 15, order ? old : new, order ? 20 : 36);
        add_tag(21, &(u32){0x7e00000}, 4);
        assert_int_equal(finish(), 0);
        assert_false(boot.efi);
        assert_int_equal(boot.rsdp_bytes, 36);
        assert_memory_equal(boot.rsdp, new, 36);
        assert_true(boot.has_load_base);
        assert_int_equal(boot.load_base, 0x7e00000);
    }
    begin();
    add_tag(14, old, 20);
    assert_int_equal(finish(), 0);
    assert_int_equal(boot.rsdp_bytes, 20);
    begin();
    add_tag(14, old, 19);
    broken();
    begin();
    add_tag(21, old, 3);
    broken();
}

struct section64 {
    u32 name, type;
    u64 flags, address, offset, size;
    u32 link, info;
    u64 alignment, entry_size;
};
struct section32 {
    u32 name, type, flags, address, offset, size, link, info, alignment, entry_size;
};

static void add_sections(u32 count, u32 header_size, const void *sections, u64 bytes)
{
    u8 body[500];
    memcpy(body, (u32[]){count, header_size, 1}, 12);
    memcpy(body + 12, sections, bytes);
    add_tag(9, body, 12 + bytes);
}

static void expect_symbols(u64 symbols, u64 symbols_bytes, u32 each, u64 strings, u64 strings_bytes)
{
    assert_int_equal(finish(), 0);
    assert_int_equal(boot.symbols.symbols_hpa, symbols);
    assert_int_equal(boot.symbols.symbols_bytes, symbols_bytes);
    assert_int_equal(boot.symbols.symbol_bytes, each);
    assert_int_equal(boot.symbols.strings_hpa, strings);
    assert_int_equal(boot.symbols.strings_bytes, strings_bytes);
}

static void symbol_table(void **state)
{
    (void)state;
    struct section64 wide[4] = {
        [1] = {.type = 1, .address = 0x1000, .size = 1000},
        [2] = {.type = 2, .address = 0x5001000, .size = 250, .link = 3, .entry_size = 24},
        [3] = {.type = 3, .address = 0x5002000, .size = 99},
    };
    static const struct section32 narrow[3] = {
        [1] = {.type = 3, .address = 0x2000, .size = 77},
        [2] = {.type = 2, .address = 0x1000, .size = 160, .link = 1, .entry_size = 16},
    };
    begin();
    add_sections(4, 64, wide, sizeof(wide));
    expect_symbols(0x5001000, 240, 24, 0x5002000, 99);
    begin();
    add_sections(3, 40, narrow, sizeof(narrow));
    expect_symbols(0x1000, 160, 16, 0x2000, 77);
    begin();
    add_sections(4, 64, wide, sizeof(wide) - 1); // the last header is cut
    expect_symbols(0, 0, 0, 0, 0);
    begin();
    wide[2].link = 4; // beyond the table
    add_sections(4, 64, wide, sizeof(wide));
    expect_symbols(0, 0, 0, 0, 0);
    begin();
    wide[2].link = 1; // not a string table
    add_sections(4, 64, wide, sizeof(wide));
    expect_symbols(0, 0, 0, 0, 0);
    begin();
    wide[2].link = 3;
    wide[2].size = UINT64_MAX; // runs over the end of the address space
    add_sections(4, 64, wide, sizeof(wide));
    expect_symbols(0, 0, 0, 0, 0);
}

static void broken_tags(void **state)
{
    (void)state;
    static const struct row wraps = {0xfffffffffffff000, 0x2000, 1, 0};
    begin();
    add_tag(1, "no end", 6);
    broken();
    begin();
    add_tag(2, "no end", 6);
    broken();
    begin();
    add_tag(3, (u32[]){2, 1, 0}, 12); // ends before it starts
    broken();
    begin();
    add_tag(3, (u32[]){1, 2, 0x41414141}, 12); // its string has no end
    broken();
    begin();
    add_map(&wraps, 1, 24);
    broken();
    begin();
    add_tag(6, (u32[8]){0}, 32); // entries of 0 bytes
    broken();
    begin();
    add_tag(6, (u32[8]){24}, 8 + 23); // a cut entry
    broken();
}

// The end tag is missing or cut, or a tag is too short or too long.
static void broken_frame(void **state)
{
    (void)state;
    begin();
    add_tag(1, "mem=1G", 7);
    assert_int_equal(finish(), 0);
    for (u64 limit = 0; limit < used; limit++)
        assert_int_equal(multiboot2_parse(&boot, info, limit), ERR_INVALID);
    for (u32 total = 0; total < used; total++) {
        memcpy(info, &total, 4);
        assert_int_equal(multiboot2_parse(&boot, info, used), ERR_INVALID);
    }
    memcpy(info, &(u32){(u32)used}, 4);
    static const u32 sizes[] = {0, 7, 33, 0xfffffff8, 0xffffffff};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        memcpy(info + 12, &sizes[i], 4);
        assert_int_equal(multiboot2_parse(&boot, info, used), ERR_INVALID);
        assert_non_null(boot.problem);
    }
}

// A copy of exact size each time, so that ASan sees one byte too many; each byte of it changed.
static void changed_bytes(void **state)
{
    (void)state;
    static const struct row row = {0, 0x9fc00, 1, 0};
    random_start();
    begin();
    add_tag(1, "mem=1G", 7);
    add_module(0x1000, 0x2000, "initrd");
    add_map(&row, 1, 24);
    add_sections(2, 40, (struct section32[2]){{.type = 2, .link = 1}}, 80);
    assert_int_equal(finish(), 0);
    for (u64 at = 0; at < used; at++) {
        for (int i = 0; i < 20; i++) {
            u8 *copy = malloc(used);
            memcpy(copy, info, used);
            copy[at] = (u8)random_u64();
            if (multiboot2_parse(&boot, copy, used) == 0) {
                assert_true(boot.bytes <= used);
                assert_true((u8 *)boot.command_line < copy || strlen(boot.command_line) < used);
            }
            free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_and_modules), cmocka_unit_test(nothing_given),
        cmocka_unit_test(memory_map),          cmocka_unit_test(limits),
        cmocka_unit_test(framebuffer),         cmocka_unit_test(rsdp_and_load_base),
        cmocka_unit_test(special_memory),      cmocka_unit_test(symbol_table),
        cmocka_unit_test(broken_tags),         cmocka_unit_test(broken_frame),
        cmocka_unit_test(changed_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
