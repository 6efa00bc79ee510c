// A bitmap font in the PSF format (versions 1 and 2), as the packages of Linux's console fonts have it.
#pragma once

#include <arch/types.h>

struct font {
    const u8 *glyphs;
    u32 count;     // of glyphs
    u32 width;     // of a glyph, in pixels
    u32 height;    // of a glyph, in pixels
    u32 row_bytes; // a row of pixels starts on a byte, its leftmost pixel is bit 7
    u32 glyph_bytes;
};

// Reads the header of `size` bytes at `psf`, which must stay there. ERR_INVALID: not PSF, cut short, fewer
// than 127 glyphs.
int font_parse(struct font *font, const u8 *psf, size_t size) must_check;

// The glyph of an ASCII character. The console fonts have ASCII at its own places, so their Unicode table is
// not needed (tests/host/test_framebuffer.c checks this for the font in use).
static inline const u8 *font_glyph(const struct font *font, u8 character)
{
    return font->glyphs + (size_t)character * font->glyph_bytes;
}
