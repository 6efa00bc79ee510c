// Fonts and the framebuffer: glyphs of made-up PSF fonts in 16, 24 and 32 bits a pixel, and the font that the
// monitor embeds.
// link: arch/terminal.c arch/font.c arch/framebuffer.c
#include "support.h"

#include "arch/framebuffer.h"

#include <stdio.h>

// The font that the Makefile embeds.
#define EMBEDDED_FONT "/usr/share/consolefonts/Lat15-Terminus16.psf.gz"

#define GUARD 0x5a

static struct terminal terminal;
static struct framebuffer framebuffer;

// A font whose every pixel is a hash of where it is, so that no mistake of place goes unseen.
static bool font_pixel(unsigned character, unsigned x, unsigned y)
{
    return character != ' ' && ((character * 2654435761u + y * 40503u + x * 97u) >> 7 & 1);
}

struct test_font {
    unsigned width, height;
    size_t size;
    u8 data[32 + 256 * 3 * 40];
};

static void make_glyphs(struct test_font *f, u8 *at)
{
    unsigned row_bytes = (f->width + 7) / 8;
    for (unsigned c = 0; c < 256; c++) {
        for (unsigned y = 0; y < f->height; y++) {
            for (unsigned x = 0; x < f->width; x++)
                at[x / 8] |= (u8)(font_pixel(c, x, y) << (7 - x % 8));
            at += row_bytes;
        }
    }
    f->size = (size_t)(at - f->data);
}

static void make_psf1(struct test_font *f, u8 height)
{
    *f = (struct test_font){.width = 8, .height = height, .data = {0x36, 0x04, 0, height}};
    make_glyphs(f, f->data + 4);
}

static void make_psf2(struct test_font *f, u32 width, u32 height)
{
    u32 header[8] = {0x864ab572, 0, 32, 0, 256, (width + 7) / 8 * height, height, width};
    *f = (struct test_font){.width = width, .height = height};
    memcpy(f->data, header, sizeof(header));
    make_glyphs(f, f->data + 32);
}

static const struct boot_framebuffer modes[] = {
    {.bpp = 16, .type = BOOT_FRAMEBUFFER_RGB, .red = {11, 5}, .green = {5, 6}, .blue = {0, 5}},
    {.bpp = 15, .type = BOOT_FRAMEBUFFER_RGB, .red = {10, 5}, .green = {5, 5}, .blue = {0, 5}},
    {.bpp = 24, .type = BOOT_FRAMEBUFFER_RGB, .red = {16, 8}, .green = {8, 8}, .blue = {0, 8}},
    {.bpp = 32, .type = BOOT_FRAMEBUFFER_RGB, .red = {16, 8}, .green = {8, 8}, .blue = {0, 8}},
    {.bpp = 32, .type = BOOT_FRAMEBUFFER_RGB, .red = {0, 8}, .green = {8, 8}, .blue = {16, 8}},
};
static const u32 greys[] = {20u << 11 | 42u << 5 | 20u, 20u << 10 | 20u << 5 | 20u, 0xaaaaaa, 0xaaaaaa,
                            0xaaaaaa};
static const u32 cyans[] = {10u << 11 | 63u << 5 | 31u, 10u << 10 | 31u << 5 | 31u, 0x55ffff, 0x55ffff,
                            0xffff55};

static const u32 whites[] = {0xffff, 0x7fff, 0xffffff, 0xffffff, 0xffffff};
static const u32 reds[] = {20u << 11, 20u << 10, 0xaa0000, 0xaa0000, 0xaa};

static u32 get_pixel(const u8 *pixels, const struct boot_framebuffer *mode, unsigned x, unsigned y)
{
    u32 value = 0;
    unsigned bytes = (mode->bpp + 7u) / 8;
    memcpy(&value, pixels + (size_t)y * mode->pitch + x * bytes, bytes);
    return value;
}

