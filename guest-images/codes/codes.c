// Shows text as QR codes on a Linux console, for ever: results that must get off a machine which has neither
// a serial line nor a driver for USB. The codes are those of the monitor (hv/report/codes.h). With -t it
// prints their texts instead, for tests.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "arch/vga.h"
#include "codes.h"
#include "gzip.h"

#define INPUT_MAX (1u << 20)
#define SECONDS   4
#define TITLE     1   // row
#define GLYPH     32u // bytes of one in the kernel's fonts

static char input[INPUT_MAX];
static u8 packed[INPUT_MAX];
static struct gzip gzip;
static struct qr qr;

static void die(const char *why)
{
    fprintf(stderr, "codes: %s\n", why);
    exit(1);
}

static struct console_picture picture(void)
{
    return (struct console_picture){.dark = qr.dark, .side = qr.side, .margin = QR_QUIET};
}

// --- A text screen of 80 x 25: glyphs of our own ---

// KDFONTOP of the kernel's header for consoles, which is not among musl's.
#define KDFONTOP 0x4b72
enum { FONT_SET, FONT_GET };
struct font_operation {
    unsigned operation, flags, width, height, count;
    u8 *data;
};

// Whether the console shows glyphs as we make them: 8 x 16 pixels.
static bool glyphs_give(void)
{
    static u8 data[512 * GLYPH];
    struct font_operation font = {
        .operation = FONT_GET, .width = 32, .height = 32, .count = 512, .data = data};
    if (ioctl(STDOUT_FILENO, KDFONTOP, &font) || font.width != 8 || font.height != 16)
        return false;
    for (unsigned i = 0; i < VGA_PICTURE_GLYPHS; i++)
        vga_picture_glyph(i, data + (VGA_PICTURE_FIRST + i) * GLYPH);
    font.operation = FONT_SET;
    return !ioctl(STDOUT_FILENO, KDFONTOP, &font);
}

// Characters from U+F000 on are the font's glyphs themselves.
static void put_glyph(u16 cell)
{
    unsigned character = 0xf000 + (cell & 0xff);
    printf("\033[%sm%c%c%c", cell >> 12 ? "30;47" : "37;40", 0xe0 | character >> 12,
           0x80 | (character >> 6 & 0x3f), 0x80 | (character & 0x3f));
}

static void show_glyphs(void)
{
    static u16 cells[VGA_ROWS * VGA_COLUMNS];
    struct console_picture p = picture();
    unsigned all = p.side + 2 * p.margin;
    vga_picture(cells, &p, TITLE);
    for (unsigned row = TITLE; row < TITLE + (all + 3) / 4; row++) {
        printf("\033[%u;1H", row + 1);
        for (unsigned column = 0; column < (all + 1) / 2; column++)
            put_glyph(cells[row * VGA_COLUMNS + column]);
    }
}

// --- Larger screens: upper halves of a cell ---

static bool light(unsigned x, unsigned y)
{
    unsigned column = x - QR_QUIET, row = y - QR_QUIET;
    return column >= qr.side || row >= qr.side || !qr.dark[row * qr.side + column];
}

static void show_halves(void)
{
    unsigned all = qr.side + 2 * QR_QUIET;
    for (unsigned y = 0; y < all; y += 2) {
        printf("\033[%u;1H", y / 2 + TITLE + 1);
        for (unsigned x = 0; x < all; x++)
            printf("\033[%u;%um\342\226\200", light(x, y) ? 37 : 30, light(x, y + 1) ? 47 : 40);
    }
}

// --- All of them ---

struct screen {
    void (*show)(void);
    unsigned room; // modules
};

static struct screen screen_find(void)
{
    struct winsize size = {.ws_row = VGA_ROWS, .ws_col = VGA_COLUMNS};
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    if (size.ws_row == VGA_ROWS && size.ws_col == VGA_COLUMNS && glyphs_give())
        return (struct screen){show_glyphs, vga_picture_room(TITLE)};
    unsigned rows = size.ws_row > TITLE ? (size.ws_row - TITLE) * 2u : 0;
    return (struct screen){show_halves, rows < size.ws_col ? rows : size.ws_col};
}

static unsigned version_find(unsigned room)
{
    unsigned version = CODES_VERSION_MAX;
    while (version && QR_SIDE(version) + 2 * QR_QUIET > room)
        version--;
    return version;
}

static struct codes codes_of_input(unsigned version)
{
    struct codes codes;
    size_t size = fread(input, 1, sizeof input, stdin);
    if (!size || size == sizeof input)
        die("there is no input, or more than a megabyte");
    size = gzip_pack(&gzip, input, size, packed, sizeof packed);
    if (size > sizeof packed || !codes_divide(&codes, packed, size, version))
        die("the input does not fit into codes on this screen");
    return codes;
}

static void print_texts(void)
{
    char text[CODES_TEXT];
    struct codes codes = codes_of_input(CODES_VERSION_MAX);
    for (unsigned i = 0; i < codes.count; i++) {
        fwrite(text, 1, codes_text(&codes, i, text), stdout);
        putchar('\n');
    }
}

static void show_all(void)
{
    struct screen screen = screen_find();
    struct codes codes = codes_of_input(version_find(screen.room));
    for (unsigned i = 0;; i = (i + 1) % codes.count) {
        codes_make(&codes, i, &qr);
        printf("\033[0m\033[?25l\033[2J\033[HResults: QR code %u of %u. Send the texts of all, in any order.",
               i + 1, codes.count);
        screen.show();
        printf("\033[0m");
        fflush(stdout);
        sleep(SECONDS);
    }
}

int main(int count, char **words)
{
    if (count > 2 || (count == 2 && strcmp(words[1], "-t") != 0)) {
        fprintf(
            stderr,
            "usage: codes [-t] <TEXT   shows it as QR codes on this console, for ever; -t: prints their texts\n");
        return 2;
    }
    if (count == 2)
        print_texts();
    else
        show_all();
    return 0;
}
