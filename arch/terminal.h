// A text terminal as a grid of characters in RAM, which a screen driver (vga.c, framebuffer.c) shows.
// It understands what a serial console of Linux sends: CR, LF, backspace, tabs, and of the ANSI escape
// sequences those that move the cursor and erase; all others are swallowed. No colours, no cursor mark.
#pragma once

#include <arch/types.h>

#define TERMINAL_MAX_COLUMNS 240u
#define TERMINAL_MAX_ROWS    100u
#define TERMINAL_PARAMETERS  2u

// Shows one character (0x20 to 0x7e) at this place. Called only for cells that differ from what is shown.
typedef void terminal_draw_fn(void *screen, unsigned row, unsigned column, u8 character);

struct terminal {
    unsigned rows, columns;
    unsigned row, column; // of the next character; column == columns: the next one wraps first
    terminal_draw_fn *draw;
    void *screen;
    enum terminal_state { TEXT, ESCAPE, ESCAPE_IGNORED, CSI, CSI_IGNORED, STRING } state;
    unsigned parameter[TERMINAL_PARAMETERS]; // of the CSI sequence that is being read; absent: 0
    unsigned parameters;                     // index of the one that is being read, may go past the end
    unsigned dirty_top, dirty_bottom;        // changed cells lie in [top, bottom) x [left, right)
    unsigned dirty_left, dirty_right;
    u8 cells[TERMINAL_MAX_ROWS][TERMINAL_MAX_COLUMNS];
    u8 shown[TERMINAL_MAX_ROWS][TERMINAL_MAX_COLUMNS];
};

// An empty terminal of that size, cut to the largest possible, at least 1 x 1. The driver has blanked the
// screen before.
void terminal_init(struct terminal *t, unsigned rows, unsigned columns, terminal_draw_fn *draw, void *screen);

// Takes bytes as they would go down a serial line, then shows what they changed.
void terminal_write(struct terminal *t, const char *bytes, size_t count);
