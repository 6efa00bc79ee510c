// VGA text mode 3: 80 x 25 cells of character and attribute, at VGA_TEXT_HPA.
#pragma once

#include "terminal.h"

#define VGA_TEXT_HPA 0xb8000u
#define VGA_ROWS     25u
#define VGA_COLUMNS  80u

// Blanks the cells and makes them the screen of `t`.
void vga_init(struct terminal *t, volatile u16 *cells);
