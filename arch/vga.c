// VGA text as the screen of a terminal. The adapter is in text mode already (GRUB on BIOS). It has the
// characters of code page 437, whose printable ASCII is ASCII.
#include "vga.h"

static const u16 attributes[TERMINAL_OWNERS] = {
    [TERMINAL_GUEST] = 0x0700,   // grey on black
    [TERMINAL_MONITOR] = 0x0b00, // light cyan on black
    [TERMINAL_ALERT] = 0x4f00,   // white on red
};

static void vga_draw(void *screen, unsigned row, unsigned column, const terminal_cell *cells, unsigned count)
{
    volatile u16 *at = (volatile u16 *)screen + row * VGA_COLUMNS + column;
    for (unsigned i = 0; i < count; i++)
        at[i] = attributes[CELL_OWNER(cells[i])] | CELL_CHARACTER(cells[i]);
}

void vga_init(struct terminal *t, volatile u16 *cells)
{
    for (unsigned i = 0; i < VGA_ROWS * VGA_COLUMNS; i++)
        cells[i] = attributes[TERMINAL_GUEST] | ' ';
    terminal_init(t, VGA_ROWS, VGA_COLUMNS, vga_draw, (void *)cells);
}
