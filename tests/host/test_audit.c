// The audit of the shadow engine: what holds passes, and each kind of damage to one entry is found, in
// bounded turns, and told with its place. A guest with a few pages is run into the engine by faults, as its
// processor would; then an entry of a shadow table is damaged behind the engine's back. Whether the engine
// keeps right by itself is test_shadow's subject.

// link: ENGINE
#include "support.h"

#include <arch/cpu.h>
#include <hv/walk.h>
#include "shadow/engine.h"

#define MACHINE      (64 * MIB)
#define BACKING      0x1000u // mfn of gfn 0
#define GUEST_FRAMES 0x200u
#define ROOT         0x10u // gfn of the guest's table of level 4; the lower ones follow
#define DATA         0x20u // the first gfn that is mapped
#define PAGES        8u
#define P            BIT(0)
#define W            BIT(1)
#define AD           (BIT(5) | BIT(6))

static struct frames frames;
static struct p2m p2m;
static struct shadow shadow;
static struct shadow_view view;

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

static u64 no_time(void *context)
{
    (void)context;
    return 0;
}

static u64 *guest_table(unsigned level)
{
    return mfn_ptr(mfn(BACKING + ROOT + 4 - level));
}

static void tables_make(void)
{
    for (unsigned level = 4; level > 1; level--)
        guest_table(level)[0] = (ROOT + 5 - level) * PAGE_SIZE | P | W | AD;
    for (unsigned i = 0; i < PAGES; i++)
        guest_table(1)[i] = (DATA + i) * PAGE_SIZE | P | W | AD;
}

static int setup(void **state)
{
    const struct shadow_config config = {.strategy = shadow_strategies[SHADOW_ADAPTIVE],
                                         .directpf = true,
                                         .physical_bits = 40,
                                         .pool = SHADOW_POOL_MIN};
    const struct shadow_hw hw = {no_flush_vpid, no_flush_all, no_flush_address, no_time, NULL};
    (void)state;
    memory_make(MACHINE, &frames);
    assert_int_equal(frames_alloc_at(&frames, mfn(BACKING), 9, FRAME_GUEST), 0);
    assert_int_equal(p2m_init(&p2m, &frames, P2M_LEVEL_4K, memory_write_back), 0);
    assert_int_equal(p2m_map(&p2m, gfn(0), mfn(BACKING), GUEST_FRAMES, P2M_RAM), 0);
    assert_int_equal(shadow_init(&shadow, &p2m, &config), 0);
    tables_make();
    const struct walk_context start = {
        .p2m = &p2m,
        .regs = {CR0_PE | CR0_PG | CR0_WP, ROOT * PAGE_SIZE, CR4_PAE, EFER_LME | EFER_LMA | EFER_NXE},
        .physical_bits = 40,
    };
    assert_int_equal(shadow_view_init(&view, &shadow, &start, &hw), 0);
    u16 vpid;
    shadow_load_root(&view, &vpid);
    for (unsigned i = 0; i < PAGES; i++) {
        struct mmu_fault f = {.gva = i * PAGE_SIZE, .error_code = PFEC_W};
        assert_int_equal(shadow_fault(&view, &f), MMU_FIXED);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    memory_gone();
    return 0;
}

// The shadow table of a level: there is one of each.
static struct shadow_table *table_of(unsigned level)
{
    struct shadow_table *t = shadow.tables;
    while (!t->used || t->level != level)
        t++;
    return t;
}

static void sound(void **state)
{
    (void)state;
    struct shadow_finding finding;
    u32 at = 0, looked_at;
    assert_null(shadow_audit(&view));
    for (u32 count = 1; count < 7; count++) {
        assert_true(shadow_audit_some(&view, &at, count, &looked_at, &finding));
        assert_int_equal(looked_at, count < 4 ? count : 4); // each table at most once
        assert_null(finding.wrong);
    }
}

// Damages one entry; each of four turns looks at one of the four tables, so one of them finds it, as the
// whole audit does.
static void damage_is_found(unsigned level, unsigned slot, u64 entry, const char *wrong)
{
    struct shadow_finding finding;
    u32 at = 0, looked_at;
    unsigned found = 0;
    struct shadow_table *t = table_of(level);
    u64 before = t->entries[slot];
    t->entries[slot] = entry;
    assert_string_equal(shadow_audit(&view), wrong);
    for (unsigned turn = 0; turn < 4; turn++) {
        if (shadow_audit_some(&view, &at, 1, &looked_at, &finding))
            continue;
        found++;
        assert_string_equal(finding.wrong, wrong);
        assert_int_equal(finding.level, level);
        assert_int_equal(finding.slot, slot);
        assert_int_equal(finding.frame, BACKING + ROOT + 4 - level);
        assert_int_equal(finding.entry, entry);
        assert_int_equal(finding.guest_entry, guest_table(level)[slot]);
    }
    assert_int_equal(found, 1);
    t->entries[slot] = before;
    assert_null(shadow_audit(&view));
}

static void damage(void **state)
{
    (void)state;
    u64 leaf = table_of(1)->entries[3], link = table_of(3)->entries[0];
    damage_is_found(1, 3, leaf ^ PAGE_SIZE, "a leaf differs from the guest's entry");
    damage_is_found(1, 3, leaf | BIT(2), "a leaf differs from the guest's entry");
    damage_is_found(1, PAGES, leaf, "an entry maps although the guest's is not present");
    damage_is_found(1, 3, 0, "an exact none although the guest's entry is present");
    damage_is_found(3, 0, link | BIT(2), "an entry gives more rights than the guest's");
    damage_is_found(3, 0, link + PAGE_SIZE * (table_of(4) - table_of(2)),
                    "an entry leads to another table than the guest's");
    damage_is_found(2, 0, 0, "an exact none although the guest's entry is present");
}

// The guest's table changes and the engine is not told: that is what a lost traced write looks like.
static void lost_write(void **state)
{
    (void)state;
    struct shadow_finding finding;
    guest_table(1)[5] = 0;
    assert_false(shadow_audit_all(&view, &finding));
    assert_string_equal(finding.wrong, "an entry maps although the guest's is not present");
    assert_int_equal(finding.slot, 5);
    assert_int_equal(finding.guest_entry, 0);
    shadow_written(&view, (BACKING + ROOT + 3) * PAGE_SIZE + 5 * 8, 8);
    assert_true(shadow_audit_all(&view, &finding));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sound, setup, teardown),
        cmocka_unit_test_setup_teardown(damage, setup, teardown),
        cmocka_unit_test_setup_teardown(lost_write, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
