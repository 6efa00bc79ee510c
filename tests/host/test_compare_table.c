// The table at the end of a comparison: its cells, its legend, and results that a guest made up.

// link: MACHINE hv/compare_table.c
#include "fake_machine.h"

#include "hv/compare.h"

#include <stdio.h>

static struct comparison c;

static void add(unsigned configuration, const char *workload, u64 lowest, u64 median, u64 highest)
{
    struct results *r = &c.outcomes[configuration].results;
    struct penumbra_result *row = &r->rows[r->count++];
    *row = (struct penumbra_result){
        .iterations = 10, .repetitions = 3, .median = median, .lowest = lowest, .highest = highest};
    strcpy(row->workload, workload);
}

static void make(unsigned count)
{
    static const char *const names[] = {"ept", "ept,vpid=on", "adaptive"};
    memset(&c, 0, sizeof(c));
    c.configurations.count = count;
    for (unsigned i = 0; i < count; i++) {
        strcpy(c.configurations.list[i].name, names[i]);
        strcpy(c.outcomes[i].why, "guest powered off");
    }
}

// The line of the table that begins with the word.
static const char *line_of(const char *word)
{
    static char line[128];
    machine_console_length = 0;
    compare_table(&c);
    char *at = machine_console;
    while (at && strncmp(at, word, strlen(word)))
        at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL;
    if (!at)
        fail_msg("no line `%s' in:\n%s", word, machine_console);
    snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

static void ratios(void **state)
{
    (void)state;
    make(3);
    add(0, "even", 990, 1000, 1010);
    add(1, "even", 1015, 1019, 1020); // 19 apart, more than 10
    add(2, "even", 1000, 1009, 1010); // within 10
    add(0, "large", 10000, 10000, 10000);
    add(1, "large", 154960, 154960, 154960);
    add(2, "large", 1560000, 1560000, 1560000);
    add(0, "half", 1000, 1000, 1000);
    add(1, "half", 1005, 1005, 1005); // rounds up
    add(2, "half", 1004, 1004, 1004);
    assert_string_equal(line_of("even"), "even              100   1.0  1.00   1.02   1.01~");
    assert_string_equal(line_of("large"), "large            1000   0.0  1.00   15.5    156 ");
    assert_string_equal(line_of("half"), "half              100   0.0  1.00   1.01   1.00 ");
}

// What was measured by turns has no rows, and a reader who looks for them is told where they are.
static void by_turns(void **state)
{
    (void)state;
    make(2);
    add(0, "fork", 100, 100, 100);
    line_of("fork");
    assert_null(strstr(machine_console, "by turns"));
    c.configurations.list[1].by_switch = true;
    assert_string_equal(line_of("fork"), "fork             10.0   0.0  1.00      - ");
    line_of("  What a guest measures by turns (switch) is not in this table: it is in the report alone.");
}

// The base of a row is the first configuration that measured it.
static void gaps(void **state)
{
    (void)state;
    make(3);
    add(1, "late", 200, 200, 200);
    add(2, "late", 400, 400, 400);
    add(0, "broken", 100, 100, 100);
    c.outcomes[0].results.rows[0].repetitions = 0;
    add(2, "broken", 300, 300, 330);
    add(0, "never", 1, 1, 1);
    c.outcomes[0].results.rows[1].repetitions = 0;
    assert_string_equal(line_of("late"), "late             20.0   0.0     -   1.00   2.00 ");
    assert_string_equal(line_of("broken"), "broken           30.0   5.0  fail      -   1.00 ");
    assert_string_equal(line_of("never"), "never               -   0.0  fail      -      - ");
}

static void legend(void **state)
{
    (void)state;
    make(3);
    c.outcomes[1].refused = true;
    strcpy(c.outcomes[1].why, "vpid=on: this processor has no VPID.");
    assert_string_equal(line_of("   1"), "   1  ept                      guest powered off");
    assert_string_equal(
        line_of("   2"),
        "   2  ept,vpid=on              cannot run here: vpid=on: this processor has no VPID.");
    assert_string_equal(line_of("1 ept"), "1 ept  2 ept,vpid=on  3 adaptive  ");
    strcpy(c.configurations.list[1].name, "shadow.prefetch=0,shadow.large=off,shadow.cr3=exit,vpid=off,p2m");
    assert_string_equal(line_of("3 adap"), "3 adaptive  "); // no line is wider than the screen
    assert_string_equal(line_of("workload"), "workload       cycles  +-%     1      2      3 ");
}

// Rounds of a configuration: everything is over all of them.
static void rounds(void **state)
{
    (void)state;
    static struct results all;
    memset(&all, 0, sizeof(all));
    make(3);
    add(0, "a", 90, 100, 110);
    add(0, "late", 5, 5, 5);
    c.outcomes[0].results.rows[1].repetitions = 0; // fails at first
    add(1, "a", 95, 130, 150);
    add(1, "late", 7, 7, 7);
    add(1, "new", 9, 9, 9);
    add(2, "a", 1, 1, 1);
    c.outcomes[2].results.rows[0].iterations = 11; // not the same
    add(2, "late", 1, 1, 1);
    c.outcomes[2].results.rows[1].repetitions = 0; // fails at last
    for (unsigned i = 0; i < 3; i++)
        results_pool(&all, &c.outcomes[i].results);
    assert_int_equal(all.count, 3);
    const struct penumbra_result *a = results_find(&all, "a"), *late = results_find(&all, "late");
    assert_int_equal(a->median, 115);
    assert_int_equal(a->lowest, 90);
    assert_int_equal(a->highest, 150);
    assert_int_equal(a->repetitions, 6);
    assert_int_equal(late->median, 7);
    assert_int_equal(late->repetitions, 3);
    assert_int_equal(results_find(&all, "new")->median, 9);
    assert_null(results_find(&all, "none"));
    for (unsigned i = 0; i < RESULTS + 5; i++) { // no more than there is room for
        char name[8];
        snprintf(name, sizeof(name), "w%u", i);
        memset(&c.outcomes[0].results, 0, sizeof(struct results));
        add(0, name, 1, 1, 1);
        results_pool(&all, &c.outcomes[0].results);
    }
    assert_int_equal(all.count, RESULTS);
}

// A workload that was reported twice has one row; numbers that cannot be do no harm.
static void lies(void **state)
{
    (void)state;
    make(2);
    add(0, "twice", 100, 100, 100);
    add(0, "twice", 900, 900, 900);
    add(1, "twice", 100, 100, 100);
    add(0, "huge", ~0ull, ~0ull, 0);
    add(1, "huge", 0, 1, ~0ull);
    add(0, "none", 0, 0, 0);
    add(1, "none", 5, 5, 5);
    c.outcomes[0].results.rows[0].iterations = 0;
    assert_string_equal(line_of("twice"), "twice             0.0   0.0  1.00   1.00~");
    const char *row = strstr(machine_console, "twice");
    assert_null(strstr(row + 1, "twice"));
    line_of("huge");
    assert_string_equal(line_of("none"), "none              0.0   0.0  fail   fail ");
}

// The cases of the report, too.
static void within_spread(void **state)
{
    (void)state;
    static const struct {
        u64 low, median, high, other_low, other_median, other_high;
        bool none;
    } cases[] = {
#define SPREAD(...) {__VA_ARGS__},
#include "within_spread.def"
#undef SPREAD
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        make(2);
        add(0, "row", cases[i].low, cases[i].median, cases[i].high);
        add(1, "row", cases[i].other_low, cases[i].other_median, cases[i].other_high);
        const char *row = line_of("row");
        if (cases[i].median) // else there is no ratio, and no cell to mark
            assert_int_equal(row[strlen(row) - 1] == '~', cases[i].none);
    }
}

// Names are never cut: a long one has a line of its own, in the length that the interface has room for.
static void long_names(void **state)
{
    (void)state;
    static const char longest[] = "a_name_as_long_as_the_interface_has_room_for_it_and_no_longer__";
    _Static_assert(sizeof(longest) == sizeof(((struct penumbra_result *)0)->workload), "as long as can be");
    make(2);
    add(0, "ten_digits", 100, 100, 100);
    add(0, "eleven_more", 100, 100, 100);
    add(0, longest, 100, 100, 100);
    assert_string_equal(line_of("ten_digits"), "ten_digits       10.0   0.0  1.00      - ");
    assert_string_equal(line_of("eleven_more"), "eleven_more");
    assert_string_equal(line_of(longest), longest);
    assert_non_null(strstr(machine_console, "__\n                 10.0   0.0  1.00      - \n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(within_spread), cmocka_unit_test(long_names), cmocka_unit_test(ratios),
        cmocka_unit_test(by_turns),      cmocka_unit_test(gaps),       cmocka_unit_test(legend),
        cmocka_unit_test(rounds),        cmocka_unit_test(lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
