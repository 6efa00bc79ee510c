// How many exits it costs a kernel to change its page tables, in the ways that kernels do: copy on write,
// mprotect, munmap, the end of a process, fork, demand paging. A processor with a TLB walks the engine's
// tables, and what faults, is traced or is intercepted is an exit. What the tables then say is test_shadow's
// subject.

// link: ENGINE tests/host/model_walk.c tests/host/model_cpu.c tests/host/guest_entry.c
#include "support.h"

#include <arch/cpu.h>

#include "guest_entry.h"

#define MACHINE      (64 * MIB)
#define BACKING      0x1000u // mfn of gfn 0
#define GUEST_FRAMES 0x400u
#define ROOT         0x10u // gfn of the root; then the user's tables of levels 3 and 2, and of level 1
#define LEAVES       (ROOT + 3)
#define OTHER_LEAVES (ROOT + 4)
#define NEXT_ROOT    (ROOT + 8)
#define KERNEL       (ROOT + 5) // the kernel's tables of levels 3, 2 and 1: all of the first 2M, at KERNEL_GVA
#define PAGES        0x100u     // gfn of the user's pages
#define KERNEL_GVA   0xffff800000000000ul
#define USER_GVA     0x400000ul // what LEAVES maps; OTHER_LEAVES the 2M behind
#define TABLE_BITS   0x67ul     // writable, user's, accessed, dirty
#define PAGE_BITS    0x67ul
#define READ_ONLY    0x65ul
#define LARGE_BITS   (PAGE_BITS | 0x80ul)
#define KERNEL_BITS  0x63ul
#define APART        100000u // cycles between events that are no burst

static struct frames frames;
static struct p2m p2m;
static struct shadow shadow;
static struct shadow_view view;
static struct model_tlb tlb;
static struct model_cpu cpu = {.tlb = &tlb};
static u64 guest_cycles;
static unsigned exits;

static u64 now(void *processor)
{
    (void)processor;
    return guest_cycles;
}

static u64 *table(u64 g)
{
    return mfn_ptr(mfn(BACKING + g));
}

static u8 *machine_memory(u64 hpa, enum p2m_type *type)
{
    *type = P2M_RAM;
    return phys_ptr(hpa);
}

static void load_root(void)
{
    cpu.cr3 = shadow_load_root(&view, &cpu.vpid);
}

struct store {
    u64 value;
    unsigned bytes;
    bool plain; // by MOV, not by XCHG
};

static void store_to(u64 hpa, const struct store *store)
{
    memcpy(phys_ptr(hpa), &store->value, store->bytes);
}

// False: the guest gets a #PF. `store`: what a write to a table writes, or NULL.
static bool access_as(unsigned cpl, u64 gva, enum access kind, const struct store *store)
{
    view.walk.cpl = cpl;
    for (unsigned tries = 0; tries < 4; tries++) {
        struct walk out;
        guest_entry(&cpu, &view.walk);
        if (!cpu_access(&cpu, gva, (struct walk_access){kind, false}, &out)) {
            if (store)
                store_to(out.gpa, store);
            return true;
        }
        if (fault_is_direct(&shadow, &view.walk, out.error_code))
            return false;
        struct mmu_fault f = {.gva = gva, .error_code = out.error_code, .plain = store && store->plain};
        exits++;
        enum mmu_outcome outcome;
        if (!shadow_fault_watched(&view, &f, &outcome))
            outcome = shadow_fault(&view, &f);
        if (outcome == MMU_GUEST_FAULT)
            return false;
        if (outcome != MMU_TRACED)
            continue;
        assert_non_null(store);
        store_to(f.hpa, store);
        shadow_carried_out(&view, &f, store->bytes);
        return true;
    }
    fail_msg("gva %lx makes no progress", gva);
    return false;
}

static bool user(unsigned page, enum access kind)
{
    return access_as(3, USER_GVA + page * PAGE_SIZE, kind, NULL);
}

static void user_uses(unsigned page, enum access kind)
{
    assert_true(user(page, kind));
}

static void store_entry(u64 g, unsigned slot, const struct store *store)
{
    assert_true(access_as(0, KERNEL_GVA + g * PAGE_SIZE + slot * 8, ACCESS_WRITE, store));
    assert_int_equal(table(g)[slot], store->value);
}

