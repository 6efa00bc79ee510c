// Draws the terminal's characters as glyphs into a linear framebuffer with true colours (Multiboot2
// framebuffer type 1). It only writes: see terminal.c. Setting a mode is GRUB's work.
#include "framebuffer.h"

#define BLACK         0
#define MODULE_PIXELS 4u // a camera tells apart

// Red, green and blue of 255, like VGA's attributes 7, 11 and 4FH.
static const struct {
    u8 foreground[3], background[3];
} colours[TERMINAL_OWNERS] = {
    [TERMINAL_GUEST] = {{0xaa, 0xaa, 0xaa}, {0}},
    [TERMINAL_MONITOR] = {{0x55, 0xff, 0xff}, {0}},
    [TERMINAL_ALERT] = {{0xff, 0xff, 0xff}, {0xaa, 0, 0}},
};

// Pixels in a row, sent 8 bytes at a time: a write-combining processor sends a whole line of its cache at
// once when stores fill it in order (SDM vol. 3, 12.3.1).
struct pen {
    volatile u8 *at;
    u64 pending; // `bytes` of it are waiting, fewer than 8
    unsigned bytes;
};

typedef u64 any_place __attribute__((aligned(1), may_alias));

static void pen_put(struct pen *pen, u32 pixel_bytes, u32 value)
{
    unsigned room = 8 - pen->bytes;
    pen->pending |= (u64)value << 8 * pen->bytes;
    pen->bytes += pixel_bytes;
    if (pen->bytes < 8)
        return;
    *(volatile any_place *)pen->at = pen->pending;
    pen->at += 8;
    pen->bytes -= 8;
    pen->pending = pen->bytes ? (u64)value >> 8 * room : 0;
}

static void pen_up(struct pen *pen)
{
    for (unsigned i = 0; i < pen->bytes; i++)
        pen->at[i] = (u8)(pen->pending >> 8 * i);
}

// One line of pixels of these characters.
static void draw_line(const struct framebuffer *f, volatile u8 *at, u32 y, const terminal_cell *cells,
                      unsigned count)
{
    struct pen pen = {.at = at};
    for (unsigned i = 0; i < count; i++) {
        const u8 *glyph = font_glyph(&f->font, CELL_CHARACTER(cells[i])) + y * f->font.row_bytes;
        u32 lit = f->colours[CELL_OWNER(cells[i])].foreground;
        u32 dark = f->colours[CELL_OWNER(cells[i])].background;
        for (u32 x = 0; x < f->font.width; x++)
            pen_put(&pen, f->pixel_bytes, glyph[x / 8] >> (7 - x % 8) & 1 ? lit : dark);
    }
    pen_up(&pen);
}

static void framebuffer_draw(void *screen, unsigned row, unsigned column, const terminal_cell *cells,
                             unsigned count)
{
    const struct framebuffer *f = screen;
    volatile u8 *line =
        f->pixels + (size_t)row * f->font.height * f->pitch + (size_t)column * f->font.width * f->pixel_bytes;
    for (u32 y = 0; y < f->font.height; y++)
        draw_line(f, line + (size_t)y * f->pitch, y, cells, count);
    asm volatile("sfence" : : : "memory"); // else the last of it may wait in the processor for ever
}

static void blank(const struct framebuffer *f, u32 width, u32 height)
{
    for (u32 y = 0; y < height; y++) {
        struct pen pen = {.at = f->pixels + (size_t)y * f->pitch};
        for (u32 x = 0; x < width; x++)
            pen_put(&pen, f->pixel_bytes, BLACK);
        pen_up(&pen);
    }
}

static bool colour_fits(const struct boot_colour *c, u32 pixel_bytes)
{
    return c->size >= 1 && c->size <= 16 && c->position + c->size <= pixel_bytes * 8;
}

static u32 colour_value(const struct boot_colour *c, u32 of_255)
{
    return of_255 * (u32)(BIT(c->size) - 1) / 255 << c->position;
}

static u32 pixel_value(const struct boot_framebuffer *info, const u8 colour[3])
{
    return colour_value(&info->red, colour[0]) | colour_value(&info->green, colour[1]) |
           colour_value(&info->blue, colour[2]);
}

static bool mode_usable(const struct boot_framebuffer *info, u32 pixel_bytes)
{
    return info->type == BOOT_FRAMEBUFFER_RGB && info->bpp >= 15 && pixel_bytes <= 4 &&
           info->pitch / pixel_bytes >= info->width && colour_fits(&info->red, pixel_bytes) &&
           colour_fits(&info->green, pixel_bytes) && colour_fits(&info->blue, pixel_bytes);
}

int framebuffer_init(struct framebuffer *f, struct terminal *t, const struct boot_framebuffer *info,
                     volatile void *pixels, const u8 *psf, size_t psf_size)
{
    u32 pixel_bytes = (info->bpp + 7u) / 8;
    struct framebuffer made = {
        .pixels = pixels,
        .pitch = info->pitch,
        .pixel_bytes = pixel_bytes,
        .width = info->width,
        .height = info->height,
    };
    int error = font_parse(&made.font, psf, psf_size);
    if (error)
        return error;
    if (!mode_usable(info, pixel_bytes) || info->width < made.font.width || info->height < made.font.height)
        return ERR_INVALID;
    for (unsigned i = 0; i < TERMINAL_OWNERS; i++) {
        made.colours[i].foreground = pixel_value(info, colours[i].foreground);
        made.colours[i].background = pixel_value(info, colours[i].background);
    }
    *f = made;
    blank(f, info->width, info->height);
    terminal_init(t, &(struct terminal_screen){info->height / f->font.height, info->width / f->font.width, 1,
                                               framebuffer_draw, f});
    return 0;
}

static unsigned picture_pixels(const struct framebuffer *f, unsigned rows)
{
    u32 text = rows * f->font.height, left = f->height > text ? f->height - text : 0;
    return left < f->width ? left : f->width;
}

unsigned framebuffer_picture_room(const struct framebuffer *f, unsigned rows)
{
    return picture_pixels(f, rows) / MODULE_PIXELS;
}

// One line of pixels through row `y` of the modules, margins included: `size` pixels for each.
static void picture_line(const struct framebuffer *f, volatile u8 *at, const struct console_picture *p,
                         unsigned y, unsigned size)
{
    struct pen pen = {.at = at};
    u32 light = f->colours[TERMINAL_ALERT].foreground; // white
    for (unsigned x = 0; x < p->side + 2 * p->margin; x++) {
        bool dark = x - p->margin < p->side && y - p->margin < p->side &&
                    p->dark[(y - p->margin) * p->side + x - p->margin];
        for (unsigned i = 0; i < size; i++)
            pen_put(&pen, f->pixel_bytes, dark ? BLACK : light);
    }
    pen_up(&pen);
}

void framebuffer_picture(const struct framebuffer *f, const struct console_picture *picture, unsigned rows)
{
    unsigned all = picture->side + 2 * picture->margin, size = picture_pixels(f, rows) / all;
    volatile u8 *at = f->pixels + (size_t)rows * f->font.height * f->pitch;
    for (unsigned y = 0; y < all * size; y++, at += f->pitch)
        picture_line(f, at, picture, y / size, size);
    asm volatile("sfence" : : : "memory");
}
