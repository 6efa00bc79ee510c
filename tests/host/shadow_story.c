// See shadow_story.h.
#include "shadow_story.h"
#include "support.h"

#include <stdio.h>

#define LINES 70u

unsigned story_step;

static char lines[LINES][300];
static unsigned line_count, story_run;
static u64 random_state, story_seed;
static const char *story_parameters;
static bool verbose;

void story_start(u64 seed, unsigned run, const char *parameters)
{
    story_seed = seed;
    story_run = run;
    story_parameters = parameters;
    story_step = line_count = 0;
    verbose = getenv("VERBOSE");
    random_state = ((seed ^ seed << 32) + run + 1) * 0x9e3779b97f4a7c15ull | 1;
    for (unsigned i = 0; i < 8; i++)
        rnd(1);
}

u64 rnd(u64 limit)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 0x2545f4914f6cdd1dull >> 16) % limit;
}

bool chance(unsigned percent)
{
    return rnd(100) < percent;
}

u64 maybe(u64 value, unsigned percent)
{
    return chance(percent) ? value : 0;
}

void say(const char *format, ...)
{
    char *line = lines[line_count++ % LINES];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(lines[0]), format, args);
    va_end(args);
    if (verbose)
        printf("%u: %s\n", story_step, line);
}

void bad(const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (unsigned i = line_count > LINES ? line_count - LINES : 0; i < line_count && !verbose; i++)
        print_message("# %s\n", lines[i % LINES]);
    print_message("SEED=%lu RUN=%u step %u: %s\n", story_seed, story_run, story_step, story_parameters);
    fail_msg("%s", text);
    abort();
}

static u64 number_of(const char *variable, u64 otherwise)
{
    const char *text = getenv(variable);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

void story_counts(const struct story_count *counted, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        print_message("# %lu %s\n", *counted[i].count, counted[i].what);
    for (unsigned i = 0; i < count && !getenv("RUNS") && !getenv("STEPS"); i++)
        assert_true(*counted[i].count >= counted[i].least);
}

bool story_runs(u64 runs, u64 steps, void (*run_one)(u64 seed, unsigned run, u64 steps))
{
    u64 seed = number_of("SEED", 1);
    runs = number_of("RUNS", runs);
    steps = number_of("STEPS", steps);
    if (getenv("RUN")) {
        run_one(seed, (unsigned)number_of("RUN", 0), steps);
        return false;
    }
    for (unsigned i = 0; i < runs; i++)
        run_one(seed, i, steps);
    return true;
}