static void check_glyph(const u8 *pixels, unsigned mode, const struct boot_framebuffer *info,
                        const struct test_font *font, unsigned row, unsigned column)
{
    u8 character = CELL_CHARACTER(terminal.cells[row][column]);
    enum terminal_owner owner = CELL_OWNER(terminal.cells[row][column]);
    u32 lit = owner == TERMINAL_ALERT ? whites[mode] : owner == TERMINAL_MONITOR ? cyans[mode] : greys[mode];
    u32 dark = owner == TERMINAL_ALERT ? reds[mode] : 0;
    for (unsigned y = 0; y < font->height; y++) {
        for (unsigned x = 0; x < font->width; x++) {
            u32 pixel = get_pixel(pixels, info, column * font->width + x, row * font->height + y);
            assert_int_equal(pixel, font_pixel(character, x, y) ? lit : dark);
        }
    }
}

// Writes random text to a screen of random size and looks at every byte of its memory.
static void draw_and_compare(unsigned mode, const struct test_font *font)
{
    struct boot_framebuffer info = modes[mode];
    unsigned pixel_bytes = (info.bpp + 7u) / 8;
    info.width = font->width + (u32)random_below(150);
    info.height = font->height + (u32)random_below(150);
    info.pitch = info.width * pixel_bytes + (u32)random_below(4) * 4;
    size_t size = (size_t)info.pitch * info.height;
    u8 *pixels = malloc(size);
    memset(pixels, GUARD, size);
    assert_int_equal(framebuffer_init(&framebuffer, &terminal, &info, pixels, font->data, font->size), 0);
    for (unsigned i = 0; i < 300; i++) {
        char c = random_below(10) ? (char)(' ' + random_below(95)) : "\r\n\n\b"[random_below(4)];
        terminal_set_owner(&terminal, (enum terminal_owner)random_below(TERMINAL_OWNERS));
        terminal_write(&terminal, &c, 1);
        if (random_below(3) == 0)
            terminal_show(&terminal);
    }
    terminal_show(&terminal);
    unsigned rows = info.height / font->height, columns = info.width / font->width;
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned column = 0; column < columns; column++)
            check_glyph(pixels, mode, &info, font, row, column);
    }
    for (unsigned y = 0; y < info.height; y++) {
        for (unsigned x = info.width * pixel_bytes; x < info.pitch; x++)
            assert_int_equal(pixels[(size_t)y * info.pitch + x], GUARD);
        for (unsigned x = y < rows * font->height ? columns * font->width : 0; x < info.width; x++)
            assert_int_equal(get_pixel(pixels, &info, x, y), 0);
    }
    free(pixels);
}

static void all_depths_and_fonts(void **state)
{
    (void)state;
    static struct test_font font;
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned mode = 0; mode < ARRAY_SIZE(modes); mode++) {
            make_psf1(&font, 16);
            draw_and_compare(mode, &font);
            make_psf1(&font, 8);
            draw_and_compare(mode, &font);
            make_psf2(&font, 12, 24);
            draw_and_compare(mode, &font);
            make_psf2(&font, 17, 9);
            draw_and_compare(mode, &font);
        }
    }
}

static void huge_screens_are_cut(void **state)
{
    (void)state;
    static struct test_font font;
    make_psf1(&font, 16);
    struct boot_framebuffer info = modes[0];
    info.width = 2048;
    info.height = 1700;
    info.pitch = 2 * info.width;
    u8 *pixels = malloc((size_t)info.pitch * info.height);
    assert_int_equal(framebuffer_init(&framebuffer, &terminal, &info, pixels, font.data, font.size), 0);
    assert_int_equal(terminal.columns, TERMINAL_MAX_COLUMNS);
    assert_int_equal(terminal.rows, TERMINAL_MAX_ROWS);
    terminal_write(&terminal, "\033[999;999HX", 11);
    terminal_show(&terminal);
    check_glyph(pixels, 0, &info, &font, TERMINAL_MAX_ROWS - 1, TERMINAL_MAX_COLUMNS - 1);
    free(pixels);
}