// The kernel's locked store to an entry, of all of it or of its lowest byte.
static void set_bytes(u64 g, unsigned slot, u64 value, unsigned bytes)
{
    store_entry(g, slot, &(struct store){value, bytes, false});
}

static void set(u64 g, unsigned slot, u64 value)
{
    set_bytes(g, slot, value, 8);
}

// By MOV.
static void clear(u64 g, unsigned slot)
{
    store_entry(g, slot, &(struct store){0, 8, true});
}

static void invlpg(unsigned page)
{
    u64 gva = USER_GVA + page * PAGE_SIZE;
    if (!shadow_is_exact(&shadow)) {
        exits++;
        shadow_invlpg(&view, gva);
    }
    cpu_invlpg(&cpu, gva);
}

// Loads its own root again, as a kernel does to flush.
static void flush(void)
{
    if (cr3_is_target(&view, view.walk.regs.cr3)) {
        cpu_mov_cr3(&cpu, cpu.cr3);
        return;
    }
    exits++;
    load_root();
}

// The exits since the last call.
static unsigned exits_taken(void)
{
    unsigned taken = exits;
    exits = 0;
    guest_cycles += APART;
    assert_null(shadow_audit(&view));
    return taken;
}

static u64 page_entry(unsigned page, u64 flags)
{
    return (PAGES + page) * PAGE_SIZE | flags;
}

static void engine_make(void)
{
    const struct shadow_config config = {.strategy = shadow_strategies[SHADOW_ADAPTIVE],
                                         .directpf = true,
                                         .root_vpids = true,
                                         .prefetch = 8,
                                         .physical_bits = 40,
                                         .targets = SHADOW_TARGETS,
                                         .pool = SHADOW_POOL_MIN};
    const struct shadow_hw hw = guest_hardware(&cpu, now);
    const struct walk_context walk = {
        .p2m = &p2m,
        .regs = {CR0_PE | CR0_PG | CR0_WP, ROOT * PAGE_SIZE, CR4_PAE, EFER_LME | EFER_LMA | EFER_NXE},
        .physical_bits = 40,
    };
    assert_int_equal(shadow_init(&shadow, &p2m, &config), 0);
    assert_int_equal(shadow_view_init(&view, &shadow, &walk, &hw), 0);
}

// The user's first 64 pages are mapped and in use, and so is one page of the 2M behind. All that the kernel
// uses has been used.
static int start(void **state)
{
    (void)state;
    memory_make(MACHINE, &frames);
    assert_int_equal(frames_alloc_at(&frames, mfn(BACKING), 10, FRAME_GUEST), 0);
    assert_int_equal(p2m_init(&p2m, &frames, P2M_LEVEL_4K, memory_write_back), 0);
    assert_int_equal(p2m_map(&p2m, gfn(0), mfn(BACKING), GUEST_FRAMES, P2M_RAM), 0);
    table(ROOT)[0] = (ROOT + 1) * PAGE_SIZE | TABLE_BITS;
    table(ROOT + 1)[0] = (ROOT + 2) * PAGE_SIZE | TABLE_BITS;
    table(ROOT + 2)[2] = LEAVES * PAGE_SIZE | TABLE_BITS;
    table(ROOT + 2)[3] = OTHER_LEAVES * PAGE_SIZE | TABLE_BITS;
    table(ROOT)[256] = table(NEXT_ROOT)[256] = KERNEL * PAGE_SIZE | KERNEL_BITS;
    table(KERNEL)[0] = (KERNEL + 1) * PAGE_SIZE | KERNEL_BITS;
    table(KERNEL + 1)[0] = (KERNEL + 2) * PAGE_SIZE | KERNEL_BITS;
    for (unsigned slot = 0; slot < 512; slot++)
        table(KERNEL + 2)[slot] = slot * PAGE_SIZE | KERNEL_BITS;
    for (unsigned page = 0; page < 64; page++)
        table(LEAVES)[page] = page_entry(page, PAGE_BITS);
    table(OTHER_LEAVES)[0] = page_entry(64, PAGE_BITS);
    cpu.memory = machine_memory;
    cpu_reset(&cpu);
    engine_make();
    load_root();
    for (u64 page = 0; page < 512; page++)
        assert_true(access_as(0, KERNEL_GVA + page * PAGE_SIZE, ACCESS_READ, NULL));
    for (unsigned page = 0; page < 64; page++)
        user_uses(page, ACCESS_WRITE);
    user_uses(512, ACCESS_WRITE);
    assert_true(cr3_is_target(&view, view.walk.regs.cr3));
    (void)exits_taken();
    return 0;
}

