// Reads PSF headers: version 1 (4 bytes, glyphs 8 wide) and version 2 (32 bytes, any size).
#include "font.h"

#include <arch/lib.h>

#define GLYPHS_NEEDED 127u
#define PSF1_MAGIC    0x0436u
#define PSF1_MODE_512 0x01
#define PSF2_MAGIC    0x864ab572u
#define MAX_SIDE      64u

struct psf1 {
    u16 magic;
    u8 mode;
    u8 glyph_bytes;
};

struct psf2 {
    u32 magic, version, header_bytes, flags;
    u32 count, glyph_bytes, height, width;
};

static size_t parse_psf1(struct font *font, const struct psf1 *h)
{
    *font = (struct font){
        .count = h->mode & PSF1_MODE_512 ? 512 : 256,
        .width = 8,
        .height = h->glyph_bytes,
        .glyph_bytes = h->glyph_bytes,
    };
    return sizeof(*h);
}

static size_t parse_psf2(struct font *font, const struct psf2 *h)
{
    *font = (struct font){
        .count = h->count,
        .width = h->width,
        .height = h->height,
        .glyph_bytes = h->glyph_bytes,
    };
    return h->header_bytes;
}

int font_parse(struct font *font, const u8 *psf, size_t size)
{
    union {
        struct psf1 psf1;
        struct psf2 psf2;
    } header = {0};
    size_t start;
    memcpy(&header, psf, size < sizeof(header) ? size : sizeof(header));
    if (header.psf1.magic == PSF1_MAGIC)
        start = parse_psf1(font, &header.psf1);
    else if (header.psf2.magic == PSF2_MAGIC)
        start = parse_psf2(font, &header.psf2);
    else
        return ERR_INVALID;
    font->row_bytes = (font->width + 7) / 8;
    if (!font->width || font->width > MAX_SIDE || !font->height || font->height > MAX_SIDE ||
        font->glyph_bytes < font->row_bytes * font->height || font->count < GLYPHS_NEEDED)
        return ERR_INVALID;
    if (start > size || (size - start) / font->glyph_bytes < font->count)
        return ERR_INVALID;
    font->glyphs = psf + start;
    return 0;
}
