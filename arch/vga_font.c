// A VGA adapter in text mode has its glyphs in plane 2 of its memory, 32 bytes for each. The processor
// reaches them where graphics would be, once the planes are no more joined for text; Linux' vgacon has done
// it so on all that is VGA.
#include <arch/io.h>
#include <arch/phys.h>

#include "vga_font.h"

#define SEQUENCER    0x3c4
#define GRAPHICS     0x3ce
#define WINDOW_HPA   0xa0000u
#define GLYPH_STRIDE 32u

struct setting {
    u16 port;
    u8 index, value;
};

static void set(const struct setting *settings, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        outb(settings[i].port, settings[i].index);
        outb(settings[i].port + 1, settings[i].value);
    }
}

// Plane 2 alone, written byte by byte at 0xA0000.
static const struct setting glyphs[] = {
    {SEQUENCER, 0, 1}, // reset while it changes
    {SEQUENCER, 2, 4}, // plane 2
    {SEQUENCER, 4, 7}, // no odd and even addresses
    {SEQUENCER, 0, 3}, {GRAPHICS, 4, 2}, {GRAPHICS, 5, 0}, {GRAPHICS, 6, 0},
};

// Characters and attributes, planes 0 and 1, at 0xB8000.
static const struct setting text[] = {
    {SEQUENCER, 0, 1}, {SEQUENCER, 2, 3},   {SEQUENCER, 4, 3},  {SEQUENCER, 0, 3},
    {GRAPHICS, 4, 0},  {GRAPHICS, 5, 0x10}, {GRAPHICS, 6, 0xe},
};

void vga_font_write(unsigned first, unsigned count, void (*make)(unsigned number, u8 lines[16]))
{
    volatile u8 *at = (volatile u8 *)phys_ptr(WINDOW_HPA) + first * GLYPH_STRIDE;
    u8 lines[16];
    set(glyphs, ARRAY_SIZE(glyphs));
    for (unsigned i = 0; i < count; i++, at += GLYPH_STRIDE) {
        make(i, lines);
        for (unsigned y = 0; y < sizeof(lines); y++)
            at[y] = lines[y];
    }
    set(text, ARRAY_SIZE(text));
}
