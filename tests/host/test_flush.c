// What the engine has the processor flush when a page of the guest's becomes a table, or an entry above level
// 1 goes: one address where that is enough, all VPIDs where it is not. That nothing stale is ever used is
// test_shadow's subject.

// link: ENGINE
#include "support.h"

#include <arch/cpu.h>
#include "shadow/engine.h"

#define MACHINE      (64 * MIB)
#define BACKING      0x1000u // mfn of gfn 0
#define GUEST_FRAMES 0x800u
#define TABLES       0x10u // gfn of the guest's root; tables of levels 3, 2 and 1 follow
#define LEAVES       (TABLES + 3)
#define PAGE         0x20u  // gfn of a page that becomes a table
#define LARGE        0x400u // gfn of a page of 2M
#define PRESENT      0x63ul // writable, accessed, dirty
#define PRESENT_PAGE 0xe3ul // the same, large
#define AT(pd, pt)   ((u64)(pd) << 21 | (u64)(pt) << 12)

static struct frames frames;
static struct p2m p2m;
static struct shadow shadow;
static struct shadow_view view;
static unsigned all, addresses;
static u64 address, guest_cycles;

static void flush_vpid(void *context, u16 vpid)
{
    (void)context, (void)vpid;
}

static void flush_all(void *context)
{
    (void)context;
    all++;
}

static void flush_address(void *context, u64 gva)
{
    (void)context;
    address = gva;
    addresses++;
}

static u64 now(void *context)
{
    (void)context;
    return guest_cycles += 10000;
}

static u64 *table(u64 g)
{
    return mfn_ptr(mfn(BACKING + g));
}

static void touch(u64 gva, u32 error_code)
{
    struct mmu_fault f = {.gva = gva, .error_code = error_code};
    assert_int_equal(shadow_fault(&view, &f), MMU_FIXED);
}

// The guest stores to a table, through the monitor if that is traced.
static void store(u64 g, unsigned slot, u64 value)
{
    table(g)[slot] = value;
    shadow_written(&view, mfn_hpa(mfn(BACKING + g)) + slot * 8, 8);
}

// It goes out of sync: the guest's further stores are not seen.
static void lose(u64 g)
{
    shadow_release(&view, mfn_hpa(mfn(BACKING + g)));
}

// The guest's tables lead AT(0, n) to gfn n, and AT(1, n) to the same by a large page; slot 2 of its
// directory is free. AT(0, PAGE) is in use and writable.
static int start(void **state)
{
    const struct shadow_config config = {.strategy = shadow_strategies[SHADOW_ADAPTIVE],
                                         .directpf = true,
                                         .root_vpids = true,
                                         .large = true,
                                         .physical_bits = 40,
                                         .pool = SHADOW_POOL_MIN};
    const struct shadow_hw hw = {flush_vpid, flush_all, flush_address, now, NULL};
    const struct walk_context walk = {
        .p2m = &p2m,
        .regs = {CR0_PE | CR0_PG | CR0_WP, TABLES * PAGE_SIZE, CR4_PAE, EFER_LME | EFER_LMA | EFER_NXE},
        .physical_bits = 40,
    };
    u16 vpid;
    (void)state;
    memory_make(MACHINE, &frames);
    assert_int_equal(frames_alloc_at(&frames, mfn(BACKING), 11, FRAME_GUEST), 0);
    assert_int_equal(p2m_init(&p2m, &frames, P2M_LEVEL_2M, memory_write_back), 0);
    assert_int_equal(p2m_map(&p2m, gfn(0), mfn(BACKING), GUEST_FRAMES, P2M_RAM), 0);
    for (u64 g = TABLES; g < LEAVES; g++)
        table(g)[0] = (g + 1) * PAGE_SIZE | PRESENT;
    for (unsigned slot = 0; slot < 512; slot++)
        table(LEAVES)[slot] = slot * PAGE_SIZE | PRESENT;
    table(TABLES + 2)[1] = LARGE * PAGE_SIZE | PRESENT_PAGE;
    assert_int_equal(shadow_init(&shadow, &p2m, &config), 0);
    assert_int_equal(shadow_view_init(&view, &shadow, &walk, &hw), 0);
    shadow_load_root(&view, &vpid);
    touch(AT(0, PAGE), PFEC_W);
    all = addresses = 0;
    address = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_null(shadow_audit(&view));
    memory_gone();
    return 0;
}

// PAGE becomes a table of level 1, at AT(2, ...), and is used as such.
static void becomes_table(u64 page)
{
    table(page)[0] = PRESENT;
    store(TABLES + 2, 2, page * PAGE_SIZE | PRESENT);
    touch(AT(2, 0), 0);
}

static void test_by_address(void **state)
{
    (void)state;
    becomes_table(PAGE);
    assert_int_equal(addresses, 1);
    assert_int_equal(address, AT(0, PAGE));
    assert_int_equal(all, 0);
}

// Nothing of it can be in a TLB.
static void test_not_writable(void **state)
{
    (void)state;
    becomes_table(PAGE + 200);
    assert_int_equal(addresses + all, 0);
}

static void test_gone(void **state)
{
    (void)state;
    store(LEAVES, PAGE, 0);
    becomes_table(PAGE);
    assert_int_equal(all, 1);
    store(TABLES + 2, 2, 0);
    becomes_table(PAGE); // no leaf since
    assert_int_equal(all, 1);
}

static void test_gone_with_table(void **state)
{
    (void)state;
    store(TABLES + 2, 0, 0);
    assert_int_equal(all, 0);
    becomes_table(PAGE);
    assert_int_equal(all, 1);
}

