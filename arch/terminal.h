// A text terminal as a grid of characters in RAM, which a screen driver (vga.c, framebuffer.c) shows.
// It understands what a serial console of Linux sends: CR, LF, backspace, tabs, and of the ANSI escape
// sequences those that move the cursor and erase; all others are swallowed. No colours, no cursor mark.
#pragma once

#include <arch/types.h>

#define TERMINAL_MAX_COLUMNS 240u
#define TERMINAL_MAX_ROWS    100u
#define TERMINAL_PARAMETERS  2u

// Whose text it is. A screen must show both differently; nothing that is written changes it.
enum terminal_owner { TERMINAL_GUEST, TERMINAL_MONITOR };
#define TERMINAL_MARK 0x80 // of a cell with the monitor's text

// Shows `count` characters (0x20 to 0x7e, of the monitor's with TERMINAL_MARK) in a row, from this column on.
// Called only for cells that differ from what is shown.
typedef void terminal_draw_fn(void *screen, unsigned row, unsigned column, const u8 *characters,
                              unsigned count);

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
    u8 mark;                     // of what is written: 0 or TERMINAL_MARK
    bool own[TERMINAL_MAX_ROWS]; // text of the monitor's may stand in the row
    u8 cells[TERMINAL_MAX_ROWS][TERMINAL_MAX_COLUMNS];
    u8 shown[TERMINAL_MAX_ROWS][TERMINAL_MAX_COLUMNS];
};

// An empty terminal of that size, cut to the largest possible, at least 1 x 1. The driver has blanked the
// screen before.
void terminal_init(struct terminal *t, unsigned rows, unsigned columns, terminal_draw_fn *draw, void *screen);

// Who writes from now on. Where the guest changes a row in which text of the monitor's stands, the whole row
// is the guest's.
void terminal_set_owner(struct terminal *t, enum terminal_owner owner);

// Takes bytes as they would go down a serial line, then shows what they changed.
void terminal_write(struct terminal *t, const char *bytes, size_t count);