static int end(void **state)
{
    (void)state;
    memory_gone();
    return 0;
}

static void protect(unsigned first, unsigned count, u64 flags)
{
    for (unsigned page = first; page < first + count; page++) {
        set(LEAVES, page, 0);
        set(LEAVES, page, page_entry(page, flags));
    }
}

static void invlpg_all(unsigned first, unsigned count)
{
    for (unsigned page = first; page < first + count; page++)
        invlpg(page);
}

// A page becomes read-only, writable again, and is written. Only what takes rights away needs a flush.
static void toggle(unsigned count)
{
    protect(8, count, READ_ONLY);
    invlpg_all(8, count);
    protect(8, count, PAGE_BITS);
    for (unsigned page = 8; page < 8 + count; page++)
        user_uses(page, ACCESS_WRITE);
}

static void mprotect_page(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        toggle(1);
        assert_in_range(exits_taken(), 1, 2);
    }
}

static void mprotect_pages(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        toggle(16);
        assert_in_range(exits_taken(), 1, 3);
    }
}

static void copy(unsigned page)
{
    set(LEAVES, page, 0);
    invlpg(page);
    set(LEAVES, page, page_entry(page + 100, PAGE_BITS));
}

// The program goes on beside the page that is copied, in the same table, and that page was never looked at.
static void copy_beside(void **state)
{
    (void)state;
    table(LEAVES)[72] = page_entry(72, READ_ONLY); // as the parent's, in a new table
    assert_false(user(72, ACCESS_WRITE));
    copy(72);
    flush();
    user_uses(3, ACCESS_FETCH);
    user_uses(72, ACCESS_WRITE);
    assert_int_equal(exits_taken(), 2);
}

// Each page of a forked process is written: a copy takes its place.
static void copy_on_write(void **state)
{
    (void)state;
    protect(0, 32, READ_ONLY);
    flush();
    user_uses(40, ACCESS_READ);
    (void)exits_taken();
    for (unsigned page = 0; page < 32; page++) {
        assert_false(user(page, ACCESS_WRITE));
        copy(page);
        user_uses(page, ACCESS_WRITE);
        assert_int_equal(exits_taken(), 2);
    }
}

// The same by the kernel, as it copies something to the user.
static void copy_by_kernel(void **state)
{
    static const struct store value = {1, 8, false};
    (void)state;
    protect(0, 32, READ_ONLY);
    flush();
    user_uses(40, ACCESS_READ);
    (void)exits_taken();
    for (unsigned page = 0; page < 32; page++) {
        assert_false(access_as(0, USER_GVA + page * PAGE_SIZE, ACCESS_WRITE, &value));
        copy(page);
        assert_true(access_as(0, USER_GVA + page * PAGE_SIZE, ACCESS_WRITE, &value));
        assert_int_equal(exits_taken(), 2);
    }
}

static void munmap_pages(void **state)
{
    (void)state;
    for (unsigned page = 8; page < 24; page++)
        set(LEAVES, page, 0);
    invlpg_all(8, 16);
    assert_int_equal(exits_taken(), 1);
    cpu_flush_all(&cpu);
    for (unsigned page = 24; page < 64; page++)
        user_uses(page, ACCESS_WRITE);
    assert_int_equal(exits_taken(), 1);
    assert_false(user(8, ACCESS_WRITE));
    user_uses(7, ACCESS_WRITE);
    assert_in_range(exits_taken(), 0, 1);
}

// All of the user's tables are emptied, then freed from below.
static void process_ends(void **state)
{
    (void)state;
    for (unsigned page = 0; page < 64; page++)
        set(LEAVES, page, 0);
    set(OTHER_LEAVES, 0, 0);
    assert_int_equal(exits_taken(), 2);
    set(ROOT + 2, 2, 0);
    set(ROOT + 2, 3, 0);
    set(ROOT + 1, 0, 0);
    set(ROOT, 0, 0);
    assert_in_range(exits_taken(), 1, 2);
    u64 used = shadow_stats_now(&shadow).tables_used;
    assert_int_equal(used, 4); // the root, and the kernel's
}

