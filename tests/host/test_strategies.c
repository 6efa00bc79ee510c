// Two shadow engines under one random guest: what a guest sees of shadow paging depends on no strategy and no
// option. Each run draws two configurations, which have nothing in common but the machine that they show to
// the guest: a strategy each, and its options. The same instructions run on both; their results, the bytes
// that they store and the accessed and dirty bits must be the same. The guest invalidates what it changes, so
// no access has two legal results; test_shadow.c has the guest that does not, and judges by what a processor
// may still have cached. In the environment: SEED and RUN repeat one run, VERBOSE=1 tells its steps, RUNS
// says how many runs there are, STEPS how long each is.

// link: ENGINE tests/host/model_walk.c tests/host/model_cpu.c tests/host/model_stale.c

// link: tests/host/shadow_story.c tests/host/guest_places.c tests/host/guest_entry.c

// link: tests/host/shadow_tables.c tests/host/pair_machine.c

// link: tests/host/pair_monitor.c tests/host/pair_guest.c
#include "support.h"

#include "pair_guest.h"
#include "pair_machine.h"
#include "pair_monitor.h"
#include "shadow_story.h"
#include "shadow_tables.h"

#include <stdio.h>

#define RUNS      96ul
#define STEPS     1500ul // a third where an engine caches nothing: there it is slow
#define AUDIT     32u    // steps
#define CHECK     64u    // steps
#define CHECK_ALL 512u   // steps

// The two strategies of a run: trace against adaptive most often, then each pair, equal ones too.
static void pair_choose(unsigned run, enum shadow_strategy_name names[SIDES])
{
    unsigned pair = run / 2 % (SHADOW_STRATEGIES * SHADOW_STRATEGIES);
    names[0] = run % 2 ? pair / SHADOW_STRATEGIES : SHADOW_TRACE;
    names[1] = run % 2 ? pair % SHADOW_STRATEGIES : SHADOW_ADAPTIVE;
}

static struct shadow_config random_config(enum shadow_strategy_name name, unsigned physical_bits)
{
    static const unsigned prefetches[] = {0, 0, 8, 64}, pools[] = {SHADOW_POOL_MIN, SHADOW_POOL_MIN, 96, 256};
    const struct shadow_strategy *strategy = &shadow_strategies[name];
    return (struct shadow_config){
        .strategy = *strategy,
        .directpf = chance(70),
        .root_vpids = chance(60),
        .large = chance(70),
        .prefetch = prefetches[rnd(ARRAY_SIZE(prefetches))],
        .pool = pools[rnd(ARRAY_SIZE(pools))],
        .physical_bits = physical_bits,
        .targets = strategy->trace ? (unsigned)rnd(SHADOW_TARGETS + 1) : 0,
    };
}

static void config_text(char *text, size_t size, const struct shadow_config *c, unsigned largest)
{
    snprintf(text, size, "%s directpf %d root_vpids %d large %d prefetch %u pool %u targets %u p2m %u",
             c->strategy.name, c->directpf, c->root_vpids, c->large, c->prefetch, c->pool, c->targets,
             largest);
}

static void steps_run(u64 steps)
{
    for (story_step = 0; story_step < steps; story_step++) {
        guest_step();
        if (story_step % AUDIT == 0)
            pair_audit();
        if (story_step % CHECK == 0)
            tables_check();
        if (story_step % CHECK_ALL == 0)
            memory_check_all();
    }
}

static void run_one(u64 seed, unsigned run, u64 steps)
{
    static const unsigned widths[] = {40, 40, 46, 52};
    static char parameters[400], texts[SIDES][150];
    enum shadow_strategy_name names[SIDES];
    struct shadow_config configs[SIDES];
    unsigned largest[SIDES];
    story_start(seed, run, parameters);
    pair_choose(run, names);
    unsigned physical_bits = widths[rnd(ARRAY_SIZE(widths))];
    bool has_1g_pages = chance(50);
    for (unsigned n = 0; n < SIDES; n++) {
        configs[n] = random_config(names[n], physical_bits);
        largest[n] = chance(70) ? P2M_LEVEL_2M : P2M_LEVEL_4K;
        config_text(texts[n], sizeof(texts[n]), &configs[n], largest[n]);
    }
    snprintf(parameters, sizeof(parameters), "%s | %s | physical_bits %u 1g %d", texts[0], texts[1],
             physical_bits, has_1g_pages);
    pair_make(largest);
    guest_begin();
    pair_start(configs, has_1g_pages);
    steps_run(configs[0].strategy.cache && configs[1].strategy.cache ? steps : steps / 3);
    pair_end();
    pair_gone();
}

static void check_counts(void)
{
    static const struct story_count counted[] = {
        {"accesses", &pair_counts.accesses, 100000},
        {"done", &pair_counts.by_kind[PAIR_DONE], 50000},
        {"emulated", &pair_counts.by_kind[PAIR_EMULATED], 1000},
        {"#PF", &pair_counts.by_kind[PAIR_FAULT], 10000},
        {"that took more exits on one side", &pair_counts.unlike, 5000},
        {"stores by the guest's kernel", &guest_counts.stores, 10000},
        {"invalidations that it needed", &guest_counts.invalidations, 5000},
        {"tables relinked", &guest_counts.relinked, 500},
        {"large pages ended by one INVLPG", &guest_counts.large, 300},
        {"p2m changes", &guest_counts.p2m_changes, 200},
        {"instructions without paging", &guest_counts.unpaged, 2000},
        {"hidden faults", &pair_counts.hidden, 20000},
        {"traced writes", &pair_counts.traced, 5000},
        {"released", &pair_counts.released, 300},
        {"#PF without an exit", &pair_counts.direct, 300},
        {"INVLPG without an exit", &pair_counts.native_invlpg, 1000},
        {"roots loaded unseen", &pair_counts.unseen, 300},
        {"roots loaded that had a table", &pair_counts.root_hits, 1000},
        {"tables recycled", &pair_counts.recycled, 50},
        {"tables left out of sync", &pair_counts.left_sync, 300},
    };
    story_counts(counted, ARRAY_SIZE(counted));
}

static void test_random(void **unused)
{
    (void)unused;
    if (story_runs(RUNS, STEPS, run_one))
        check_counts();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
