// VGA text as the screen of a terminal. The adapter is in text mode already (GRUB on BIOS). It has the
// characters of code page 437, whose printable ASCII is ASCII.
#include "vga.h"

static const u16 attributes[TERMINAL_OWNERS] = {
    [TERMINAL_GUEST] = 0x0700,   // grey on black
    [TERMINAL_MONITOR] = 0x0b00, // light cyan on black
    [TERMINAL_ALERT] = 0x4f00,   // white on red
};

// One store: below a hypervisor each is an exit to it.
typedef u64 __attribute__((may_alias)) vga_grain;

static void vga_draw(void *screen, unsigned row, unsigned column, const terminal_cell *cells, unsigned count)
{
    volatile vga_grain *at = (volatile vga_grain *)screen + (row * VGA_COLUMNS + column) / VGA_GRAIN;
    for (const terminal_cell *end = cells + count; cells < end; at++) {
        u64 value = 0;
        for (unsigned bit = 0; bit < 64; bit += 16, cells++)
            value |= (u64)(attributes[CELL_OWNER(*cells)] | CELL_CHARACTER(*cells)) << bit;
        *at = value;
    }
}

void vga_init(struct terminal *t, volatile u64 *cells)
{
    terminal_init(t, &(struct terminal_screen){VGA_ROWS, VGA_COLUMNS, VGA_GRAIN, vga_draw, (void *)cells});
    for (unsigned row = 0; row < VGA_ROWS; row++)
        vga_draw((void *)cells, row, 0, t->cells[row], VGA_COLUMNS);
}
