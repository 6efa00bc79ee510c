// Random exits of random guests (random_exit.h). In the environment: SEED, GUESTS (how many), EXITS (of
// each).

// link: MACHINE ENGINE tests/host/random_exit.c shadow/shadow.c hv/exits/fault.c hv/insn/insn_cache.c
#include "support.h"

#include "random_exit.h"

#define GUESTS 150
#define EXITS  200

static unsigned number_of(const char *variable, unsigned otherwise)
{
    const char *text = getenv(variable);
    return text ? (unsigned)strtoul(text, NULL, 0) : otherwise;
}

static void exits(void **state)
{
    (void)state;
    unsigned guests = number_of("GUESTS", GUESTS), each = number_of("EXITS", EXITS);
    for (unsigned i = 0; i < guests; i++)
        random_guest(each);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(exits)};
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
