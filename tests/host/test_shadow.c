// The shadow engine under a random guest, against what a processor without a monitor may do. The guest edits
// its tables by stores of its own, with and without the invalidation that the architecture requires, switches
// roots, changes what control registers decide, and the p2m changes under it. Its accesses go through the
// tables that the engine makes, on a processor that forgets nothing it need not forget. Each result must be
// one that the present tables or something that a processor may still have cached gives; accessed and dirty
// bits are set exactly as by hardware; nothing leads to a frame that the p2m does not give. In the
// environment: SEED and RUN repeat one run, VERBOSE=1 tells its steps, RUNS says how many runs there are,
// STEPS how long each is.

// link: ENGINE tests/host/model_walk.c tests/host/model_cpu.c tests/host/model_history.c

// link: tests/host/shadow_story.c tests/host/guest_places.c tests/host/guest_entry.c

// link: tests/host/shadow_machine.c tests/host/shadow_tables.c

// link: tests/host/shadow_attempt.c tests/host/shadow_steps.c tests/host/shadow_unpaged.c
#include "support.h"

#include "shadow_attempt.h"
#include "shadow_machine.h"
#include "shadow_steps.h"
#include "shadow_story.h"
#include "shadow_tables.h"

#include <stdio.h>

#define RUNS         160ul
#define STEPS        4000ul // a quarter where the engine caches nothing: there it is slow
#define AUDIT        32u    // steps
#define CHECK_ALL    64u    // steps
#define SWITCH_STEPS 100u

static unsigned switch_steps; // in this many the mode changes once; 0: never
static u64 recycled, out_of_sync, out_of_tree, unseen, root_hits, steps_done;

// The strategies that can go wrong in most ways come most often. The rest is as random as the guest.
static struct shadow_config random_config(unsigned run)
{
    static const enum shadow_strategy_name strategies[] = {
        SHADOW_ADAPTIVE, SHADOW_TRACE, SHADOW_ADAPTIVE, SHADOW_LAZY,
        SHADOW_ADAPTIVE, SHADOW_TRACE, SHADOW_ADAPTIVE, SHADOW_EAGER,
    };
    static const unsigned prefetches[] = {0, 0, 8, 64}, pools[] = {SHADOW_POOL_MIN, SHADOW_POOL_MIN, 96, 256},
                          widths[] = {40, 40, 46, 52};
    const struct shadow_strategy *strategy = &shadow_strategies[strategies[run % ARRAY_SIZE(strategies)]];
    return (struct shadow_config){
        .strategy = *strategy,
        .directpf = chance(70),
        .root_vpids = chance(60),
        .large = chance(70),
        .prefetch = prefetches[rnd(ARRAY_SIZE(prefetches))],
        .pool = pools[rnd(ARRAY_SIZE(pools))],
        .physical_bits = widths[rnd(ARRAY_SIZE(widths))],
        .targets = strategy->trace ? run % (SHADOW_TARGETS + 1) : 0,
    };
}

// What is counted fits what there is.
static void counters_check(void)
{
    struct shadow_stats now = shadow_stats_now(&engine);
    assert_int_equal(now.tables_used, now.tables_made - now.tables_dropped);
    assert_in_range(now.tables_peak, now.tables_used, now.tables_pool);
    assert_in_range(now.root_hits, 0, engine.config.strategy.cache || switch_steps ? now.root_loads : 0);
    assert_in_range(now.vpids, now.root_loads ? 1 : 0, engine.config.root_vpids ? now.tables_used : 1);
    assert_in_range(now.left_sync - now.synchronised, engine.out_of_sync, now.left_sync);
    root_hits += now.root_hits;
}

// The guest's mode changes as it does by mmu.switch=: often to come back to the same one.
static void switch_config(unsigned run, const struct shadow_config *first)
{
    struct shadow_config next = chance(70) ? engine.config : random_config(run);
    next.pool = first->pool;
    next.physical_bits = first->physical_bits;
    say("switch to %s directpf %d root_vpids %d large %d prefetch %u targets %u", next.strategy.name,
        next.directpf, next.root_vpids, next.large, next.prefetch, next.targets);
    guest_switch(&next, steps_unseen);
}

static void run_one(u64 seed, unsigned run, u64 steps)
{
    static char parameters[200];
    story_start(seed, run, parameters);
    struct shadow_config c = random_config(run);
    unsigned largest = chance(70) ? P2M_LEVEL_2M : P2M_LEVEL_4K;
    bool has_1g_pages = chance(50);
    snprintf(
        parameters, sizeof(parameters),
        "%s directpf %d root_vpids %d large %d prefetch %u pool %u physical_bits %u p2m %u 1g %d targets %u",
        c.strategy.name, c.directpf, c.root_vpids, c.large, c.prefetch, c.pool, c.physical_bits, largest,
        has_1g_pages, c.targets);
    machine_make(largest);
    steps_start();
    guest_start(&c, has_1g_pages);
    if (!c.strategy.cache)
        steps /= 4;
    for (story_step = 0; story_step < steps; story_step++) {
        if (switch_steps && story_step % switch_steps == 0)
            switch_config((unsigned)rnd(16), &c);
        step_random();
        if (story_step % AUDIT == 0)
            guest_audit();
        if (story_step % CHECK_ALL == 0)
            tables_check();
    }
    memory_check_all();
    counters_check();
    steps_done += steps;
    recycled += engine.stats.tables_recycled;
    out_of_sync += engine.stats.left_sync;
    out_of_tree += engine.stats.left_tree;
    unseen += engine.stats.roots_unseen;
    machine_gone();
}

static void check_counts(void)
{
    static const struct story_count counted[] = {
        {"steps", &steps_done, 100000},
        {"accesses", &happened.accesses, 100000},
        {"stores to tables", &happened.stores, 20000},
        {"hidden faults", &happened.hidden, 20000},
        {"true faults", &happened.true_faults, 10000},
        {"true faults without an exit", &happened.direct, 300},
        {"emulated", &happened.emulated, 2000},
        {"traced writes", &happened.traced, 5000},
        {"released", &happened.released, 300},
        {"stale translations used", &happened.stale, 50},
        {"stale faults", &happened.stale_faults, 0},
        {"accesses that the error code does not tell", &happened.untold, 50},
        {"writes that CR0.WP = 0 alone allows", &happened.wp_clear, 300},
        {"INVLPG without an exit", &happened.native_invlpg, 3000},
        {"INVPCID without an exit", &happened.native_invpcid, 1000},
        {"roots loaded unseen that flush nothing", &happened.kept_unseen, 300},
        {"accesses without paging", &happened.unpaged, 5000},
        {"p2m changes", &happened.p2m_changes, 200},
        {"tables recycled", &recycled, 50},
        {"tables left out of sync", &out_of_sync, 300},
        {"tables taken out of the tree", &out_of_tree, 300},
        {"roots loaded unseen", &unseen, 500},
        {"roots loaded that had a table", &root_hits, 1000},
    };
    story_counts(counted, ARRAY_SIZE(counted));
}

static void test_random(void **unused)
{
    (void)unused;
    if (story_runs(RUNS, STEPS, run_one))
        check_counts();
}

static void test_switched(void **unused)
{
    (void)unused;
    static const struct story_count kept = {"tables kept while the guest did without", &happened.kept, 5000};
    switch_steps = SWITCH_STEPS;
    if (story_runs(RUNS / 4, STEPS, run_one))
        story_counts(&kept, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_switched)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
