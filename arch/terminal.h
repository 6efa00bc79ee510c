// A text terminal as a grid of characters in RAM, which a screen driver (vga.c, framebuffer.c) shows.
// It understands what a serial console of Linux sends: CR, LF, backspace, tabs, and of the ANSI escape
// sequences those that move the cursor and erase; all others are swallowed. No colours, no cursor mark. Where
// a line of the monitor's is longer than the screen is wide, it breaks between words; a guest's is as it
// comes.
#pragma once

#include <arch/types.h>

#define TERMINAL_MAX_COLUMNS 240u
#define TERMINAL_MAX_ROWS    100u
#define TERMINAL_PARAMETERS  2u

// Whose text it is. A screen must show all differently; nothing that is written changes it.
// TERMINAL_ALERT: the monitor's as well, of what a person must read.
enum terminal_owner { TERMINAL_GUEST, TERMINAL_MONITOR, TERMINAL_ALERT, TERMINAL_OWNERS };

// A character (0x20 to 0x7e) and its owner.
typedef u16 terminal_cell;
#define TERMINAL_CELL(character, owner) ((terminal_cell)((character) | (owner) << 8))
#define CELL_CHARACTER(cell)            ((u8)(cell))
#define CELL_OWNER(cell)                ((enum terminal_owner)((cell) >> 8))

// Shows `count` cells in a row, from this column on: both are multiples of the screen's grain.
typedef void terminal_draw_fn(void *screen, unsigned row, unsigned column, const terminal_cell *cells,
                              unsigned count);

// What a driver gives the terminal.
struct terminal_screen {
    unsigned rows, columns;
    unsigned grain; // cells that are sent in one go: drawn together if one of them has changed
    terminal_draw_fn *draw;
    void *screen; // its first argument
};

struct terminal {
    unsigned rows, columns, grain;
    unsigned row, column; // of the next character; column == columns: the next one wraps first
    terminal_draw_fn *draw;
    void *screen;
    enum terminal_state { TEXT, ESCAPE, ESCAPE_IGNORED, CSI, CSI_IGNORED, STRING } state;
    unsigned parameter[TERMINAL_PARAMETERS]; // of the CSI sequence that is being read; absent: 0
    unsigned parameters;                     // index of the one that is being read, may go past the end
    unsigned dirty_top, dirty_bottom;        // changed cells lie in [top, bottom) x [left, right)
    unsigned dirty_left, dirty_right;
    enum terminal_owner owner;   // of what is written
    bool own[TERMINAL_MAX_ROWS]; // text of the monitor's may stand in the row
    terminal_cell cells[TERMINAL_MAX_ROWS][TERMINAL_MAX_COLUMNS];
    terminal_cell shown[TERMINAL_MAX_ROWS][TERMINAL_MAX_COLUMNS];
};

// An empty terminal on this screen, cut to the largest possible, at least 1 x 1. The driver has blanked the
// screen before. The columns are a multiple of the grain.
void terminal_init(struct terminal *t, const struct terminal_screen *screen);

// Who writes from now on. Where the guest changes a row in which text of the monitor's stands, the whole row
// is the guest's.
void terminal_set_owner(struct terminal *t, enum terminal_owner owner);

// Blank, with the cursor in its first cell; the next terminal_show draws all cells, whatever has been drawn
// on the screen meanwhile.
void terminal_clear(struct terminal *t);

// Takes bytes as they would go down a serial line. The screen stays as it is.
void terminal_write(struct terminal *t, const char *bytes, size_t count);

// Draws what has changed since the last call, and nothing else.
void terminal_show(struct terminal *t);
