// Shadow roots in place: which frames are claimed, whose pages move for that, what the targets are, which
// VPIDs are flushed, and that nothing is lost when places are given to other roots. The tables themselves are
// the business of test_shadow.c.
// link: ENGINE
#include "support.h"

#include <arch/cpu.h>
#include <hv/p2m_change.h>
#include "shadow/engine.h"
#include "shadow/format.h"

#define MACHINE     (64 * MIB)
#define FRAMES      (MACHINE / PAGE_SIZE)
#define GUEST_FIRST 0x2000u // mfn of gfn 0
#define GUEST       0x1000u // pages
#define ROOTS       0x100u  // gfn of the guest's roots; all share one tree
#define DATA        0x80u   // gfn of a page that the tree maps at gva 0
#define TREE        0x81u   // gfn of its tables of levels 3, 2 and 1
#define PRESENT     0x63ul  // writable, accessed, dirty
#define TARGETS     4u

static struct frames frames;
static struct p2m p2m;
static struct shadow shadow;
static struct shadow_view view;
static struct walk_context *const guest = &view.walk;
static unsigned flushes[FRAMES], flushed_all;

static void flush_vpid(void *context, u16 vpid)
{
    (void)context;
    flushes[vpid]++;
}

static void flush_all(void *context)
{
    (void)context;
    flushed_all++;
}

static void flush_address(void *context, u64 gva)
{
    (void)context;
    (void)gva;
}

static u64 now(void *context)
{
    (void)context;
    return 0;
}

static void changing(void *context, gfn_t first, u64 count)
{
    shadow_p2m_changing(context, first, count);
}

static u64 *page(u64 g)
{
    return mfn_ptr(p2m_lookup(&p2m, gfn(g)).mfn);
}

static void guest_make(void)
{
    for (unsigned level = 0; level < 2; level++)
        page(TREE + level)[0] = (TREE + level + 1) * PAGE_SIZE | PRESENT;
    page(TREE + 2)[0] = DATA * PAGE_SIZE | PRESENT;
    for (u64 g = ROOTS; g < GUEST; g++)
        page(g)[0] = TREE * PAGE_SIZE | PRESENT;
    *guest = (struct walk_context){
        .p2m = &p2m,
        .regs = {CR0_PE | CR0_PG | CR0_WP, ROOTS * PAGE_SIZE, CR4_PAE, EFER_LME | EFER_LMA | EFER_NXE},
        .physical_bits = 40,
    };
}

static const struct shadow_hw hw = {flush_vpid, flush_all, flush_address, now, NULL};

// The guest's pages from machine frame `first` on.
static void machine_make(u64 first, bool root_vpids)
{
    const struct shadow_config config = {
        .strategy = shadow_strategies[SHADOW_ADAPTIVE],
        .directpf = true,
        .root_vpids = root_vpids,
        .pool = 256,
        .physical_bits = 40,
        .targets = TARGETS,
    };
    memory_make(MACHINE, &frames);
    for (u64 i = 0; i < GUEST; i++)
        assert_int_equal(frames_alloc_at(&frames, mfn(first + i), ORDER_4K, FRAME_GUEST), 0);
    assert_int_equal(p2m_init(&p2m, &frames, P2M_LEVEL_4K, memory_write_back), 0);
    assert_int_equal(p2m_map(&p2m, gfn(0), mfn(first), GUEST, P2M_RAM), 0);
    assert_int_equal(shadow_init(&shadow, &p2m, &config), 0);
    assert_int_equal(shadow_view_init(&view, &shadow, guest, &hw), 0);
    p2m.changing = changing;
    p2m.context = &shadow;
    guest_make();
    memset(flushes, 0, sizeof(flushes));
    flushed_all = 0;
}

// The page at gva 0 is where the tables from CR3 on say.
static void walk_check(u64 cr3)
{
    u64 address = cr3 & 0xffffffffff000;
    for (unsigned level = 4; level > 0; level--) {
        assert_true(frames_owned(&frames, hpa_mfn(address), 1, FRAME_MONITOR));
        u64 entry = *(u64 *)phys_ptr(address);
        assert_true(entry & 1 && !(entry & BIT(51)));
        address = entry & 0xffffffffff000;
    }
    assert_int_equal(address, mfn_hpa(p2m_lookup(&p2m, gfn(DATA)).mfn));
}

