// The terminal as the serial line and the screen see it, on VGA cells in an array.
// link: arch/guest_stream.c arch/terminal.c arch/vga.c
#include "support.h"

#include "arch/guest_stream.h"
#include "arch/vga.h"

#define GUARD 0xdead

static u16 cells[VGA_ROWS * VGA_COLUMNS + 1] __attribute__((aligned(8)));
static struct terminal terminal;

static int start(void **state)
{
    (void)state;
    memset(cells, 0xff, sizeof(cells));
    cells[VGA_ROWS * VGA_COLUMNS] = GUARD;
    vga_init(&terminal, (u64 *)cells);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    return cells[VGA_ROWS * VGA_COLUMNS] == GUARD ? 0 : -1;
}

static void send(const char *bytes)
{
    terminal_write(&terminal, bytes, strlen(bytes));
    terminal_show(&terminal);
}

static u16 row_attribute = 0x07;

// The text of a row without the blanks at its end.
static const char *row(unsigned number)
{
    static char text[VGA_COLUMNS + 1];
    unsigned length = 0;
    for (unsigned i = 0; i < VGA_COLUMNS; i++) {
        u16 cell = cells[number * VGA_COLUMNS + i];
        assert_int_equal(cell >> 8, row_attribute);
        text[i] = (char)cell;
        if (text[i] != ' ')
            length = i + 1;
    }
    text[length] = 0;
    return text;
}

static void starts_blank(void **state)
{
    (void)state;
    for (unsigned i = 0; i < VGA_ROWS; i++)
        assert_string_equal(row(i), "");
}

static void control_characters(void **state)
{
    (void)state;
    send("one\r\ntwo\nthree\rT\r\na\tb\tc\r\nabc\b\bX\r\nab\b\b\b\bY\a");
    assert_string_equal(row(0), "one");
    assert_string_equal(row(1), "two");
    assert_string_equal(row(2), "T  three");
    assert_string_equal(row(3), "a       b       c");
    assert_string_equal(row(4), "aXc");
    assert_string_equal(row(5), "Yb");
}

static void long_lines_wrap_late(void **state)
{
    (void)state;
    char line[VGA_COLUMNS + 1];
    memset(line, 'x', VGA_COLUMNS);
    line[VGA_COLUMNS] = 0;
    send(line);
    send("\r\nnext"); // a full line and its end are one line
    assert_string_equal(row(0), line);
    assert_string_equal(row(1), "next");
    send("\r\n");
    send(line);
    send("y\r\nz");
    assert_string_equal(row(2), line);
    assert_string_equal(row(3), "y");
    assert_string_equal(row(4), "z");
    send("\r\n");
    send(line);
    send("\t\bB"); // a tab stays in the last column
    line[VGA_COLUMNS - 2] = 'B';
    assert_string_equal(row(5), line);
}

static void scrolls(void **state)
{
    (void)state;
    char text[16];
    for (unsigned i = 0; i < 100; i++) {
        fmt(text, sizeof(text), "%sline %u", i ? "\r\n" : "", i);
        send(text);
    }
    for (unsigned i = 0; i < VGA_ROWS; i++) {
        fmt(text, sizeof(text), "line %u", 100 - VGA_ROWS + i);
        assert_string_equal(row(i), text);
    }
    send("\r\n");
    assert_string_equal(row(VGA_ROWS - 1), "");
    assert_string_equal(row(VGA_ROWS - 2), "line 99");
}

static void colours_and_unknown_sequences_vanish(void **state)
{
    (void)state;
    send("\033[1;31mred\033[0m \033[?25lhide\033[6n \033(Bset\033)0 \033]0;title\alike "
         "\033]8;;x\033\\this\033=\033>");
    assert_string_equal(row(0), "red hide set like this");
    send("\r\n\033[38;2;1;2;3;4;5;6;7;8mmany\033[ q\033[!p\033[>c.\033[999999999999999999mx\033#8\033%G");
    assert_string_equal(row(1), "many.x");
    send("\r\n\033[12\030can\033[1\033[0mesc");
    assert_string_equal(row(2), "canesc");
    send("\033Pnoise\nx\rc\303\244t \342\224\200"); // UTF-8
    assert_string_equal(row(3), "c?t ? x");         // the x is where the line feed left it
}