// The same by plain stores. Then the root's page is used for something else.
static void process_ends_at_once(void **state)
{
    (void)state;
    for (unsigned page = 0; page < 64; page++)
        clear(LEAVES, page);
    clear(OTHER_LEAVES, 0);
    clear(ROOT + 2, 2);
    clear(ROOT + 2, 3);
    clear(ROOT + 1, 0);
    clear(ROOT, 0);
    assert_int_equal(exits_taken(), 1);
    assert_int_equal(shadow_stats_now(&shadow).tables_used, 4); // the root, and the kernel's
    view.walk.regs.cr3 = NEXT_ROOT * PAGE_SIZE;
    flush();
    assert_int_equal(exits_taken(), 1);
    clear(ROOT, 256);
    assert_int_equal(exits_taken(), 0);
}

// No user comes to the table, though its own link says so: it stays, and follows the write.
static void supervisors_table(void **state)
{
    (void)state;
    set(ROOT, 0, table(ROOT)[0] & ~4ul);
    flush();
    assert_true(access_as(0, USER_GVA, ACCESS_READ, NULL));
    clear(LEAVES, 0);
    (void)exits_taken(); // and that all follows
    invlpg(0);
    assert_false(access_as(0, USER_GVA, ACCESS_READ, NULL));
}

// A kernel that takes entries of a process that goes on in the same way pays for it ever more seldom.
static void plain_stores(void **state)
{
    (void)state;
    unsigned dear = 0;
    for (unsigned page = 0; page < 60; page++) {
        clear(LEAVES, page);
        flush();
        user_uses(page + 1, ACCESS_WRITE);
        user_uses(512, ACCESS_WRITE);
        dear += exits_taken() > 2;
    }
    assert_in_range(dear, 2, 6);
}

// The parent's pages become read-only, by a locked AND of a byte each.
static void fork_protects(void **state)
{
    (void)state;
    for (unsigned page = 0; page < 64; page++)
        set_bytes(LEAVES, page, page_entry(page, READ_ONLY), 1);
    set_bytes(OTHER_LEAVES, 0, page_entry(64, READ_ONLY), 1);
    flush();
    user_uses(3, ACCESS_READ);
    user_uses(512, ACCESS_READ);
    assert_in_range(exits_taken(), 1, 3);
}

// Of a process that forks again and again few pages are writable each time. That is learnt by the first.
static void fork_again(void **state)
{
    (void)state;
    protect(0, 64, READ_ONLY);
    flush();
    user_uses(40, ACCESS_READ);
    for (unsigned i = 0; i < 4; i++) {
        assert_false(user(5, ACCESS_WRITE));
        copy(5);
        user_uses(5, ACCESS_WRITE);
        (void)exits_taken();
        set_bytes(LEAVES, 5, page_entry(105, READ_ONLY), 1);
        flush();
        assert_in_range(exits_taken(), 1, i ? 1 : 2);
    }
}

// A page that is not there is used, so that what else is not there is known.
static void absent_known(unsigned page, enum access kind)
{
    user(page, kind);
    (void)exits_taken();
}

// A page that is not there is used, and made. How many exits that takes.
static unsigned page_comes(unsigned page, enum access kind, u64 flags)
{
    assert_false(user(page, kind));
    set(LEAVES, page, page_entry(page, flags));
    user_uses(page, kind);
    return exits_taken();
}

static void demand_zero(void **state)
{
    (void)state;
    absent_known(100, ACCESS_WRITE);
    for (unsigned page = 100; page < 120; page++)
        assert_int_equal(page_comes(page, ACCESS_WRITE, PAGE_BITS), page == 100 ? 2 : 1);
}

// A fault for one page of a file makes entries of all 16 around it. Meanwhile MOV to CR3 and INVLPG need not
// exit: with isolation the kernel returns by a MOV to CR3.
static void fault_around(void **state)
{
    (void)state;
    absent_known(128, ACCESS_READ);
    for (unsigned first = 128; first < 256; first += 16) {
        assert_false(user(first, ACCESS_READ));
        for (unsigned page = first; page < first + 16; page++)
            set(LEAVES, page, page_entry(page, READ_ONLY));
        assert_true(shadow_is_exact(view.s));
        for (unsigned page = first; page < first + 16; page++)
            user_uses(page, ACCESS_READ);
        assert_int_equal(exits_taken(), 2);
    }
}

