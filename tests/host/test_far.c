// The shadow engine on machines whose memory reaches far: up to 16 TiB, with the guest's pages wherever they
// are. What it takes grows with the guest's memory, and not with where the machine's ends.
// link: ENGINE
#define _GNU_SOURCE
#include "support.h"

#include <arch/cpu.h>
#include <hv/p2m_change.h>
#include "shadow/engine.h"

#include <sys/mman.h>

#define END     (16 * 1024 * GIB)
#define PIECE   (64 * MIB)
#define GUEST   0x1000u // pages
#define TREE    0x81u   // gfn of the tables of levels 3, 2 and 1, behind each other; the root is before them
#define PRESENT 0x63ul  // writable, accessed, dirty

static struct frames frames;
static struct p2m p2m;
static struct shadow shadow;
static struct shadow_view view;

static void flush_vpid(void *context, u16 vpid)
{
    (void)context, (void)vpid;
}

static void flush_all(void *context)
{
    (void)context;
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

static int adding(void *context, mfn_t first, u64 count)
{
    return shadow_p2m_adding(context, first, count);
}

static void changing(void *context, gfn_t first, u64 count)
{
    shadow_p2m_changing(context, first, count);
}

static void *reserve(u64 bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

// RAM is PIECE bytes from each of these addresses on, upwards; the guest's is in all but the first. What is
// between is nobody's, and the test touches nothing of it.
struct layout {
    unsigned count;
    u64 piece[4];
};

static void memory_make_far(const struct layout *l)
{
    u64 end = l->piece[l->count - 1] + PIECE;
    phys_base = (uintptr_t)reserve(end);
    frames = (struct frames){.limit = end / PAGE_SIZE};
    frames.state = reserve(frames.limit); // all FRAME_NONE, 0, without being written
    frames.count[FRAME_NONE] = frames.limit;
    for (unsigned i = 0; i < l->count; i++)
        frames_add(&frames, l->piece[i], l->piece[i] + PIECE);
}

static void memory_end(void)
{
    munmap(frames.state, frames.limit);
    munmap((void *)phys_base, frames.limit * PAGE_SIZE);
}

static u64 *page(u64 g)
{
    return mfn_ptr(p2m_lookup(&p2m, gfn(g)).mfn);
}

// The guest's pages lie in one piece after the other: the first half not in the last one, the others not in
// the first one.
static int page_map(const struct layout *l, u64 g)
{
    unsigned piece = 1 + (g >= GUEST / 2) + g % (l->count - 2);
    mfn_t frame = hpa_mfn(l->piece[piece] + (1 + g) * PAGE_SIZE);
    assert_int_equal(frames_alloc_at(&frames, frame, ORDER_4K, FRAME_GUEST), 0);
    return p2m_map(&p2m, gfn(g), frame, 1, P2M_RAM);
}

static void guest_make(void)
{
    for (unsigned level = 0; level < 3; level++)
        page(TREE - 1 + level)[0] = (TREE + level) * PAGE_SIZE | PRESENT;
    for (u64 slot = 0; slot < 512; slot++)
        page(TREE + 2)[slot] = (TREE + 3 + slot) * PAGE_SIZE | PRESENT;
    view.walk = (struct walk_context){
        .p2m = &p2m,
        .regs = {CR0_PE | CR0_PG | CR0_WP, (TREE - 1) * PAGE_SIZE, CR4_PAE, EFER_LME | EFER_LMA},
        .physical_bits = 46,
    };
}

// Half of the guest's pages are there when the engine begins. Returns what that takes, in frames.
static u64 machine_make(const struct layout *l)
{
    const struct shadow_hw hw = {flush_vpid, flush_all, flush_address, now, NULL};
    const struct shadow_config config = {
        .strategy = shadow_strategies[SHADOW_ADAPTIVE],
        .directpf = true,
        .pool = 64,
        .physical_bits = 46,
    };
    memory_make_far(l);
    assert_int_equal(p2m_init(&p2m, &frames, P2M_LEVEL_4K, memory_write_back), 0);
    for (u64 g = 0; g < GUEST / 2; g++)
        assert_int_equal(page_map(l, g), 0);
    u64 before = frames.count[FRAME_MONITOR];
    assert_int_equal(shadow_init(&shadow, &p2m, &config), 0);
    p2m.adding = adding;
    p2m.changing = changing;
    p2m.context = &shadow;
    u64 taken = frames.count[FRAME_MONITOR] - before;
    for (u64 g = GUEST / 2; g < GUEST; g++)
        assert_int_equal(page_map(l, g), 0);
    assert_int_equal(shadow_view_init(&view, &shadow, &view.walk, &hw), 0);
    guest_make();
    return taken;
}

static void read_page(u64 slot)
{
    struct mmu_fault f = {.gva = slot * PAGE_SIZE};
    u64 hpa;
    if (!shadow_translate(&view, f.gva, &hpa))
        assert_int_equal(shadow_fault(&view, &f), MMU_FIXED);
    assert_true(shadow_translate(&view, f.gva, &hpa));
    assert_ptr_equal(phys_ptr(hpa), page((page(TREE + 2)[slot] & ~PRESENT) / PAGE_SIZE));
}

static void load(void)
{
    u16 vpid;
    shadow_load_root(&view, &vpid);
}

// Reads, traced writes to the table of level 1, and pages that move.
static void guest_run(void)
{
    load();
    for (unsigned i = 0; i < 2000; i++) {
        u64 slot = random_below(512), g = TREE + 3 + random_below(GUEST - TREE - 3);
        read_page(slot);
        page(TREE + 2)[slot] = g * PAGE_SIZE | PRESENT;
        shadow_written(&view, ptr_hpa(page(TREE + 2)) + 8 * slot, 8);
        read_page(slot);
        if (random_below(8))
            continue;
        assert_int_equal(p2m_move(&p2m, gfn(random_below(GUEST))), 0);
        load();
        assert_null(shadow_audit(&view));
    }
    assert_true(shadow.stats.traced_writes > 1000 && shadow.stats.hidden_faults > 100);
}

static const struct layout near = {3, {MIB, 512 * MIB, GIB}};
static const struct layout far = {4, {MIB, 512 * GIB, 2048 * GIB, END - PIECE}};

static void follows(void **state)
{
    (void)state;
    u64 taken = machine_make(&near);
    guest_run();
    memory_end();
    u64 chunk = BIT(frames_order(sizeof(struct shadow_chunk)));
    u64 pointers = END / PAGE_SIZE / SHADOW_CHUNK * sizeof(struct shadow_chunk *);
    assert_true(machine_make(&far) <= taken + chunk + BIT(frames_order(pointers + 1)));
    guest_run();
    memory_end();
}

// A page in a new part of the machine, when nothing is left for what the engine keeps of it.
static void no_room(void **state)
{
    (void)state;
    machine_make(&far);
    mfn_t frame = hpa_mfn(far.piece[0]), taken, last;
    assert_int_equal(frames_alloc_at(&frames, frame, ORDER_4K, FRAME_GUEST), 0);
    while (!frames_alloc(&frames, ORDER_2M, FRAME_MONITOR, &taken))
        last = taken;
    assert_int_equal(p2m_map(&p2m, gfn(0), frame, 1, P2M_RAM), ERR_NOMEM);
    assert_int_not_equal(p2m_lookup(&p2m, gfn(0)).mfn.n, frame.n);
    frames_free(&frames, last, ORDER_2M);
    assert_int_equal(p2m_map(&p2m, gfn(0), frame, 1, P2M_RAM), 0);
    assert_int_equal(p2m_lookup(&p2m, gfn(0)).mfn.n, frame.n);
    memory_end();
}

// Memory for a guest that is announced is taken at once, and is enough for RAM in one piece wherever it lies.
static void spares(void **state)
{
    (void)state;
    const struct layout pieces = {3, {MIB, 512 * MIB - PIECE / 2, GIB}};
    const struct shadow_config config = {
        .strategy = shadow_strategies[SHADOW_TRACE], .pool = 64, .ram = PIECE, .physical_bits = 46};
    memory_make_far(&pieces);
    assert_int_equal(p2m_init(&p2m, &frames, P2M_LEVEL_4K, memory_write_back), 0);
    assert_int_equal(shadow_init(&shadow, &p2m, &config), 0);
    u64 taken = frames.count[FRAME_MONITOR];
    assert_int_equal(shadow_p2m_adding(&shadow, hpa_mfn(pieces.piece[1]), PIECE / PAGE_SIZE), 0);
    assert_int_equal(frames.count[FRAME_MONITOR], taken);
    assert_int_equal(shadow_p2m_adding(&shadow, hpa_mfn(pieces.piece[2]), PIECE / PAGE_SIZE), 0);
    assert_true(frames.count[FRAME_MONITOR] > taken);
    memory_end();
}

int main(void)
{
    random_start();
    const struct CMUnitTest tests[] = {cmocka_unit_test(follows), cmocka_unit_test(no_room),
                                       cmocka_unit_test(spares)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
