// Pages that move, go and come back, against a model: what each page contains and is, whose every frame is,
// and that the back end hears of each change before it is made. Memory runs out now and then.
// link: hv/memory/p2m_change.c hv/memory/p2m.c
#include "support.h"

#include <hv/p2m_change.h>

#define MACHINE (16 * MIB)
#define PAGES   0x600u // of the guest, in pages of 2M to begin with
#define STEPS   6000u

static struct frames frames;
static struct p2m p2m;

// What the model knows of a page. Its first word is its own number, its last one `value`.
static struct page {
    enum p2m_type type;
    mfn_t frame; // where it is, or would be
    u64 value;
} pages[PAGES];

static struct {
    unsigned calls;
    u64 gfn;
    struct p2m_leaf before;
} heard;

static unsigned happened[4], refused, nomem;

static void hear(void *context, gfn_t first, u64 count)
{
    assert_ptr_equal(context, &heard);
    assert_int_equal(count, 1);
    heard.calls++;
    heard.gfn = first.n;
    heard.before = p2m_lookup(&p2m, first);
}

static bool is_ram(enum p2m_type type)
{
    return type == P2M_RAM || type == P2M_RAM_RO;
}

static u64 *words(mfn_t frame)
{
    return mfn_ptr(frame);
}

static void page_check(u64 g)
{
    const struct page *page = &pages[g];
    struct p2m_leaf leaf = p2m_lookup(&p2m, gfn(g));
    assert_int_equal(leaf.type, page->type);
    assert_int_equal(leaf.mfn.n, is_ram(page->type) ? page->frame.n : 0);
    assert_int_equal(words(page->frame)[0], g);
    assert_int_equal(words(page->frame)[511], page->value);
    assert_true(frames_owned(&frames, page->frame, 1, FRAME_GUEST));
}

// The other way round.
static void find_check(u64 g)
{
    gfn_t found;
    int result = p2m_find(&p2m, pages[g].frame, &found);
    assert_int_equal(result, pages[g].type == P2M_RAM ? 0 : ERR_ABSENT);
    if (!result)
        assert_int_equal(found.n, g);
}

// No frame is lost and none is in two places: then the counts would differ.
static void all_check(void)
{
    static u8 used[MACHINE / PAGE_SIZE];
    memset(used, 0, sizeof(used));
    for (u64 g = 0; g < PAGES; g++) {
        page_check(g);
        assert_int_equal(used[pages[g].frame.n]++, 0);
    }
    assert_int_equal(frames.count[FRAME_GUEST], PAGES);
    for (unsigned i = 0; i < 64; i++)
        find_check(random_below(PAGES));
}

static void machine_make(void)
{
    memory_make(MACHINE, &frames);
    mfn_t block;
    assert_int_equal(p2m_init(&p2m, &frames, P2M_LEVEL_2M, memory_write_back), 0);
    for (u64 g = 0; g < PAGES; g++) {
        if (g % 512 == 0) {
            assert_int_equal(frames_alloc(&frames, ORDER_2M, FRAME_GUEST, &block), 0);
            assert_int_equal(p2m_map(&p2m, gfn(g), block, 512, P2M_RAM), 0);
        }
        pages[g] = (struct page){P2M_RAM, mfn(block.n + g % 512), random_u64()};
        words(pages[g].frame)[0] = g;
        words(pages[g].frame)[511] = pages[g].value;
    }
    p2m.changing = hear;
    p2m.context = &heard;
}

// Leaves `count` frames free; gives back how many it has taken.
static unsigned hoard(mfn_t *taken, u64 count)
{
    unsigned n = 0;
    while (frames.count[FRAME_FREE] > count)
        assert_int_equal(frames_alloc(&frames, ORDER_4K, FRAME_MONITOR, &taken[n++]), 0);
    return n;
}

static int page_move(u64 g)
{
    struct page *page = &pages[g];
    mfn_t old = page->frame;
    int result = p2m_move(&p2m, gfn(g));
    if (result)
        return result;
    page->frame = p2m_lookup(&p2m, gfn(g)).mfn;
    assert_int_not_equal(page->frame.n, old.n);
    assert_true(frames_owned(&frames, old, 1, FRAME_FREE));
    frames_reserve(&frames, mfn_hpa(old), mfn_hpa(old) + 1); // it is somebody else's now
    memset(mfn_ptr(old), 0x5a, PAGE_SIZE);
    frames_free(&frames, old, ORDER_4K);
    return 0;
}

static int page_take(u64 g)
{
    enum p2m_type type = random_below(2) ? P2M_HOLE : P2M_DEVICE;
    mfn_t frame;
    int result = p2m_take(&p2m, gfn(g), type, &frame);
    if (result)
        return result;
    assert_int_equal(frame.n, pages[g].frame.n);
    pages[g].type = type;
    return 0;
}