static void cursor_moves(void **state)
{
    (void)state;
    send("abcdef\033[3DX\033[CY\033[99D<\033[2;5Hhere\033[;3f^\033[A\033[3Bdown\033[HH");
    assert_string_equal(row(0), "Hb^XeY");
    assert_string_equal(row(1), "    here");
    assert_string_equal(row(3), "   down");
    send("\033[99;99H#\033[1;1H\033[99B\033[99CZ");
    assert_int_equal((char)cells[VGA_ROWS * VGA_COLUMNS - 1], 'Z');
    send("\033[99A\033[D@");
    assert_int_equal((char)cells[VGA_COLUMNS - 2], '@');
}

static void erasing(void **state)
{
    (void)state;
    send("one\r\ntwo\r\nthree\r\nfour\033[3;3H\033[K");
    assert_string_equal(row(2), "th");
    send("\033[2;2H\033[1K");
    assert_string_equal(row(1), "  o");
    send("\033[3;1Hthree\033[3;2H\033[J");
    assert_string_equal(row(0), "one");
    assert_string_equal(row(2), "t");
    assert_string_equal(row(3), "");
    send("\033[3;3Hree\033[2;3H\033[1J");
    assert_string_equal(row(0), "");
    assert_string_equal(row(1), "");
    assert_string_equal(row(2), "t ree");
    send("\033[2J\033[Hnew");
    assert_string_equal(row(0), "new");
    assert_string_equal(row(2), "");
    send("\033[2K");
    assert_string_equal(row(0), "");
}

// Any bytes, in any pieces: nothing outside the cells, always printable, and what is shown is what is stored.
static void survives_anything(void **state)
{
    (void)state;
    static const char likely[] = "\033[;0123456789ABCDHJK\r\n\b\t]P\a?a \\";
    for (unsigned round = 0; round < 20000; round++) {
        char bytes[40];
        size_t count = random_below(sizeof(bytes));
        for (size_t i = 0; i < count; i++)
            bytes[i] = random_below(4) ? likely[random_below(sizeof(likely) - 1)] : (char)random_u64();
        terminal_write(&terminal, bytes, count);
        if (random_below(4) == 0)
            terminal_show(&terminal);
        assert_true(terminal.row < VGA_ROWS && terminal.column <= VGA_COLUMNS);
    }
    terminal_show(&terminal);
    for (unsigned i = 0; i < VGA_ROWS * VGA_COLUMNS; i++) {
        assert_in_range((u8)cells[i], 0x20, 0x7e);
        assert_int_equal((u8)cells[i], terminal.cells[i / VGA_COLUMNS][i % VGA_COLUMNS]);
        assert_int_equal(cells[i] >> 8, 0x07); // a guest has no other colour
    }
}

static struct guest_stream stream;

// The guest sends; then the monitor says a line, as console.c does.
static void guest_then_monitor(const char *guest, const char *monitor)
{
    terminal_set_owner(&terminal, TERMINAL_GUEST);
    for (const char *c = guest; *c; c++)
        guest_stream_take(&stream, (u8)*c);
    send(guest);
    terminal_set_owner(&terminal, TERMINAL_MONITOR);
    send(guest_stream_end(&stream));
    send(monitor);
    send("\r\n");
    terminal_set_owner(&terminal, TERMINAL_GUEST);
}

// The row in which the text stands alone, in the monitor's colour; the last one.
static unsigned own_row_of(const char *text)
{
    unsigned found = VGA_ROWS;
    row_attribute = 0x0b;
    for (unsigned i = 0; i < VGA_ROWS; i++) {
        size_t length = strlen(text);
        bool same = true;
        for (unsigned c = 0; c < VGA_COLUMNS; c++) {
            u16 cell = cells[i * VGA_COLUMNS + c];
            same &= c < length ? cell == (0x0b00 | (u8)text[c]) : (u8)cell == ' ';
        }
        found = same ? i : found;
    }
    row_attribute = 0x07;
    return found;
}

