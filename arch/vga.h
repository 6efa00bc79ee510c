// VGA text mode 3: 80 x 25 cells of character and attribute, at VGA_TEXT_HPA.
#pragma once

#include <arch/console.h>

#include "terminal.h"

#define VGA_TEXT_HPA 0xb8000u
#define VGA_ROWS     25u
#define VGA_COLUMNS  80u
#define VGA_GRAIN    4u // cells in 8 bytes, written by one store

// A cell shows 2 x 4 modules of a picture by a glyph of ours: half of all patterns have one, and the others
// are shown as the inverse of one.
#define VGA_PICTURE_FIRST  0x80u
#define VGA_PICTURE_GLYPHS 0x80u

// The lines of pixels of glyph `number`.
void vga_picture_glyph(unsigned number, u8 lines[16]);

// How many modules there are below so many rows.
unsigned vga_picture_room(unsigned rows);

// Draws a picture that fits below these rows. The adapter has the glyphs.
void vga_picture(volatile u16 *cells, const struct console_picture *picture, unsigned rows);

// Blanks the cells, VGA_GRAIN of them in each element, and makes them the screen of `t`.
void vga_init(struct terminal *t, volatile u64 *cells);
