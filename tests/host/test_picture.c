// QR codes on both kinds of screen, as zbarimg sees them: VGA text by a model of how an adapter draws cells,
// and framebuffers of several sizes and depths.
// link: arch/vga.c arch/vga_picture.c arch/framebuffer.c arch/font.c arch/terminal.c hv/report/qr.c
#include "support.h"

#include <stdio.h>
#include <unistd.h>

#include "arch/framebuffer.h"
#include "arch/vga.h"
#include "qr.h"

#define GUARD 0xa5
#define ROWS  1u // of text above the picture

static struct qr code;
static char text[5000];
static struct terminal terminal;

// The largest code for so many modules, of random text. Returns its version.
static unsigned make_code(unsigned room)
{
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ$%*+-./:";
    unsigned version = QR_VERSIONS;
    while (QR_SIDE(version) + 2 * QR_QUIET > room)
        version--;
    unsigned length = qr_room(version);
    for (unsigned i = 0; i < length; i++)
        text[i] = alphabet[random_below(44)];
    text[length] = 0;
    qr_make(&code, version, text, length);
    return version;
}

static struct console_picture picture(void)
{
    return (struct console_picture){.dark = code.dark, .side = code.side, .margin = QR_QUIET};
}

// A picture of grey values, `size` of them, read by zbarimg: its text must be the code's.
static void check_read(const u8 *grey, unsigned width, unsigned height)
{
    char name[64], command[200];
    static char read[5100];
    fmt(name, sizeof(name), "/tmp/test_picture.%u.pgm", (unsigned)getpid());
    FILE *out = fopen(name, "wb");
    assert_non_null(out);
    fprintf(out, "P5\n%u %u\n255\n", width, height);
    fwrite(grey, 1, (size_t)width * height, out);
    fclose(out);
    fmt(command, sizeof(command), "zbarimg --raw -q --nodbus -Sdisable -Sqrcode.enable %s", name);
    FILE *in = popen(command, "r");
    assert_non_null(in);
    size_t length = fread(read, 1, sizeof(read) - 1, in);
    pclose(in);
    unlink(name);
    assert_int_equal(length, strlen(text) + 1);
    read[length - 1] = 0;
    assert_string_equal(read, text);
}

// 720 x 400 pixels: a glyph is 8 wide and a cell 9; the ninth column repeats the eighth of the glyphs C0H to
// DFH, and is background else.
static void vga_render(const u16 *cells, u8 *grey)
{
    for (unsigned y = 0; y < VGA_ROWS * 16; y++) {
        for (unsigned x = 0; x < VGA_COLUMNS * 9; x++) {
            u16 cell = cells[y / 16 * VGA_COLUMNS + x / 9];
            u8 lines[16] = {0}, character = (u8)cell;
            if (character >= VGA_PICTURE_FIRST)
                vga_picture_glyph(character - VGA_PICTURE_FIRST, lines);
            unsigned column = x % 9 < 8 ? x % 9 : character >= 0xc0 && character < 0xe0 ? 7 : 8;
            bool lit = column < 8 && lines[y % 16] >> (7 - column) & 1;
            unsigned colour = lit ? cell >> 8 & 0xf : cell >> 12;
            grey[y * VGA_COLUMNS * 9 + x] = colour ? 0xaa : 0;
        }
    }
}

static void vga_shows_codes(void **state)
{
    (void)state;
    static u16 cells[VGA_ROWS * VGA_COLUMNS + 1] __attribute__((aligned(8)));
    static u8 grey[VGA_ROWS * 16 * VGA_COLUMNS * 9];
    for (unsigned round = 0; round < 10; round++) {
        vga_init(&terminal, (u64 *)cells);
        cells[VGA_ROWS * VGA_COLUMNS] = GUARD;
        assert_int_equal(make_code(vga_picture_room(ROWS)), 17);
        struct console_picture p = picture();
        vga_picture(cells, &p, ROWS);
        assert_int_equal(cells[VGA_ROWS * VGA_COLUMNS], GUARD);
        for (unsigned i = 0; i < ROWS * VGA_COLUMNS; i++)
            assert_int_equal((u8)cells[i], ' ');
        vga_render(cells, grey);
        check_read(grey, VGA_COLUMNS * 9, VGA_ROWS * 16);
        terminal_clear(&terminal);
        terminal_show(&terminal);
        for (unsigned i = 0; i < VGA_ROWS * VGA_COLUMNS; i++)
            assert_int_equal(cells[i], 0x0720);
    }
}

