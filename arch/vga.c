// VGA text as the screen of a terminal. The adapter is in text mode already (GRUB on BIOS). It has the
// characters of code page 437, whose printable ASCII is ASCII.
#include "vga.h"

#define ATTRIBUTE 0x0700 // grey on black
#define OWN       0x0b00 // the monitor's text: light cyan on black

static void vga_draw(void *screen, unsigned row, unsigned column, const u8 *characters, unsigned count)
{
    volatile u16 *cells = (volatile u16 *)screen + row * VGA_COLUMNS + column;
    for (unsigned i = 0; i < count; i++) {
        bool own = characters[i] & TERMINAL_MARK;
        cells[i] = (own ? OWN : ATTRIBUTE) | (characters[i] & (u8)~TERMINAL_MARK);
    }
}

void vga_init(struct terminal *t, volatile u16 *cells)
{
    for (unsigned i = 0; i < VGA_ROWS * VGA_COLUMNS; i++)
        cells[i] = ATTRIBUTE | ' ';
    terminal_init(t, VGA_ROWS, VGA_COLUMNS, vga_draw, (void *)cells);
}
