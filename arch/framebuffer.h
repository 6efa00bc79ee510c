// A linear framebuffer as the screen of a terminal.
#pragma once

#include <arch/console.h>
#include <arch/multiboot2.h>

#include "font.h"
#include "terminal.h"

struct framebuffer {
    volatile u8 *pixels;
    u32 pitch; // bytes from one line of pixels to the next
    u32 pixel_bytes;
    u32 width, height;
    struct {
        u32 foreground, background; // pixel values
    } colours[TERMINAL_OWNERS];
    struct font font;
};

// Blanks the framebuffer, whose first pixel the processor reaches at `pixels`, and makes it the screen of
// `t`. `psf` stays in use. ERR_INVALID: not RGB, a depth other than 15, 16, 24 or 32 bits, a pitch shorter
// than a line, a screen smaller than a character, colours beyond the pixel, or a bad font; nothing is changed
// then.
int framebuffer_init(struct framebuffer *f, struct terminal *t, const struct boot_framebuffer *info,
                     volatile void *pixels, const u8 *psf, size_t psf_size) must_check;

// How many modules a picture may have that fits below so many rows of characters, and that a camera reads.
unsigned framebuffer_picture_room(const struct framebuffer *f, unsigned rows);

// Draws a picture that fits below these rows, as large as it can be.
void framebuffer_picture(const struct framebuffer *f, const struct console_picture *picture, unsigned rows);