static const struct boot_framebuffer screens[] = {
    {.width = 640,
     .height = 480,
     .pitch = 640 * 4,
     .bpp = 32,
     .red = {16, 8},
     .green = {8, 8},
     .blue = {0, 8}},
    {.width = 800,
     .height = 600,
     .pitch = 800 * 3 + 8,
     .bpp = 24,
     .red = {16, 8},
     .green = {8, 8},
     .blue = {0, 8}},
    {.width = 1024,
     .height = 768,
     .pitch = 1024 * 2,
     .bpp = 16,
     .red = {11, 5},
     .green = {5, 6},
     .blue = {0, 5}},
    {.width = 600,
     .height = 1024,
     .pitch = 600 * 4,
     .bpp = 32,
     .red = {16, 8},
     .green = {8, 8},
     .blue = {0, 8}},
};

static u8 psf[4 + 256 * 16] = {0x36, 0x04, 0, 16};

static void framebuffer_shows_codes(void **state)
{
    (void)state;
    static struct framebuffer screen;
    for (unsigned i = 0; i < ARRAY_SIZE(screens); i++) {
        struct boot_framebuffer info = screens[i];
        info.type = BOOT_FRAMEBUFFER_RGB;
        size_t size = (size_t)info.pitch * info.height, bytes = (info.bpp + 7u) / 8;
        u8 *pixels = malloc(size + 1), *grey = malloc((size_t)info.width * info.height);
        memset(pixels, GUARD, size + 1);
        assert_int_equal(framebuffer_init(&screen, &terminal, &info, pixels, psf, sizeof(psf)), 0);
        unsigned room = framebuffer_picture_room(&screen, ROWS);
        unsigned smaller = info.width < info.height - 16 * ROWS ? info.width : info.height - 16 * ROWS;
        assert_int_equal(room, smaller / 4);
        make_code(room < 125 ? room : 125);
        struct console_picture p = picture();
        framebuffer_picture(&screen, &p, ROWS);
        for (unsigned y = 0; y < info.height; y++) {
            for (unsigned x = 0; x < info.width; x++) {
                const u8 *pixel = pixels + (size_t)y * info.pitch + x * bytes;
                grey[y * info.width + x] = pixel[0] || pixel[1] ? 255 : 0;
                assert_true(y >= 16 * ROWS || !grey[y * info.width + x]);
            }
            for (unsigned x = info.width * (unsigned)bytes; x < info.pitch; x++)
                assert_int_equal(pixels[(size_t)y * info.pitch + x], GUARD);
        }
        assert_int_equal(pixels[size], GUARD);
        check_read(grey, info.width, info.height);
        free(grey);
        free(pixels);
    }
}

static void small_screens_have_no_room(void **state)
{
    (void)state;
    static struct framebuffer screen;
    static u8 pixels[8 * 4 * 32];
    struct boot_framebuffer info = screens[0];
    info.type = BOOT_FRAMEBUFFER_RGB;
    info.width = 8;
    info.pitch = 32;
    info.height = 16;
    assert_int_equal(framebuffer_init(&screen, &terminal, &info, pixels, psf, sizeof(psf)), 0);
    assert_int_equal(framebuffer_picture_room(&screen, 0), 2);
    assert_int_equal(framebuffer_picture_room(&screen, 1), 0);
    assert_int_equal(framebuffer_picture_room(&screen, 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vga_shows_codes),
        cmocka_unit_test(framebuffer_shows_codes),
        cmocka_unit_test(small_screens_have_no_room),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
