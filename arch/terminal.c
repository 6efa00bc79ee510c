// The text terminal of terminal.h: a byte-wise state machine over a grid of cells. Screens are only ever
// written, cell by cell and only where something changed: reading a framebuffer back, to scroll it, would
// cost an uncached access per pixel.
#include "terminal.h"

#include <arch/lib.h>

#define TAB      8u
#define NO_GLYPH '?' // for a character beyond ASCII

#define BLANK TERMINAL_CELL(' ', TERMINAL_GUEST)

static unsigned min(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static void mark_dirty(struct terminal *t, unsigned top, unsigned bottom, unsigned left, unsigned right)
{
    t->dirty_top = min(t->dirty_top, top);
    t->dirty_left = min(t->dirty_left, left);
    if (bottom > t->dirty_bottom)
        t->dirty_bottom = bottom;
    if (right > t->dirty_right)
        t->dirty_right = right;
}

static void mark_clean(struct terminal *t)
{
    t->dirty_top = t->rows;
    t->dirty_left = t->columns;
    t->dirty_bottom = t->dirty_right = 0;
}

// What the guest has had a hand in is not the monitor's any more: it could have taken a "not" out of a
// sentence.
static void own_row(struct terminal *t, unsigned row)
{
    if (t->owner != TERMINAL_GUEST || !t->own[row])
        return;
    t->own[row] = false;
    for (unsigned column = 0; column < t->columns; column++) {
        if (CELL_OWNER(t->cells[row][column]) == TERMINAL_GUEST)
            continue;
        t->cells[row][column] = TERMINAL_CELL(CELL_CHARACTER(t->cells[row][column]), TERMINAL_GUEST);
        mark_dirty(t, row, row + 1, column, column + 1);
    }
}

static void erase(struct terminal *t, unsigned row, unsigned from, unsigned to)
{
    own_row(t, row);
    for (unsigned column = from; column < to; column++)
        t->cells[row][column] = BLANK;
    mark_dirty(t, row, row + 1, from, to);
}

static void line_feed(struct terminal *t)
{
    if (t->row + 1 < t->rows) {
        t->row++;
        return;
    }
    memmove(t->cells[0], t->cells[1], (t->rows - 1) * sizeof(t->cells[0]));
    memmove(t->own, t->own + 1, (t->rows - 1) * sizeof(t->own[0]));
    mark_dirty(t, 0, t->rows, 0, t->columns);
    erase(t, t->rows - 1, 0, t->columns);
}

// The length of the monitor's word that fills the row's end, if the row begins with something else.
static unsigned last_word(const struct terminal *t)
{
    const terminal_cell *row = t->cells[t->row];
    unsigned start = t->columns;
    while (start && CELL_OWNER(row[start - 1]) != TERMINAL_GUEST && CELL_CHARACTER(row[start - 1]) != ' ')
        start--;
    return start && CELL_OWNER(row[start - 1]) != TERMINAL_GUEST ? t->columns - start : 0;
}

// The row is full and text goes on: so does the word that stands at its end.
static void wrap(struct terminal *t, u8 next)
{
    terminal_cell word[TERMINAL_MAX_COLUMNS];
    unsigned count = t->owner != TERMINAL_GUEST && next != ' ' ? last_word(t) : 0;
    memcpy(word, t->cells[t->row] + t->columns - count, count * sizeof(*word));
    erase(t, t->row, t->columns - count, t->columns);
    line_feed(t);
    memcpy(t->cells[t->row], word, count * sizeof(*word));
    mark_dirty(t, t->row, t->row + 1, 0, count);
    t->column = count;
}

static void put_character(struct terminal *t, u8 character)
{
    if (t->column == t->columns) {
        wrap(t, character);
        if (character == ' ' && t->owner != TERMINAL_GUEST)
            return;
    }
    own_row(t, t->row);
    t->own[t->row] |= t->owner != TERMINAL_GUEST;
    t->cells[t->row][t->column] = TERMINAL_CELL(character, t->owner);
    mark_dirty(t, t->row, t->row + 1, t->column, t->column + 1);
    t->column++;
}

static void take_control(struct terminal *t, u8 byte)
{
    switch (byte) {
    case '\r':
        t->column = 0;
        break;
    case '\n':
    case '\v':
    case '\f':
        line_feed(t);
        break;
    case '\b':
        t->column = min(t->column, t->columns - 1);
        t->column -= t->column > 0;
        break;
    case '\t':
        t->column = min((t->column / TAB + 1) * TAB, t->columns - 1);
        break;
    case 0x1b:
        t->state = ESCAPE;
        break;
    case 0x18: // CAN and SUB end a sequence
    case 0x1a:
        t->state = TEXT;
        break;
    }
}

static unsigned count_of(const struct terminal *t)
{
    return t->parameter[0] ? t->parameter[0] : 1;
}

static void cursor_up(struct terminal *t)
{
    t->row -= min(count_of(t), t->row);
}

static void cursor_down(struct terminal *t)
{
    t->row += min(count_of(t), t->rows - 1 - t->row);
}

static void cursor_right(struct terminal *t)
{
    t->column = min(t->column, t->columns - 1);
    t->column += min(count_of(t), t->columns - 1 - t->column);
}

static void cursor_left(struct terminal *t)
{
    t->column = min(t->column, t->columns - 1);
    t->column -= min(count_of(t), t->column);
}

static void cursor_to(struct terminal *t)
{
    t->row = min(count_of(t), t->rows) - 1;
    t->column = min(t->parameter[1] ? t->parameter[1] : 1, t->columns) - 1;
}

// The parameter of both erasures: 0 from the cursor on, 1 up to and with the cursor, 2 (and 3) everything.
static void erase_in_line(struct terminal *t)
{
    unsigned at = min(t->column, t->columns - 1);
    erase(t, t->row, t->parameter[0] ? 0 : at, t->parameter[0] == 1 ? at + 1 : t->columns);
}

static void erase_in_display(struct terminal *t)
{
    for (unsigned row = t->parameter[0] ? 0 : t->row + 1; row < (t->parameter[0] == 1 ? t->row : t->rows);
         row++)
        erase(t, row, 0, t->columns);
    erase_in_line(t);
}

static const struct {
    char final;
    void (*run)(struct terminal *t);
} sequences[] = {
    {'A', cursor_up}, {'B', cursor_down}, {'C', cursor_right},     {'D', cursor_left},
    {'H', cursor_to}, {'f', cursor_to},   {'J', erase_in_display}, {'K', erase_in_line},
};

static void run_sequence(struct terminal *t, u8 final)
{
    for (size_t i = 0; i < ARRAY_SIZE(sequences); i++) {
        if (sequences[i].final == final)
            sequences[i].run(t);
    }
}

// ECMA-48, 5.4: parameter bytes 30-3f, intermediate bytes 20-2f, a final byte 40-7e. A private marker (3c-3f)
// or an intermediate makes it a sequence that is not in the table above.
static void take_csi(struct terminal *t, u8 byte)
{
    if (byte >= '0' && byte <= '9') {
        if (t->parameters < TERMINAL_PARAMETERS)
            t->parameter[t->parameters] = min(t->parameter[t->parameters] * 10 + (byte - '0'), 9999);
    } else if (byte == ';') {
        t->parameters++;
    } else if (byte < 0x40) {
        t->state = CSI_IGNORED;
    } else {
        t->state = TEXT;
        run_sequence(t, byte);
    }
}

static void take_escape(struct terminal *t, u8 byte)
{
    static const char strings[] = "]PX^_"; // OSC, DCS, SOS, PM, APC: text up to BEL or ESC backslash
    if (byte == '[') {
        t->state = CSI;
        t->parameters = 0;
        memset(t->parameter, 0, sizeof(t->parameter));
    } else if (strchr(strings, byte)) {
        t->state = STRING;
    } else {
        t->state = byte < 0x30 ? ESCAPE_IGNORED : TEXT;
    }
}

static void take_printable(struct terminal *t, u8 byte)
{
    if (byte < 0x7f)
        put_character(t, byte);
    else if (byte >= 0xc0) // the first byte of a UTF-8 character; its others (80-bf) show nothing
        put_character(t, NO_GLYPH);
}

static void take_byte(struct terminal *t, u8 byte)
{
    if (byte < 0x20) {
        if (t->state == STRING)
            t->state = TEXT; // BEL; and noise that looked like a string ends with its line at the latest
        take_control(t, byte);
        return;
    }
    switch (t->state) {
    case TEXT:
        take_printable(t, byte);
        break;
    case ESCAPE:
        take_escape(t, byte);
        break;
    case CSI:
        take_csi(t, byte);
        break;
    case ESCAPE_IGNORED:
    case CSI_IGNORED:
        if (byte >= (t->state == CSI_IGNORED ? 0x40 : 0x30))
            t->state = TEXT;
        break;
    case STRING:
        break;
    }
}

// How many cells from this one on are not as they are shown, in whole grains.
static unsigned changed_cells(const struct terminal *t, unsigned row, unsigned column)
{
    unsigned end = column;
    size_t bytes = t->grain * sizeof(terminal_cell);
    while (end < t->dirty_right && memcmp(&t->cells[row][end], &t->shown[row][end], bytes) != 0)
        end += t->grain;
    return end - column;
}

static void show_row(struct terminal *t, unsigned row)
{
    unsigned column = t->dirty_left / t->grain * t->grain;
    for (unsigned count; column < t->dirty_right; column += count + t->grain) {
        count = changed_cells(t, row, column);
        if (!count)
            continue;
        memcpy(t->shown[row] + column, t->cells[row] + column, count * sizeof(terminal_cell));
        t->draw(t->screen, row, column, t->cells[row] + column, count);
    }
}

void terminal_show(struct terminal *t)
{
    for (unsigned row = t->dirty_top; row < t->dirty_bottom; row++)
        show_row(t, row);
    mark_clean(t);
}

void terminal_init(struct terminal *t, const struct terminal_screen *screen)
{
    memset(t, 0, sizeof(*t));
    for (unsigned column = 0; column < TERMINAL_MAX_COLUMNS; column++)
        t->cells[0][column] = BLANK;
    for (unsigned row = 0; row < TERMINAL_MAX_ROWS; row++) {
        memmove(t->cells[row], t->cells[0], sizeof(t->cells[0]));
        memcpy(t->shown[row], t->cells[0], sizeof(t->cells[0]));
    }
    t->rows = screen->rows ? min(screen->rows, TERMINAL_MAX_ROWS) : 1;
    t->columns = screen->columns ? min(screen->columns, TERMINAL_MAX_COLUMNS) : 1;
    t->grain = screen->grain;
    t->draw = screen->draw;
    t->screen = screen->screen;
    mark_clean(t);
}

void terminal_clear(struct terminal *t)
{
    memset(t->shown, 0xff, sizeof(t->shown)); // no cell is that: all are drawn
    terminal_set_owner(t, TERMINAL_GUEST);
    for (unsigned row = 0; row < t->rows; row++)
        erase(t, row, 0, t->columns);
    memset(t->own, 0, sizeof(t->own));
    t->row = t->column = 0;
    t->state = TEXT;
}

void terminal_set_owner(struct terminal *t, enum terminal_owner owner)
{
    t->owner = owner;
}

void terminal_write(struct terminal *t, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        take_byte(t, (u8)bytes[i]);
}
