// Formatting against the C library's vsnprintf, over random flags, widths, values and buffer sizes; reading
// numbers against 128-bit arithmetic.
#include "support.h"

#include <stdio.h>

static char format[64];

// The arguments are evaluated twice. Both ways of formatting agree on the length, the text that fits, its
// NUL, and touch nothing beyond.
#define COMPARE(...)                                                             \
    do {                                                                         \
        char ours[80], theirs[80];                                               \
        size_t size = random_below(2) ? sizeof(ours) - 8 : 1 + random_below(24); \
        memset(ours, '#', sizeof(ours));                                         \
        memset(theirs, '#', sizeof(theirs));                                     \
        int expected = snprintf(theirs, size, __VA_ARGS__);                      \
        assert_int_equal(fmt(ours, size, __VA_ARGS__), expected);                \
        assert_memory_equal(ours, theirs, sizeof(ours));                         \
    } while (0)

static u64 random_value(void)
{
    static const u64 special[] = {0,          1,          9,         10,      0x7fffffff,
                                  0x80000000, 0xffffffff, INT64_MAX, BIT(63), UINT64_MAX};
    if (random_below(4) == 0)
        return special[random_below(ARRAY_SIZE(special))];
    return random_u64() >> random_below(64);
}

// Writes "<text%flags width" to `format`; the caller adds the conversion.
static void random_spec(bool zeros)
{
    static const char *const texts[] = {"", "%%", "a ", "x%%y:"};
    char width[8] = "";
    if (random_below(2))
        snprintf(width, sizeof(width), "%u", (unsigned)random_below(30) + 1);
    snprintf(format, sizeof(format), "%s%%%s%s%s", texts[random_below(4)], random_below(3) ? "" : "-",
             zeros && random_below(3) == 0 ? "0" : "", width);
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

static void test_numbers(void **unused)
{
    (void)unused;
    static const char *const conversions[] = {"d",  "u",  "x",   "X",   "ld", "lu",
                                              "lx", "lX", "llx", "lld", "zu", "zx"};
    for (unsigned i = 0; i < 100000; i++) {
        random_spec(true);
        const char *conversion = conversions[random_below(ARRAY_SIZE(conversions))];
        strcat(strcat(format, conversion), random_below(2) ? " end" : "");
        u64 value = random_value();
        if (conversion[1])
            COMPARE(format, value);
        else
            COMPARE(format, (unsigned)value);
    }
}

static void test_text(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 40000; i++) {
        char text[24] = "";
        for (u64 j = random_below(sizeof(text)); j-- > 0;)
            text[j] = (char)('a' + random_below(26));
        random_spec(false);
        size_t end = strlen(format);
        strcpy(format + end, "s");
        COMPARE(format, text);
        sprintf(format + end, ".%us|", (unsigned)random_below(20));
        COMPARE(format, text);
        strcpy(format + end, "c!");
        char c = (char)random_below(128);
        COMPARE(format, c);
    }
}

// The precision keeps it from reading beyond its argument: here there is no NUL.
static void test_stars(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 20000; i++) {
        size_t length = random_below(12) + 1;
        char *text = malloc(length);
        memset(text, 'z', length);
        int precision = (int)random_below(length + 1), width = (int)random_below(12),
            number = (int)random_u64();
        COMPARE("%.*s|", precision, text);
        COMPARE("%*s%-*d:%0*x", width, "ab", precision, number, width, (unsigned)number);
        COMPARE("%.*s|", -1, "all of it");
        free(text);
    }
}

static void test_mixed(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 20000; i++) {
        u64 a = random_value(), b = random_value();
        COMPARE("%s: gfn %lx-%016lx, %u%% %5d%c", "map", a, b, (unsigned)a, (int)b, 'K');
    }
    char text[32];
    assert_int_equal(fmt(text, sizeof(text), "%p", (void *)0x12ab), 4); // ours has no 0x
    assert_string_equal(text, "12ab");
}

struct number_case {
    const char *text;
    bool good;
    u64 value;
};

static const struct number_case number_cases[] = {
    {"0", true, 0},
    {"18446744073709551615", true, UINT64_MAX},
    {"18446744073709551616", false, 0},
    {"0xffffffffffffffff", true, UINT64_MAX},
    {"0x10000000000000000", false, 0},
    {"0XaB", true, 0xab},
    {"17179869183G", true, 17179869183 * GIB},
    {"17179869184G", false, 0},
    {"512M", true, 512 * MIB},
    {"0x10K", true, 16 * KIB},
    {"", false, 0},
    {"0x", false, 0},
    {"0xg", false, 0},
    {"K", false, 0},
    {"-1", false, 0},
    {"+1", false, 0},
    {" 1", false, 0},
    {"1 ", false, 0},
    {"1KK", false, 0},
    {"1KB", false, 0},
    {"1T", false, 0},
    {"12a", false, 0},
    {"1.5G", false, 0},
};

static void test_parse_cases(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < ARRAY_SIZE(number_cases); i++) {
        const struct number_case *c = &number_cases[i];
        u64 value = 0;
        if (parse_number(c->text, &value) != c->good)
            fail_msg("\"%s\"", c->text);
        if (c->good)
            assert_int_equal(value, c->value);
    }
}

static void test_parse_random(void **unused)
{
    (void)unused;
    static const char suffixes[] = {0, 'K', 'M', 'G'};
    unsigned overflows = 0;
    for (unsigned i = 0; i < 100000; i++) {
        char text[40];
        u64 number = random_value(), value;
        unsigned suffix = (unsigned)random_below(4);
        int end = snprintf(text, sizeof(text), random_below(2) ? "%lu" : "0x%lx", number);
        text[end] = suffixes[suffix];
        text[end + 1] = 0;
        unsigned __int128 expected = (unsigned __int128)number << (10 * suffix);
        bool fits = expected <= UINT64_MAX;
        overflows += !fits;
        assert_int_equal(parse_number(text, &value), fits);
        if (fits)
            assert_int_equal(value, (u64)expected);
        text[random_below((u64)end)] = "+-. z%"[random_below(6)]; // no longer a number
        assert_false(parse_number(text, &value));
    }
    assert_in_range(overflows, 5000, 90000);
}

int main(void)
{
    random_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),     cmocka_unit_test(test_text),
        cmocka_unit_test(test_stars),       cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_parse_cases), cmocka_unit_test(test_parse_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