static int page_give(u64 g)
{
    int result = p2m_give(&p2m, gfn(g), pages[g].frame);
    if (!result)
        pages[g].type = P2M_RAM;
    return result;
}

static int page_protect(u64 g)
{
    enum p2m_type type = pages[g].type == P2M_RAM ? P2M_RAM_RO : P2M_RAM;
    int result = p2m_protect(&p2m, gfn(g), 1, type);
    if (!result && is_ram(pages[g].type))
        pages[g].type = type;
    return result;
}

static int (*const actions[])(u64) = {page_move, page_take, page_give, page_protect};

static bool legal(unsigned action, enum p2m_type type)
{
    return action < 2 ? type == P2M_RAM : action == 3 || !is_ram(type);
}

static void result_check(unsigned action, u64 g, struct page before, int result)
{
    if (!legal(action, before.type)) {
        assert_int_equal(result, ERR_INVALID);
        refused++;
    } else if (result) {
        assert_int_equal(result, ERR_NOMEM);
        nomem++;
    } else {
        happened[action]++;
        assert_int_equal(heard.calls, 1);
        assert_int_equal(heard.gfn, g);
        assert_int_equal(heard.before.type, before.type);
        assert_int_equal(heard.before.mfn.n, is_ram(before.type) ? before.frame.n : 0);
        return;
    }
    assert_int_equal(heard.calls, 0);
}

static void step(void)
{
    static mfn_t taken[MACHINE / PAGE_SIZE];
    u64 g = random_below(4) ? random_below(PAGES) : random_below(3) * 512 + random_below(4);
    unsigned action = (unsigned)random_below(ARRAY_SIZE(actions));
    struct page before = pages[g];
    bool starve = random_below(8) == 0;
    unsigned n = starve ? hoard(taken, random_below(2)) : 0;
    u64 left = frames.count[FRAME_FREE], tables = p2m.tables;
    heard.calls = 0;
    result_check(action, g, before, actions[action](g));
    page_check(g);
    assert_int_equal(frames.count[FRAME_FREE] + p2m.tables, left + tables);
    while (n)
        frames_free(&frames, taken[--n], ORDER_4K);
}

static void test_random(void **state)
{
    (void)state;
    machine_make();
    for (unsigned i = 0; i < STEPS; i++) {
        step();
        if (i % 500 == 0)
            all_check();
    }
    all_check();
    for (unsigned i = 0; i < ARRAY_SIZE(actions); i++)
        assert_true(happened[i] > STEPS / 20);
    assert_true(refused > STEPS / 20 && nomem > STEPS / 400);
    memory_gone();
}

// Pages that come back to where they were form a large page again.
static void test_taken_and_given(void **state)
{
    (void)state;
    mfn_t frame;
    machine_make();
    assert_int_equal(p2m.leaves[P2M_LEVEL_2M], PAGES / 512);
    assert_int_equal(p2m_take(&p2m, gfn(777), P2M_RAM_RO, &frame), ERR_INVALID);
    assert_int_equal(p2m_take(&p2m, gfn(777), P2M_DEVICE, &frame), 0);
    assert_int_equal(p2m.leaves[P2M_LEVEL_2M], PAGES / 512 - 1);
    assert_int_equal(p2m_take(&p2m, gfn(777), P2M_DEVICE, &frame), ERR_INVALID);
    assert_int_equal(p2m_give(&p2m, gfn(777), frame), 0);
    assert_int_equal(p2m_give(&p2m, gfn(777), frame), ERR_INVALID);
    assert_int_equal(p2m.leaves[P2M_LEVEL_2M], PAGES / 512);
    assert_int_equal(p2m_move(&p2m, gfn(PAGES)), ERR_INVALID);
    all_check();
    memory_gone();
}

// Moving a piece of a large page takes two frames: one for the page and one for the table.
static void test_move_without_memory(void **state)
{
    (void)state;
    static mfn_t taken[MACHINE / PAGE_SIZE];
    machine_make();
    for (u64 left = 0; left < 2; left++) {
        unsigned n = hoard(taken, left);
        assert_int_equal(p2m_move(&p2m, gfn(777)), ERR_NOMEM);
        assert_int_equal(frames.count[FRAME_FREE], left);
        all_check();
        while (n)
            frames_free(&frames, taken[--n], ORDER_4K);
    }
    (void)hoard(taken, 2);
    assert_int_equal(page_move(777), 0);
    assert_int_equal(frames.count[FRAME_FREE], 1);
    all_check();
    memory_gone();
}

int main(void)
{
    random_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken_and_given),
        cmocka_unit_test(test_move_without_memory),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