// Whatever the guest has left open or moved, the monitor's line stands alone in a row, below all else.
static void monitor_after_anything(void **state)
{
    (void)state;
    static const char *const left[] = {
        "plain\r\n",
        "an open line",
        "an open line\r",
        "[penumbra] error: \b\b",
        "\n",
        "\033",
        "\033[",
        "\033[12;",
        "\033[?",
        "\033]0;title",
        "\033P1$q",
        "\033_x",
        "\033(",
        "\033[H",
        "row\033[5;20Hin the middle\033[A",
        "\033[99;99H#",
        "\033[2J\033[10;70H",
        "\016line drawing",
    };
    for (unsigned i = 0; i < ARRAY_SIZE(left); i++) {
        guest_then_monitor(left[i], "[penumbra 0123456789ab] the guest has ended");
        unsigned at = own_row_of("[penumbra 0123456789ab] the guest has ended");
        assert_in_range(at, 0, VGA_ROWS - 1);
        for (unsigned below = at + 1; below < VGA_ROWS; below++)
            assert_string_equal(row(below), "");
    }
}

// Plain text in whole lines leaves nothing between, an open line only its end.
static void monitor_after_text(void **state)
{
    (void)state;
    static const struct {
        const char *sent, *end;
    } cases[] = {{"", ""},         {"text\r\n", ""}, {"\ttext\b\r\n", ""},
                 {"text\n", "\r"}, {"text", "\r\n"}, {"text\r", "\r\n"}};
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        for (const char *c = cases[i].sent; *c; c++)
            guest_stream_take(&stream, (u8)*c);
        assert_string_equal(guest_stream_end(&stream), cases[i].end);
        assert_string_equal(guest_stream_end(&stream), ""); // it is at the beginning now
    }
    static const u8 altering[] = {0x1b, 0x0e, 0x0f, 0x9b, 0x90};
    for (unsigned i = 0; i < ARRAY_SIZE(altering); i++) {
        guest_stream_take(&stream, altering[i]);
        guest_stream_take(&stream, '\r');
        guest_stream_take(&stream, '\n');
        const char *end = guest_stream_end(&stream);
        assert_int_equal(end[0], 0x18); // CAN: no sequence is open
        assert_string_equal(end + strlen(end) - 2, "\r\n");
    }
}

// A guest that goes back to the monitor's line can change it, but then the line is not the monitor's any
// more.
static void guest_takes_a_row(void **state)
{
    (void)state;
    static const char *const changes[] = {"\033[1;15H\033[K", "\033[1;1H\033[1K", "\033[H\033[12Cx",
                                          "\033[H\033[J"};
    for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
        send("\033[2J\033[H");
        guest_then_monitor("", "[penumbra] not well");
        assert_int_equal(own_row_of("[penumbra] not well"), 0);
        send(changes[i]);
        row(0); // all of it in the guest's colour
    }
}

static unsigned draws, grain;
static void count_draw(void *screen, unsigned r, unsigned column, const terminal_cell *characters,
                       unsigned count)
{
    (void)screen, (void)characters;
    assert_true(column % grain == 0 && count && count % grain == 0);
    assert_true(r < VGA_ROWS && column + count <= VGA_COLUMNS);
    draws += count;
}

static void counting_screen(unsigned cells_at_once)
{
    grain = cells_at_once;
    draws = 0;
    terminal_init(&terminal, &(struct terminal_screen){VGA_ROWS, VGA_COLUMNS, grain, count_draw, NULL});
}

static void draws_only_what_changed(void **state)
{
    (void)state;
    counting_screen(1);
    send("ab\r\nac\033[25;1H");
    assert_int_equal(draws, 4);
    send("\n"); // scrolls: b becomes c, "ac" below becomes blank
    assert_int_equal(draws, 4 + 3);
    send("\033[5;5Hx\bx\b \b"); // as it is shown, in between not
    terminal_show(&terminal);
    assert_int_equal(draws, 4 + 3);
}

// Cells that go out together: those of a grain in which one has changed, no others, and none twice.
static void draws_whole_grains(void **state)
{
    (void)state;
    counting_screen(4);
    send("a\033[1;4Hb"); // both in the first four
    assert_int_equal(draws, 4);
    send("\033[1;4Hcd\033[1;80Hz\033[3;9Hx"); // two side by side, the last one, one of another row
    assert_int_equal(draws, 4 + 8 + 4 + 4);
    send("\033[1;2H  \033[2;1H   ");
    assert_int_equal(draws, 4 + 8 + 4 + 4);
}