static void fault(void)
{
    struct mmu_fault f = {.gva = 0};
    assert_int_equal(shadow_fault(&view, &f), MMU_FIXED);
}

static u16 last_vpid;

// The guest loads a root, which exits, and reads gva 0. Returns what CR3 holds then.
static u64 load(u64 cr3)
{
    guest->regs.cr3 = cr3;
    u64 now = shadow_load_root(&view, &last_vpid);
    fault();
    walk_check(now);
    assert_null(shadow_audit(&view));
    return now;
}

static bool is_target(u64 cr3)
{
    u64 targets[SHADOW_TARGETS];
    unsigned count = shadow_targets(&view, targets), found = 0;
    assert_true(count <= TARGETS);
    for (unsigned i = 0; i < count; i++)
        found += targets[i] == cr3;
    assert_true(found <= 1);
    return found;
}

static void in_place(void **state)
{
    (void)state;
    machine_make(GUEST_FIRST, true);
    assert_int_equal(load(ROOTS * PAGE_SIZE), ROOTS * PAGE_SIZE);
    assert_int_equal(load((ROOTS + 1) * PAGE_SIZE | 0x18), (ROOTS + 1) * PAGE_SIZE | 0x18); // PCD and PWT
    assert_true(is_target(ROOTS * PAGE_SIZE) && is_target((ROOTS + 1) * PAGE_SIZE | 0x18));
    assert_int_equal(load((ROOTS + 1) * PAGE_SIZE), (ROOTS + 1) * PAGE_SIZE);
    assert_true(is_target((ROOTS + 1) * PAGE_SIZE) && !is_target((ROOTS + 1) * PAGE_SIZE | 0x18));
    assert_int_equal(shadow.stats.places_claimed, 2);
    assert_int_equal(shadow.stats.places_moved, 0);
    memory_gone();
}

// Guest memory at the very addresses that its roots want: every page that lies there moves, roots too.
static void pages_move(void **state)
{
    (void)state;
    machine_make(1, true);
    for (u64 g = 0; g < GUEST; g++)
        page(g)[511] = g ^ 0x5555;
    for (u64 g = ROOTS; g < ROOTS + 20; g++) {
        u64 free = frames.count[FRAME_FREE];
        assert_int_equal(load(g * PAGE_SIZE), g * PAGE_SIZE);
        assert_int_equal(frames.count[FRAME_FREE], free - 1);
        for (u64 i = 0; i < GUEST; i++)
            assert_int_equal(page(i)[511], i ^ 0x5555);
    }
    assert_int_equal(frames.count[FRAME_GUEST], GUEST);
    assert_int_equal(shadow.stats.places_moved, 20);
    memory_gone();
}

// What is not the guest's, not there, or a root that is not in RAM: it exits, and there are no targets.
static void not_to_be_placed(void **state)
{
    (void)state;
    machine_make(GUEST_FIRST, true);
    mfn_t taken = mfn(ROOTS + 7);
    assert_int_equal(frames_alloc_at(&frames, taken, ORDER_4K, FRAME_MONITOR), 0);
    assert_int_equal(load(ROOTS * PAGE_SIZE), ROOTS * PAGE_SIZE);
    u64 hpa = load((ROOTS + 7) * PAGE_SIZE);
    assert_int_not_equal(hpa, (ROOTS + 7) * PAGE_SIZE);
    assert_false(is_target(ROOTS * PAGE_SIZE));
    assert_int_equal(shadow.stats.places_refused, 1);
    assert_int_equal(shadow.refused, 0);
    for (unsigned i = 1; i < SHADOW_REFUSALS; i++) {
        u64 changes = view.control_changes;
        load((ROOTS + 7) * PAGE_SIZE);
        assert_int_equal(shadow.refused, i + 1 == SHADOW_REFUSALS ? ROOTS + 7 : 0);
        assert_true(!shadow.refused || view.control_changes > changes); // the caller looks
    }
    page(0)[0] = TREE * PAGE_SIZE | PRESENT;
    load(0);
    assert_int_equal(p2m_map(&p2m, gfn(FRAMES + 5), p2m_lookup(&p2m, gfn(ROOTS + 9)).mfn, 1, P2M_RAM), 0);
    load((FRAMES + 5) * PAGE_SIZE);
    guest->regs.cr3 = (FRAMES + 6) * PAGE_SIZE; // a hole
    shadow_load_root(&view, &last_vpid);
    assert_int_equal(shadow_targets(&view, (u64[SHADOW_TARGETS]){0}), 0);
    assert_int_equal(load(ROOTS * PAGE_SIZE), ROOTS * PAGE_SIZE);
    assert_true(is_target(ROOTS * PAGE_SIZE));
    memory_gone();
}