// Through the page by which the kernel writes the table that maps that very page: the next write goes where
// the page is by then.
static void page_moves_itself(void **state)
{
    (void)state;
    const struct store store = {page_entry(100, PAGE_BITS), 8, true};
    u64 gva = KERNEL_GVA + (KERNEL + 2) * PAGE_SIZE;
    set(KERNEL + 2, KERNEL + 2, OTHER_LEAVES * PAGE_SIZE | KERNEL_BITS);
    assert_true(shadow_is_exact(&shadow)); // INVLPG does not exit
    cpu_invlpg(&cpu, gva);
    (void)exits_taken();
    assert_true(access_as(0, gva + 8 * 100, ACCESS_WRITE, &store));
    assert_int_equal(table(OTHER_LEAVES)[100], store.value);
}

// Of files without neighbours in memory each page is read by itself: the first time it is taken for one of
// many.
static void single_pages(void **state)
{
    (void)state;
    absent_known(128, ACCESS_READ);
    for (unsigned page = 128; page < 140; page++)
        assert_in_range(page_comes(page, ACCESS_READ, READ_ONLY), 1, page == 128 ? 2 : 1);
}

// One of many: the entries around the page's are made, too.
static unsigned pages_come(unsigned first)
{
    assert_false(user(first + 7, ACCESS_READ));
    for (unsigned page = first; page < first + 16; page++)
        set(LEAVES, page, page_entry(page, READ_ONLY));
    user_uses(first + 7, ACCESS_READ);
    return exits_taken();
}

// A program whose code, data and heap are in one table: that a page of it is copied, or a new one is written,
// says nothing of the pages that come for a read.
static void kinds_mixed(void **state)
{
    (void)state;
    absent_known(128, ACCESS_READ);
    (void)pages_come(128);
    for (unsigned i = 0; i < 3; i++) {
        protect(5, 1, READ_ONLY);
        flush();
        (void)exits_taken();
        assert_false(user(5, ACCESS_WRITE));
        copy(5);
        user_uses(5, ACCESS_WRITE);
        assert_int_equal(exits_taken(), 2);
        assert_int_equal(page_comes(64 + i, ACCESS_WRITE, PAGE_BITS), i ? 1 : 2);
        assert_int_equal(pages_come(144 + 16 * i), 2);
    }
}

// The entries that map a piece of the large page.
static unsigned pieces_filled(void)
{
    unsigned filled = 0;
    for (u32 i = 0; i < shadow.config.pool; i++)
        if (shadow.tables[i].used && shadow.tables[i].splinter)
            filled += shadow.tables[i].mapped;
    return filled;
}

// A large page that the p2m has in pieces: who uses one of them pays for few, who uses all exits few times.
static void large_page(void **state)
{
    static const u64 pages = 0x200, slot = 4; // gfn, and where it is in the directory
    unsigned first = (slot - 2) * 512, used = 0;
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        set(ROOT + 2, slot, pages * PAGE_SIZE | LARGE_BITS);
        (void)exits_taken();
        user_uses(first + 100 * i, ACCESS_WRITE);
        assert_int_equal(exits_taken(), 1);
        assert_in_range(pieces_filled(), 1, 8);
        set(ROOT + 2, slot, 0);
        invlpg(first);
        assert_int_equal(pieces_filled(), 0);
    }
    set(ROOT + 2, slot, pages * PAGE_SIZE | LARGE_BITS);
    (void)exits_taken();
    for (unsigned page = 7; used < 512; used++, page = (page + 321) % 512)
        user_uses(first + page, ACCESS_WRITE);
    assert_in_range(exits_taken(), 2, 9);
    assert_int_equal(pieces_filled(), 512);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(mprotect_page),     TEST(mprotect_pages),    TEST(copy_on_write), TEST(copy_beside),
        TEST(copy_by_kernel),    TEST(munmap_pages),      TEST(process_ends),  TEST(process_ends_at_once),
        TEST(plain_stores),      TEST(supervisors_table), TEST(fork_protects), TEST(demand_zero),
        TEST(page_moves_itself), TEST(fault_around),      TEST(single_pages),  TEST(fork_again),
        TEST(large_page),        TEST(kinds_mixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
