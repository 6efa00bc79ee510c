// Draws the terminal's characters as glyphs into a linear framebuffer with true colours (Multiboot2
// framebuffer type 1). It only writes: see terminal.c. Setting a mode is GRUB's work.
#include "framebuffer.h"

#define BACKGROUND 0
#define GREY       0xaa // of 255, like VGA's attribute 7
#define CYAN_RED   0x55 // the monitor's text, like VGA's attribute 11: with all of green and blue

static void put_pixel(volatile u8 *at, u32 pixel_bytes, u32 value)
{
    switch (pixel_bytes) {
    case 4:
        *(volatile u32 *)at = value;
        break;
    case 3:
        at[0] = (u8)value;
        at[1] = (u8)(value >> 8);
        at[2] = (u8)(value >> 16);
        break;
    default:
        *(volatile u16 *)at = (u16)value;
    }
}

static void framebuffer_draw(void *screen, unsigned row, unsigned column, u8 character)
{
    const struct framebuffer *f = screen;
    const u8 *glyph = font_glyph(&f->font, character & (u8)~TERMINAL_MARK);
    u32 lit = character & TERMINAL_MARK ? f->own : f->foreground;
    volatile u8 *line =
        f->pixels + (size_t)row * f->font.height * f->pitch + (size_t)column * f->font.width * f->pixel_bytes;
    for (u32 y = 0; y < f->font.height; y++) {
        for (u32 x = 0; x < f->font.width; x++) {
            bool set = glyph[x / 8] >> (7 - x % 8) & 1;
            put_pixel(line + x * f->pixel_bytes, f->pixel_bytes, set ? lit : BACKGROUND);
        }
        glyph += f->font.row_bytes;
        line += f->pitch;
    }
}

static void blank(const struct framebuffer *f, u32 width, u32 height)
{
    for (u32 y = 0; y < height; y++) {
        for (u32 x = 0; x < width; x++)
            put_pixel(f->pixels + (size_t)y * f->pitch + x * f->pixel_bytes, f->pixel_bytes, BACKGROUND);
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
    };
    int error = font_parse(&made.font, psf, psf_size);
    if (error)
        return error;
    if (!mode_usable(info, pixel_bytes) || info->width < made.font.width || info->height < made.font.height)
        return ERR_INVALID;
    made.foreground =
        colour_value(&info->red, GREY) | colour_value(&info->green, GREY) | colour_value(&info->blue, GREY);
    made.own =
        colour_value(&info->red, CYAN_RED) | colour_value(&info->green, 255) | colour_value(&info->blue, 255);
    *f = made;
    blank(f, info->width, info->height);
    terminal_init(t, info->height / f->font.height, info->width / f->font.width, framebuffer_draw, f);
    return 0;
}