// While a table is out of sync the guest's loads must be seen.
static void out_of_sync(void **state)
{
    (void)state;
    machine_make(GUEST_FIRST, true);
    load(ROOTS * PAGE_SIZE);
    assert_true(is_target(ROOTS * PAGE_SIZE));
    shadow_release(&view, ptr_hpa(page(TREE + 2)));
    assert_false(is_target(ROOTS * PAGE_SIZE));
    page(TREE + 2)[0] = (DATA + 1) * PAGE_SIZE | PRESENT;
    page(TREE + 2)[0] = DATA * PAGE_SIZE | PRESENT;
    load(ROOTS * PAGE_SIZE);
    assert_true(is_target(ROOTS * PAGE_SIZE));
    memory_gone();
}

// The four that were used last, unseen switches counted.
static void targets(void **state)
{
    (void)state;
    machine_make(GUEST_FIRST, true);
    for (u64 g = ROOTS; g < ROOTS + 4; g++)
        load(g * PAGE_SIZE);
    guest->regs.cr3 = ROOTS * PAGE_SIZE;
    shadow_root_switched(&view, guest->regs.cr3);
    assert_int_equal(shadow.stats.roots_unseen, 1);
    assert_null(shadow_audit(&view));
    walk_check(guest->regs.cr3);
    load((ROOTS + 4) * PAGE_SIZE);
    assert_true(is_target(ROOTS * PAGE_SIZE) && !is_target((ROOTS + 1) * PAGE_SIZE));
    for (u64 g = ROOTS + 2; g <= ROOTS + 4; g++)
        assert_true(is_target(g * PAGE_SIZE));
    memory_gone();
}

// A root that is dropped is no target; its place waits for the next root there.
static void dropped(void **state)
{
    (void)state;
    machine_make(GUEST_FIRST, true);
    load(ROOTS * PAGE_SIZE);
    load((ROOTS + 1) * PAGE_SIZE);
    u64 changes = view.target_changes;
    assert_int_equal(p2m_move(&p2m, gfn(ROOTS)), 0);
    assert_true(view.target_changes > changes);
    load((ROOTS + 1) * PAGE_SIZE);
    assert_false(is_target(ROOTS * PAGE_SIZE));
    assert_int_equal(load(ROOTS * PAGE_SIZE), ROOTS * PAGE_SIZE);
    assert_int_equal(shadow.stats.places_claimed, 2);
    memory_gone();
}

// Roots in place share a VPID, under which there is only what belongs to the one in use.
static void vpids(void **state)
{
    (void)state;
    machine_make(GUEST_FIRST, true);
    const u64 a = ROOTS * PAGE_SIZE, b = a + PAGE_SIZE;
    load(a);
    u16 shared = last_vpid;
    load(b);
    assert_int_equal(last_vpid, shared);
    unsigned before = flushes[shared];
    load(b);
    assert_int_equal(flushes[shared], before); // nothing has changed
    load(a);
    assert_int_equal(flushes[shared], before + 1);
    page(TREE + 2)[1] = DATA * PAGE_SIZE | PRESENT;
    shadow_written(&view, ptr_hpa(page(TREE + 2)) + 8, 8);
    page(TREE + 2)[1] = (DATA + 1) * PAGE_SIZE | PRESENT;
    shadow_written(&view, ptr_hpa(page(TREE + 2)) + 8, 8); // a translation changes
    shadow_root_switched(&view, b);                        // the processor flushes
    load(b);
    assert_int_equal(flushes[shared], before + 1);
    load(a);
    assert_int_equal(flushes[shared], before + 2);
    assert_int_equal(frames_alloc_at(&frames, mfn(ROOTS + 7), ORDER_4K, FRAME_MONITOR), 0);
    load((ROOTS + 7) * PAGE_SIZE);
    assert_int_not_equal(last_vpid, shared);
    load(a);
    assert_int_equal(last_vpid, shared);
    assert_int_equal(flushes[shared], before + 2);
    memory_gone();
}

