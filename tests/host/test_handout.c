// What a screen shows of the results, and for how long: a screen of the test's own, with a clock that each
// look at the serial line advances.
// link: hv/report/handout.c hv/report/codes.c hv/report/gzip.c hv/report/qr.c
#include "support.h"

#include <stdio.h>

#include <hv/log.h>

#include "handout.h"

#define HZ 1000

static struct {
    bool there;
    unsigned rows, columns, room;
} screen;
static u64 now, key_at;                // the key comes then; 0: never
static char shown[200000];             // the text of all pages
static unsigned pages, codes, longest; // longest: rows of a page
static unsigned warnings, sides[100];

u64 rdtsc(void)
{
    return now;
}

int pause(void)
{
    return 0;
}

int console_read(void)
{
    now += HZ / 10;
    return key_at && now >= key_at ? 'q' : -1;
}

bool console_screen_size(unsigned *rows, unsigned *columns)
{
    *rows = screen.rows;
    *columns = screen.columns;
    return screen.there;
}

unsigned console_picture_room(unsigned rows)
{
    assert_int_equal(rows, 1);
    return screen.room;
}

void console_page(const char *title, const char *text, size_t size)
{
    unsigned rows = 1, column = 0;
    assert_in_range(strlen(title), 1, 80);
    for (size_t i = 0; i < size; i++) {
        column = text[i] == '\n' ? 0 : column + 1;
        rows += text[i] == '\n' || column % screen.columns == 1 ? column != 0 : 0;
    }
    longest = rows > longest ? rows : longest;
    pages += size > 0;
    strncat(shown, text, size);
}

void console_picture(const struct console_picture *picture, unsigned rows)
{
    assert_int_equal(rows, 1);
    assert_in_range(picture->side + 2 * picture->margin, 29, screen.room);
    sides[codes++ % ARRAY_SIZE(sides)] = picture->side;
}

void log_message(enum log_level level, const char *format, ...)
{
    (void)format;
    warnings += level == LOG_WARN;
}

static struct handout *handout;

static int start(void **state)
{
    (void)state;
    static struct frames frames;
    memory_make(64 * MIB, &frames);
    handout = handout_make(&frames);
    screen.there = true;
    screen.rows = 25;
    screen.columns = 80;
    screen.room = 96;
    now = 1;
    key_at = 0;
    *shown = 0;
    pages = codes = longest = warnings = 0;
    return handout ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    memory_gone();
    return 0;
}

static void put(struct console_text *to, const char *text)
{
    size_t room = to->length < to->size ? to->size - to->length : 0, size = strlen(text);
    memcpy(to->bytes + to->length, text, size < room ? size : room);
    to->length += size;
}

static void fill(unsigned lines)
{
    char line[300];
    for (unsigned i = 0; i < lines; i++) {
        unsigned length = (unsigned)random_below(i % 7 ? 81 : 250);
        fmt(line, sizeof(line), "%0*u\n", (int)(length ? length : 1), i);
        put(&handout->pages, line);
        fmt(line, sizeof(line), "{\"n\":%lu}\n", random_u64());
        put(&handout->json, line);
    }
}

// All text, in its order, on pages that fit the screen, and each time as many codes.
static void shows_all(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 30; round++) {
        handout->pages.length = handout->json.length = 0;
        *shown = 0;
        pages = codes = longest = 0;
        screen.rows = 10 + (unsigned)random_below(60);
        screen.columns = 80 + (unsigned)random_below(160);
        fill(1 + (unsigned)random_below(300));
        handout_show(handout, HZ, 1);
        assert_int_equal(strlen(shown), handout->pages.length);
        assert_memory_equal(shown, handout->pages.bytes, handout->pages.length);
        assert_in_range(longest, 1, screen.rows);
        assert_in_range(codes, 1, 50);
        assert_int_equal(warnings, 0);
    }
}

static void repeats_and_ends(void **state)
{
    (void)state;
    fill(100);
    handout_show(handout, HZ, 1);
    unsigned one_pages = pages, one_codes = codes;
    u64 one = now - 1;
    assert_true(one >= (one_pages * 10 + one_codes * 4) * HZ);
    now = 1;
    pages = codes = 0;
    handout_show(handout, HZ, 3);
    assert_int_equal(pages, 3 * one_pages);
    assert_int_equal(codes, 3 * one_codes);
    key_at = now + 5 * one;
    pages = 0;
    handout_show(handout, HZ, 0); // for ever
    assert_in_range(pages, 5 * one_pages, 6 * one_pages);
    key_at = now + HZ;
    pages = codes = 0;
    handout_show(handout, HZ, 0);
    assert_int_equal(pages, 1);
    assert_int_equal(codes, 0);
}

static void says_what_does_not_fit(void **state)
{
    (void)state;
    fill(50);
    screen.room = 20; // the smallest code with its margin has 29
    handout_show(handout, HZ, 1);
    assert_int_equal(warnings, 1);
    assert_int_equal(codes, 0);
    assert_in_range(pages, 1, 10);
    screen.room = 96;
    handout->json.length = handout->json.size + 1; // cut
    memset(handout->json.bytes, 'a', handout->json.size);
    handout_show(handout, HZ, 1);
    assert_int_equal(warnings, 2);
    assert_in_range(codes, 1, 10);
    for (size_t i = 0; i < handout->json.size; i++)
        handout->json.bytes[i] = (char)random_u64(); // nothing makes that small
    codes = 0;
    handout_show(handout, HZ, 1);
    assert_int_equal(warnings, 4);
    assert_int_equal(codes, 0);
    screen.there = false;
    pages = 0;
    handout_show(handout, HZ, 1);
    assert_int_equal(pages, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shows_all, start, stop),
        cmocka_unit_test_setup_teardown(repeats_and_ends, start, stop),
        cmocka_unit_test_setup_teardown(says_what_does_not_fit, start, stop),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
