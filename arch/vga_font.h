// The glyphs that a VGA adapter shows in text mode.
#pragma once

#include <arch/types.h>

// Changes `count` of them from character `first` on, 16 lines of 8 pixels each: `make` gives those of glyph 0
// and so on. The text stays as it is.
void vga_font_write(unsigned first, unsigned count, void (*make)(unsigned number, u8 lines[16]));