// The guest loads a root by `cr3` with bit 63, which exits.
static u64 load_kept(u64 cr3)
{
    view.keeps = true;
    u64 now = load(cr3);
    view.keeps = false;
    return now;
}

static void turn_pcids(bool on)
{
    struct paging_regs before = guest->regs;
    guest->regs.cr4 = on ? before.cr4 | CR4_PCIDE : before.cr4 & ~CR4_PCIDE;
    shadow_paging_changed(&view, &before, &guest->regs);
    load(guest->regs.cr3);
}

// With PCIDs one VPID is for all roots, in place or not. A load with bit 63 flushes nothing, another one all
// that it has. Targets have bit 63, and are the PCID that the root was loaded with last.
static void pcids(void **state)
{
    (void)state;
    machine_make(GUEST_FIRST, true);
    const u64 a = ROOTS * PAGE_SIZE, b = a + PAGE_SIZE, far = (ROOTS + 7) * PAGE_SIZE;
    assert_int_equal(frames_alloc_at(&frames, hpa_mfn(far), ORDER_4K, FRAME_MONITOR), 0);
    load(a);
    u16 own = last_vpid;
    turn_pcids(true);
    u16 shared = last_vpid;
    assert_int_not_equal(shared, own);
    assert_int_equal(flushes[shared], 1);
    assert_int_equal(load(b | 5), b | 5);
    assert_int_equal(load(a | 7), a | 7);
    assert_int_equal(flushes[shared], 3);
    assert_int_equal(load_kept(b | 5), b | 5);
    assert_int_equal(load_kept(a | 7), a | 7);
    assert_int_equal(flushes[shared], 3);
    assert_true(is_target(a | 7 | CR3_NO_FLUSH) && is_target(b | 5 | CR3_NO_FLUSH));
    assert_false(is_target(a | 7) || is_target(a) || is_target(a | CR3_NO_FLUSH));
    shadow_root_switched(&view, guest->regs.cr3 = a | 7);
    assert_null(shadow_audit(&view));
    load_kept(b | 6); // not known to be nobody's
    assert_true(is_target(b | 6 | CR3_NO_FLUSH) && !is_target(b | 5 | CR3_NO_FLUSH));
    assert_int_equal(load(far | 0xfff) & 0xfff, 0xfff);
    assert_int_equal(last_vpid, shared);
    assert_int_equal(flushes[shared], 5);
    load_kept(b | 6);
    load_kept(far | 0xfff);
    assert_int_equal(flushes[shared], 5);
    load_kept(a);
    turn_pcids(false);
    assert_int_equal(last_vpid, own);
    assert_int_equal(flushed_all, 1);
    assert_true(is_target(a) && !is_target(a | CR3_NO_FLUSH));
    memory_gone();
}

