// Which tests run, and how a result is printed: TAP lines `ok NAME` and `not ok NAME: first failure`.
// A word of the command line names a group to run, `-word` one to leave out, `all` is the default ones; no
// group named means `all`. The first word may be the path of the kernel; the last one must be `end` (info.c).
// Neighbour: main.c.
#include "cpu.h"
#include "lapic.h"

void guarded_call(void (*run)(void));

#define X(id, back_ends) extern const struct group id;
#include "groups.def"
#undef X
#define X(id, back_ends) &id,
static const struct group *const groups[] = {
#include "groups.def"
};
#undef X

#define MORE_FAILURES 8 // printed for one test, beside the first

static char failure[256];
static unsigned more_failures;
static u64 start_cr0, start_cr4, start_efer;

void fail(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    fmtv(text, sizeof(text), format, args);
    va_end(args);
    if (!failure[0])
        memcpy(failure, text, sizeof(failure));
    else if (more_failures++ < MORE_FAILURES)
        print("# also: %s\n", text);
}

void expect(const char *what, u64 got, u64 want)
{
    if (got != want)
        fail("%s: expected %lx, got %lx", what, want, got);
}

void expect_trap(const char *what, struct trap t, unsigned vector, u64 error)
{
    if (t.vector != vector || (vector != NO_TRAP && t.error != error))
        fail("%s: expected trap %u error %lx, got trap %lu error %lx", what, vector, error, t.vector,
             t.error);
}

void cpu_start(void)
{
    start_cr0 = cr0_read();
    start_cr4 = cr4_read();
    start_efer = msr_read(IA32_EFER);
}

void cpu_reset(void)
{
    asm volatile("cli; cld" ::: "memory");
    cr0_write(start_cr0);
    asm volatile("fninit");
    cr4_write(start_cr4);
    msr_write(IA32_EFER, start_efer);
    dr7_write(0x400);
    dr6_write(0xFFFF0FF0);
    cr8_write(0);
}

static bool run_test(const struct group *group, const struct test *test)
{
    failure[0] = 0;
    more_failures = 0;
    traps_reset();
    pages_reset();
    guarded_call(test->run);
    cpu_reset();
    traps_reset();
    print("%s %s.%s%s%s\n", failure[0] ? "not ok" : "ok", group->name, test->name, failure[0] ? ": " : "",
          failure);
    return !failure[0];
}

static bool has_word(const char *line, const char *prefix, const char *word)
{
    size_t before = strlen(prefix), length = strlen(word);
    for (const char *at = line; *at;) {
        size_t size = 0;
        while (at[size] && at[size] != ' ')
            size++;
        if (size == before + length && !memcmp(at, prefix, before) && !memcmp(at + before, word, length))
            return true;
        at += size;
        while (*at == ' ')
            at++;
    }
    return false;
}

static bool any_named(const char *line)
{
    for (unsigned i = 0; i < ARRAY_SIZE(groups); i++) {
        if (has_word(line, "", groups[i]->name))
            return true;
    }
    return false;
}

unsigned tests_run(const char *line)
{
    bool named = any_named(line);
    unsigned total = 0, failed = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(groups); i++) {
        const struct group *group = groups[i];
        bool wanted =
            has_word(line, "", group->name) || (group->by_default && (!named || has_word(line, "", "all")));
        if (!wanted || has_word(line, "-", group->name))
            continue;
        for (unsigned n = 0; n < group->count; n++, total++)
            failed += !run_test(group, &group->tests[n]);
    }
    print("1..%u\n", total);
    return failed;
}
