// A picture on a VGA text screen: cells of 2 x 4 modules, in glyphs made for them. See vga.h.
#include "vga.h"

#define DARK_ON_LIGHT 0x7000u
#define LIGHT_ON_DARK 0x0700u
#define CELL_WIDTH    2u // in modules
#define CELL_HEIGHT   4u
#define COLUMN        0xfu // the modules of a column, bit 0 the highest

// A cell is 9 pixels wide, a glyph 8: the ninth column is background. So the glyphs are the patterns whose
// right column is light for the most part. The inverses, whose background is dark, are the others.
static const u8 right_columns[8] = {0, 1, 2, 4, 8, 3, 5, 6};

void vga_picture_glyph(unsigned number, u8 lines[16])
{
    unsigned left = number & COLUMN, right = right_columns[number >> CELL_HEIGHT];
    for (unsigned y = 0; y < 16; y++)
        lines[y] = (u8)((left >> y / 4 & 1 ? 0xf0 : 0) | (right >> y / 4 & 1 ? 0x0f : 0));
}

unsigned vga_picture_room(unsigned rows)
{
    return (VGA_ROWS - rows) * CELL_HEIGHT;
}

static unsigned is_dark(const struct console_picture *p, unsigned x, unsigned y)
{
    unsigned column = x - p->margin, row = y - p->margin; // huge in the margin before it
    return column < p->side && row < p->side ? p->dark[row * p->side + column] : 0;
}

static unsigned picture_column(const struct console_picture *p, unsigned x, unsigned y)
{
    unsigned column = 0;
    for (unsigned i = 0; i < CELL_HEIGHT; i++)
        column |= is_dark(p, x, y + i) << i;
    return column;
}

// The index of a right column, or how many there are.
static unsigned right_find(unsigned column)
{
    unsigned i = 0;
    while (i < ARRAY_SIZE(right_columns) && right_columns[i] != column)
        i++;
    return i;
}

static u16 picture_cell(const struct console_picture *p, unsigned x, unsigned y)
{
    unsigned left = picture_column(p, x, y), right = picture_column(p, x + 1, y);
    unsigned index = right_find(right);
    if (index < ARRAY_SIZE(right_columns))
        return (u16)(DARK_ON_LIGHT | (VGA_PICTURE_FIRST + (index << CELL_HEIGHT) + left));
    index = right_find(right ^ COLUMN);
    return (u16)(LIGHT_ON_DARK | (VGA_PICTURE_FIRST + (index << CELL_HEIGHT) + (left ^ COLUMN)));
}

void vga_picture(volatile u16 *cells, const struct console_picture *picture, unsigned rows)
{
    unsigned all = picture->side + 2 * picture->margin;
    for (unsigned y = 0; y < all; y += CELL_HEIGHT) {
        volatile u16 *row = cells + (rows + y / CELL_HEIGHT) * VGA_COLUMNS;
        for (unsigned x = 0; x < all; x += CELL_WIDTH)
            row[x / CELL_WIDTH] = picture_cell(picture, x, y);
    }
}