// A PCID that goes from one root to another without the guest's flushing it: the guest may end by one INVLPG
// a large page that the processor has cached in splinters.
static void pcid_of_two(void **state)
{
    (void)state;
    machine_make(GUEST_FIRST, true);
    const u64 a = ROOTS * PAGE_SIZE, b = a + PAGE_SIZE, far = (ROOTS + 7) * PAGE_SIZE;
    assert_int_equal(frames_alloc_at(&frames, hpa_mfn(far), ORDER_4K, FRAME_MONITOR), 0);
    load(a);
    turn_pcids(true);
    load(a | 5);
    u16 shared = last_vpid;
    unsigned before = flushes[shared];
    load_kept(b | 5);
    assert_int_equal(flushes[shared], before + 1);
    assert_true(is_target(b | 5 | CR3_NO_FLUSH) && !is_target(a | 5 | CR3_NO_FLUSH));
    load_kept(a | 5);
    assert_int_equal(flushes[shared], before + 2);
    load_kept(a | 5);
    assert_int_equal(flushes[shared], before + 2);
    load_kept(far | 5);
    assert_int_equal(flushes[shared], before + 3);
    load(b | 6);
    assert_true(is_target(b | 6 | CR3_NO_FLUSH) && !is_target(a | 5 | CR3_NO_FLUSH));
    memory_gone();
}

// The guest was elsewhere meanwhile, and all was flushed since: what the first root left under the VPID that
// all share is the second one's by now.
static void returned(void **state)
{
    (void)state;
    machine_make(GUEST_FIRST, true);
    const u64 a = ROOTS * PAGE_SIZE, b = a + PAGE_SIZE;
    load(a);
    u16 shared = last_vpid;
    const struct walk_context away = *guest;
    shadow_view_leave(&view);
    assert_int_equal(shadow_view_init(&view, &shadow, &away, &hw), 0);
    load(b);
    struct paging_regs global = guest->regs;
    global.cr4 ^= CR4_PGE;
    shadow_paging_changed(&view, &guest->regs, &global);
    load(b);
    unsigned before = flushes[shared];
    load(a);
    assert_int_equal(last_vpid, shared);
    assert_int_equal(flushes[shared], before + 1);
    memory_gone();
}

// More roots than places, again and again: claimed frames come back, what lay there moves home.
static void many(void **state)
{
    (void)state;
    machine_make(GUEST_FIRST, random_below(2));
    u64 monitors = frames.count[FRAME_MONITOR];
    for (unsigned i = 0; i < 3000; i++) {
        u64 cr3 = (ROOTS + random_below(2 * SHADOW_PLACES)) * PAGE_SIZE;
        u64 targets[SHADOW_TARGETS];
        unsigned count = shadow_targets(&view, targets);
        if (count && random_below(2))
            shadow_root_switched(&view, guest->regs.cr3 = targets[random_below(count)]);
        else
            assert_int_equal(load(cr3), cr3);
        assert_null(shadow_audit(&view));
        walk_check(guest->regs.cr3);
        assert_true(frames.count[FRAME_MONITOR] <= monitors + SHADOW_PLACES);
    }
    assert_int_equal(frames.count[FRAME_MONITOR], monitors + SHADOW_PLACES);
    memory_gone();
}

// A root in read-only memory has links although its accessed bits stay clear. One in RAM with the same
// entries does not take them over: the processor would go through them without setting the bits.
static void unaccessed(void **state)
{
    (void)state;
    machine_make(GUEST_FIRST, true);
    page(ROOTS)[0] = page(ROOTS + 1)[0] = TREE * PAGE_SIZE | (PRESENT ^ PTE_A);
    assert_int_equal(p2m_protect(&p2m, gfn(ROOTS), 1, P2M_RAM_RO), 0);
    load(ROOTS * PAGE_SIZE);
    assert_false(page(ROOTS)[0] & PTE_A);
    guest->regs.cr3 = (ROOTS + 1) * PAGE_SIZE;
    u64 root = shadow_load_root(&view, &last_vpid);
    assert_true(*(u64 *)phys_ptr(root) & BIT(51)); // unknown
    fault();
    assert_true(page(ROOTS + 1)[0] & PTE_A);
    walk_check(root);
    memory_gone();
}

int main(void)
{
    random_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_place),    cmocka_unit_test(pages_move), cmocka_unit_test(not_to_be_placed),
        cmocka_unit_test(out_of_sync), cmocka_unit_test(targets),    cmocka_unit_test(dropped),
        cmocka_unit_test(vpids),       cmocka_unit_test(returned),   cmocka_unit_test(many),
        cmocka_unit_test(unaccessed),  cmocka_unit_test(pcids),      cmocka_unit_test(pcid_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