// What scrolls by between two drawings is never drawn: 400 lines cost no more than the screen has cells.
static void late_drawing_draws_once(void **state)
{
    (void)state;
    char line[40];
    counting_screen(4);
    for (unsigned i = 0; i < 400; i++) {
        fmt(line, sizeof(line), "line %u of a log that scrolls\r\n", i);
        terminal_write(&terminal, line, strlen(line));
    }
    assert_int_equal(draws, 0);
    terminal_show(&terminal);
    assert_in_range(draws, 24 * 32, VGA_ROWS * VGA_COLUMNS);
    terminal_show(&terminal);
    assert_in_range(draws, 24 * 32, VGA_ROWS * VGA_COLUMNS);
}

// The monitor's lines break between words; one that is longer than a row breaks anywhere, as a guest's does.
static void own_lines_wrap_at_words(void **state)
{
    (void)state;
    char text[400] = "";
    terminal_set_owner(&terminal, TERMINAL_ALERT);
    row_attribute = 0x4f;
    size_t length = 0;
    for (unsigned i = 0; i < 24; i++)
        length += (size_t)fmt(text + length, sizeof(text) - length, "%s%s", i ? " " : "",
                              i % 5 ? "word" : "pku=on,");
    send(text);
    unsigned rows = 0;
    size_t at = 0;
    for (; at < length; rows++) { // each row: as many whole words as fit
        size_t end = at + VGA_COLUMNS < length ? at + VGA_COLUMNS : length;
        while (end < length && text[end] != ' ')
            end--;
        for (unsigned c = 0; c < end - at; c++)
            assert_int_equal(cells[rows * VGA_COLUMNS + c], 0x4f00 | (u8)text[at + c]);
        for (size_t c = end - at; c < VGA_COLUMNS; c++)
            assert_int_equal((u8)cells[rows * VGA_COLUMNS + c], ' ');
        at = end + 1;
    }
    assert_int_equal(rows, 2);
    terminal_set_owner(&terminal, TERMINAL_GUEST);
    send("\r\n");
    row_attribute = 0x07;
    send(text);
    char first[VGA_COLUMNS + 1] = "";
    memcpy(first, text, VGA_COLUMNS);
    assert_string_equal(row(2), first);
}

// A row of one word, a row that ends with its word, a word behind a guest's text, at the last row of the
// screen.
static void own_words_at_edges(void **state)
{
    (void)state;
    static char full[VGA_COLUMNS + 1];
    memset(full, 'x', VGA_COLUMNS);
    send("\033[99;1H");
    terminal_set_owner(&terminal, TERMINAL_MONITOR);
    send(full);
    send("yz\r\n");
    send(full + 5);
    send(" end and\r\n");
    send(full + 3);
    send(" ab c\r\n");
    row_attribute = 0x0b;
    assert_int_equal(own_row_of("yz"), VGA_ROWS - 6);
    assert_int_equal(own_row_of("and"), VGA_ROWS - 4);
    assert_int_equal(own_row_of("c"), VGA_ROWS - 2);
    row_attribute = 0x07;
    terminal_set_owner(&terminal, TERMINAL_GUEST);
    send("guest");
    terminal_set_owner(&terminal, TERMINAL_MONITOR);
    send(full);
    assert_int_equal(terminal.column, 5); // there is no blank of its own to break at
    terminal_set_owner(&terminal, TERMINAL_GUEST);
}

#define WITH_SCREEN(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCREEN(starts_blank),
        WITH_SCREEN(control_characters),
        WITH_SCREEN(long_lines_wrap_late),
        WITH_SCREEN(scrolls),
        WITH_SCREEN(colours_and_unknown_sequences_vanish),
        WITH_SCREEN(cursor_moves),
        WITH_SCREEN(erasing),
        WITH_SCREEN(survives_anything),
        WITH_SCREEN(draws_only_what_changed),
        WITH_SCREEN(draws_whole_grains),
        WITH_SCREEN(late_drawing_draws_once),
        WITH_SCREEN(monitor_after_anything),
        WITH_SCREEN(monitor_after_text),
        WITH_SCREEN(guest_takes_a_row),
        WITH_SCREEN(own_lines_wrap_at_words),
        WITH_SCREEN(own_words_at_edges),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