static void test_made_read_only(void **state)
{
    (void)state;
    store(LEAVES, PAGE, PAGE * PAGE_SIZE | (PRESENT & ~2ul));
    becomes_table(PAGE);
    assert_int_equal(all, 1);
}

static void test_large_gone(void **state)
{
    (void)state;
    touch(AT(1, 0), PFEC_W);
    assert_int_equal(shadow_stats_now(&shadow).large_leaves, 1);
    store(TABLES + 2, 1, 0);
    assert_int_equal(all, 0);
    becomes_table(LARGE + 5);
    assert_int_equal(all, 1);
}

static void test_two_places(void **state)
{
    (void)state;
    store(TABLES + 2, 3, LEAVES * PAGE_SIZE | PRESENT);
    touch(AT(3, 7), 0);
    becomes_table(PAGE);
    assert_int_equal(all, 1);
}

static void test_place_before(void **state)
{
    (void)state;
    store(TABLES + 2, 3, LEAVES * PAGE_SIZE | PRESENT);
    touch(AT(3, 7), 0);
    store(TABLES + 2, 0, 0);
    assert_int_equal(all, 0);
    becomes_table(PAGE);
    assert_int_equal(all, 1);
}

// The directory is out of sync while both places go. The table stays, and one of them comes back.
static void test_places_before(void **state)
{
    (void)state;
    touch(AT(1, 0), 0); // the directory leads somewhere, and so stays
    store(TABLES + 2, 3, LEAVES * PAGE_SIZE | PRESENT);
    touch(AT(3, 7), 0);
    lose(TABLES + 2);
    table(TABLES + 2)[3] = table(TABLES + 2)[0] = 0;
    shadow_invlpg(&view, AT(1, 0));
    store(TABLES + 2, 3, LEAVES * PAGE_SIZE | PRESENT);
    touch(AT(3, 7), 0);
    assert_int_equal(all, 0);
    becomes_table(PAGE);
    assert_int_equal(all, 1);
}

// It has been elsewhere, and all has been flushed since.
static void test_flushed_since(void **state)
{
    (void)state;
    touch(AT(1, 0), 0);
    touch(AT(0, PAGE + 1), PFEC_W);
    store(LEAVES, PAGE + 1, 0);
    lose(TABLES + 2);
    table(TABLES + 2)[0] = 0;
    shadow_invlpg(&view, AT(0, 7));
    becomes_table(PAGE + 1);
    assert_int_equal(all, 1);
    store(TABLES + 2, 3, LEAVES * PAGE_SIZE | PRESENT);
    touch(AT(3, 7), 0);
    becomes_table(PAGE);
    assert_int_equal(all, 1);
    assert_int_equal(address, AT(3, PAGE));
}

// The table that led there is dropped, and its place is another one afterwards.
static void test_orphan_elsewhere(void **state)
{
    (void)state;
    store(TABLES + 1, 0, 0);
    table(TABLES + 2)[0] = 0;
    table(TABLES + 2)[3] = LEAVES * PAGE_SIZE | PRESENT;
    store(TABLES + 1, 0, (TABLES + 2) * PAGE_SIZE | PRESENT);
    touch(AT(3, 7), 0);
    assert_int_equal(all, 0);
    becomes_table(PAGE);
    assert_int_equal(all, 1);
}

// More leaves than are flushed one by one.
static void test_many_leaves(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SHADOW_STALE + 1; i++) {
        store(LEAVES, 100 + i, PAGE * PAGE_SIZE | PRESENT);
        touch(AT(0, 100 + i), PFEC_W);
    }
    all = 0;
    becomes_table(PAGE);
    assert_int_equal(all, 1);
    assert_int_equal(addresses, 0);
}

// An upper entry goes. The guest itself flushes what is below, but for the pieces of its large pages.
static void test_upper_entry(void **state)
{
    (void)state;
    store(TABLES, 0, 0);
    assert_int_equal(all, 0);
}

static void test_upper_entry_over_splinters(void **state)
{
    (void)state;
    store(TABLES + 2, 1, 0 | PRESENT_PAGE); // the tables lie in it
    touch(AT(1, 3), 0);
    assert_int_equal(shadow_stats_now(&shadow).large_leaves, 0);
    store(TABLES, 0, 0);
    assert_int_equal(all, 1);
}

static void load_root(u64 g)
{
    u16 vpid;
    view.walk.regs.cr3 = g * PAGE_SIZE;
    shadow_load_root(&view, &vpid);
}

// Two tables lead to the one that has splinters. Both know; of one a second root takes care, so it stays.
static void test_two_ways_to_splinters(void **state)
{
    (void)state;
    table(TABLES + 6)[0] = table(TABLES)[0];
    load_root(TABLES + 6);
    touch(AT(0, 7), 0);
    load_root(TABLES);
    table(TABLES + 5)[0] = (TABLES + 2) * PAGE_SIZE | PRESENT;
    store(TABLES, 1, (TABLES + 5) * PAGE_SIZE | PRESENT);
    touch(1ul << 39 | AT(0, 7), 0);
    store(TABLES + 2, 1, 0 | PRESENT_PAGE);
    touch(AT(1, 3), 0);
    all = 0;
    store(TABLES, 0, 0);
    assert_int_equal(all, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_by_address),
        TEST(test_not_writable),
        TEST(test_gone),
        TEST(test_gone_with_table),
        TEST(test_made_read_only),
        TEST(test_large_gone),
        TEST(test_two_places),
        TEST(test_place_before),
        TEST(test_places_before),
        TEST(test_flushed_since),
        TEST(test_orphan_elsewhere),
        TEST(test_many_leaves),
        TEST(test_upper_entry),
        TEST(test_upper_entry_over_splinters),
        TEST(test_two_ways_to_splinters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
