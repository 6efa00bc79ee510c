// The table of a comparison. See compare.h. A row is a workload, a column a configuration; a cell is the
// median relative to that of the first configuration that has one, with `~' behind it where the two do not
// differ, or by less than they vary themselves.
#include <arch/console.h>
#include <arch/lib.h>

#include "compare.h"

#define CELL  8
#define NAME  10
#define WIDTH 80

static u64 half_range(const struct penumbra_result *r)
{
    return (r->highest - r->lowest) / 2;
}

// Half of the range, rounded up: a whole number is below half of an odd range if it is below that.
static u64 half_range_up(const struct penumbra_result *r)
{
    u64 range = r->highest - r->lowest;
    return range - range / 2;
}

// The rule of the report, too (iso/report/Report/Statistics.pm, `differs'; tests/host/within_spread.def).
static bool within_spread(const struct penumbra_result *a, const struct penumbra_result *b)
{
    u64 difference = a->median > b->median ? a->median - b->median : b->median - a->median;
    return !difference || difference < half_range_up(a) || difference < half_range_up(b);
}

// a / b with as many digits as fit six places: 1.02, 15.5, 156.
static void format_ratio(char text[CELL], u64 a, u64 b)
{
    for (; (a | b) >> 56; a /= 2) // a guest may claim anything
        b /= 2;
    u64 hundredths = b ? a / b * 100 + (a % b * 100 + b / 2) / b : 0;
    if (hundredths < 1000)
        fmt(text, CELL, "%lu.%02lu", hundredths / 100, hundredths % 100);
    else if (hundredths < 10000)
        fmt(text, CELL, "%lu.%lu", hundredths / 100, hundredths / 10 % 10);
    else
        fmt(text, CELL, "%lu", hundredths / 100);
}

static void say_cell(const struct penumbra_result *r, const struct penumbra_result *base)
{
    char text[CELL];
    if (!r) {
        console_print("     - ");
        return;
    }
    if (!r->repetitions || !base || !base->median) {
        console_print("  fail ");
        return;
    }
    format_ratio(text, r->median, base->median);
    console_print("%6s%s", text, r != base && within_spread(r, base) ? "~" : " ");
}

// Cycles of an iteration, with one digit behind the point while they are few.
static void format_cycles(char text[16], const struct penumbra_result *r)
{
    u64 tenths = r->iterations ? r->median * 10 / r->iterations : 0;
    if (tenths < 1000)
        fmt(text, 16, "%lu.%lu", tenths / 10, tenths % 10);
    else
        fmt(text, 16, "%lu", tenths / 10);
}

// In tenths of a percent of the median.
static u64 spread(const struct penumbra_result *r)
{
    return r->median ? half_range(r) * 1000 / r->median : 0;
}

// What is too long for its column has a line of its own: no name is cut.
static void say_name(const char *workload)
{
    bool fits = strlen(workload) <= NAME;
    console_print(fits ? "%-*s" : "%-*s\n%*s", NAME, workload, NAME, "");
}

static void say_row(struct comparison *c, const char *workload)
{
    const struct penumbra_result *row[CONFIGURATIONS_MAX], *base = NULL;
    u64 widest = 0;
    for (unsigned i = 0; i < c->configurations.count; i++) {
        row[i] = results_find(&c->outcomes[i].results, workload);
        if (!row[i] || !row[i]->repetitions)
            continue;
        base = base ? base : row[i];
        widest = spread(row[i]) > widest ? spread(row[i]) : widest;
    }
    char cycles[16] = "-";
    if (base)
        format_cycles(cycles, base);
    say_name(workload);
    console_print("%11s %3lu.%lu", cycles, widest / 10, widest % 10);
    for (unsigned i = 0; i < c->configurations.count; i++)
        say_cell(row[i], base);
    console_print("\n");
}

// Whether an earlier configuration, or an earlier result of this one, has the workload: then its row is
// there.
static bool seen_before(struct comparison *c, unsigned configuration, unsigned result)
{
    struct results *own = &c->outcomes[configuration].results;
    const char *workload = own->rows[result].workload;
    for (unsigned i = 0; i < configuration; i++) {
        if (results_find(&c->outcomes[i].results, workload))
            return true;
    }
    return results_find(own, workload) != &own->rows[result];
}

static void say_legend(struct comparison *c)
{
    bool by_turns = false;
    console_print("\n  Configurations, and how each ended:\n");
    for (unsigned i = 0; i < c->configurations.count; i++) {
        const struct outcome *o = &c->outcomes[i];
        by_turns |= c->configurations.list[i].by_switch;
        console_print("  %2u  %-24s %s%s\n", i + 1, c->configurations.list[i].name,
                      o->refused ? "cannot run here: " : "", o->why);
    }
    if (by_turns)
        console_print(
            "  What a guest measures by turns (switch) is not in this table: it is in the report alone.\n");
    console_print(
        "\n  Relative to the first that has a result; ~ means: no difference, or less than they vary.\n"
        "  cycles: of one iteration, its median; +-%%: half of the range, the widest of the row.\n\n"
        "workload       cycles  +-%%");
    for (unsigned i = 0; i < c->configurations.count; i++)
        console_print("%6u ", i + 1);
    console_print("\n");
}

// Again, and short: on a text screen the legend has scrolled away.
static void say_numbers(const struct comparison *c)
{
    size_t column = 0;
    for (unsigned i = 0; i < c->configurations.count; i++) {
        char text[80];
        int length = fmt(text, sizeof(text), "%u %s  ", i + 1, c->configurations.list[i].name);
        if (column && column + (size_t)length > WIDTH) {
            console_print("\n");
            column = 0;
        }
        console_print("%s", text);
        column += (size_t)length;
    }
    console_print("\n");
}

void compare_table(struct comparison *c)
{
    say_legend(c);
    for (unsigned i = 0; i < c->configurations.count; i++) {
        const struct results *results = &c->outcomes[i].results;
        for (unsigned j = 0; j < results->count; j++) {
            if (!seen_before(c, i, j))
                say_row(c, results->rows[j].workload);
        }
    }
    say_numbers(c);
}
