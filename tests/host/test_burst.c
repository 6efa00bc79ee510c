// When a guest's table of level 1 goes out of sync: after writes that follow closely, by the guest's own
// cycles. What an exit and the entry after it take is no time of the guest's, on a processor as under a
// hypervisor where it is seven times a burst's whole distance. What becomes of such a table is test_shadow's
// subject.

// link: ENGINE
#include "support.h"

#include <arch/cpu.h>
#include "shadow/engine.h"

#define MACHINE      (64 * MIB)
#define BACKING      0x1000u // mfn of gfn 0
#define GUEST_FRAMES 0x200u
#define TABLES       0x10u // gfn of the guest's root; the lower tables follow
#define LEAVES       (TABLES + 3)
#define PRESENT      0x63ul // writable, accessed, dirty
#define DISTANCE     1500u  // less than that of the guest's own cycles is close

static struct frames frames;
static struct p2m p2m;
static struct shadow shadow;
static struct shadow_view view;
static u64 guest_cycles;

static void no_flush_vpid(void *context, u16 vpid)
{
    (void)context, (void)vpid;
}

static void no_flush_all(void *context)
{
    (void)context;
}

static void no_flush_address(void *context, u64 gva)
{
    (void)context;
    (void)gva;
}

static u64 now(void *context)
{
    (void)context;
    return guest_cycles;
}

static u64 *table(u64 g)
{
    return mfn_ptr(mfn(BACKING + g));
}

static void engine_make(u32 empty_exit_cycles)
{
    const struct shadow_config config = {.strategy = shadow_strategies[SHADOW_ADAPTIVE],
                                         .physical_bits = 40,
                                         .pool = SHADOW_POOL_MIN,
                                         .empty_exit_cycles = empty_exit_cycles};
    const struct shadow_hw hw = {no_flush_vpid, no_flush_all, no_flush_address, now, NULL};
    const struct walk_context start = {
        .p2m = &p2m,
        .regs = {CR0_PE | CR0_PG | CR0_WP, TABLES * PAGE_SIZE, CR4_PAE, EFER_LME | EFER_LMA | EFER_NXE},
        .physical_bits = 40,
    };
    assert_int_equal(shadow_init(&shadow, &p2m, &config), 0);
    assert_int_equal(shadow_view_init(&view, &shadow, &start, &hw), 0);
}

// The guest's tables lead gva 0 to its own table of level 1.
static void start(u32 empty_exit_cycles)
{
    u16 vpid;
    struct mmu_fault read = {.gva = 0};
    memory_make(MACHINE, &frames);
    assert_int_equal(frames_alloc_at(&frames, mfn(BACKING), 9, FRAME_GUEST), 0);
    assert_int_equal(p2m_init(&p2m, &frames, P2M_LEVEL_4K, memory_write_back), 0);
    assert_int_equal(p2m_map(&p2m, gfn(0), mfn(BACKING), GUEST_FRAMES, P2M_RAM), 0);
    for (u64 g = TABLES; g < LEAVES; g++)
        table(g)[0] = (g + 1) * PAGE_SIZE | PRESENT;
    table(LEAVES)[0] = LEAVES * PAGE_SIZE | PRESENT;
    engine_make(empty_exit_cycles);
    shadow_load_root(&view, &vpid);
    assert_int_equal(shadow_fault(&view, &read), MMU_FIXED);
    guest_cycles = 1000000;
}

// The guest writes to an entry so many of its cycles after the last exit. Whether the table stays traced.
static bool write_is_traced(unsigned slot, u64 cycles)
{
    struct mmu_fault f = {.gva = slot * 8, .error_code = PFEC_P | PFEC_W};
    guest_cycles += cycles;
    enum mmu_outcome outcome = shadow_fault(&view, &f);
    table(LEAVES)[slot] = (u64)slot * PAGE_SIZE | PRESENT;
    if (outcome == MMU_FIXED)
        return false;
    assert_int_equal(outcome, MMU_TRACED);
    shadow_written(&view, f.hpa, 8);
    return true;
}

// Two writes with so many cycles of the guest's own and one exit between them.
static bool burst(u32 empty_exit_cycles, u64 own)
{
    start(empty_exit_cycles);
    assert_true(write_is_traced(100, DISTANCE));
    bool left = !write_is_traced(101, empty_exit_cycles + own);
    assert_int_equal(shadow_stats_now(&shadow).left_sync, left);
    memory_gone();
    return left;
}

static void exits_are_no_time(void **state)
{
    static const u32 costs[] = {0, 1500, 10000, 200000};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(costs); i++) {
        assert_true(burst(costs[i], 0));
        assert_true(burst(costs[i], 300));
        assert_true(burst(costs[i], DISTANCE - 1));
        assert_false(burst(costs[i], DISTANCE));
        assert_false(burst(costs[i], 2 * DISTANCE));
    }
}

// Entries apart in time are none, however many there are.
static void slow_writes(void **state)
{
    (void)state;
    start(10000);
    for (unsigned slot = 100; slot < 120; slot++)
        assert_true(write_is_traced(slot, 10000 + DISTANCE));
    memory_gone();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(exits_are_no_time), cmocka_unit_test(slow_writes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