static void impossible_modes_are_refused(void **state)
{
    (void)state;
    static struct test_font font;
    static u8 pixels[32 * 32 * 4];
    make_psf1(&font, 16);
    struct boot_framebuffer good = modes[3];
    good.width = good.height = 32;
    good.pitch = 128;
    struct boot_framebuffer bad[] = {good, good, good, good, good, good, good, good, good};
    bad[0].bpp = 8;
    bad[1].bpp = 40;
    bad[2].pitch = 127;
    bad[3].width = 7;
    bad[4].height = 15;
    bad[5].green = (struct boot_colour){25, 8};
    bad[6].red.size = 0;
    bad[7].type = BOOT_FRAMEBUFFER_TEXT;
    bad[8].blue.size = 17;
    assert_int_equal(framebuffer_init(&framebuffer, &terminal, &good, pixels, font.data, font.size), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct framebuffer before = framebuffer;
        int error = framebuffer_init(&framebuffer, &terminal, &bad[i], pixels, font.data, font.size);
        assert_int_equal(error, ERR_INVALID);
        assert_memory_equal(&before, &framebuffer, sizeof(before));
    }
}

static void broken_fonts_are_refused(void **state)
{
    (void)state;
    static struct test_font good, bad;
    struct font font;
    make_psf2(&good, 12, 24);
    assert_int_equal(font_parse(&font, good.data, good.size), 0);
    for (size_t size = 0; size < good.size; size += 1 + size / 9) {
        u8 *cut = malloc(size ? size : 1);
        memcpy(cut, good.data, size);
        assert_int_equal(font_parse(&font, cut, size), ERR_INVALID);
        free(cut);
    }
    static const struct {
        unsigned word;
        u32 value;
    } faults[] = {{0, 0x864ab573}, {2, 0xfffffff0}, {2, 33},      {4, 126},       {4, 257}, {5, 47},
                  {5, 0xffffffff}, {6, 0},          {6, 0x10000}, {7, 0x8000000}, {7, 0},   {7, 25}};
    for (unsigned i = 0; i < ARRAY_SIZE(faults); i++) {
        bad = good;
        memcpy(bad.data + 4 * faults[i].word, &faults[i].value, 4);
        assert_int_equal(font_parse(&font, bad.data, bad.size), ERR_INVALID);
    }
}

// PSF1's Unicode table: for each glyph its characters, 16 bits each, ended by ffff (fffe starts sequences).
static unsigned glyph_of(const u8 *table, const u8 *end, u16 character)
{
    unsigned glyph = 0;
    for (; table + 2 <= end; table += 2) {
        u16 value = (u16)(table[0] | table[1] << 8);
        if (value == character)
            return glyph;
        glyph += value == 0xffff;
    }
    return ~0u;
}

static void embedded_font_has_ascii_in_place(void **state)
{
    (void)state;
    static u8 psf[65536];
    FILE *zcat = popen("zcat " EMBEDDED_FONT, "r");
    assert_non_null(zcat);
    size_t size = fread(psf, 1, sizeof(psf), zcat);
    assert_int_equal(pclose(zcat), 0);
    struct font font;
    assert_int_equal(font_parse(&font, psf, size), 0);
    assert_int_equal(font.width, 8);
    assert_int_equal(font.height, 16);
    assert_int_equal(psf[2] & 2, 2); // there is a Unicode table
    for (u16 c = ' '; c < 0x7f; c++)
        assert_int_equal(glyph_of(psf + 4 + font.count * font.glyph_bytes, psf + size, c), c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_depths_and_fonts),
        cmocka_unit_test(huge_screens_are_cut),
        cmocka_unit_test(broken_fonts_are_refused),
        cmocka_unit_test(impossible_modes_are_refused),
        cmocka_unit_test(embedded_font_has_ascii_in_place),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
