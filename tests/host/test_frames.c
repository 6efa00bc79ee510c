// The frame allocator against a flat array of owners, in which the highest free block is found by looking at
// every frame; and with blocks up to 1G. What is read of the allocator is what its header tells: owners,
// counts, and the order in the first frame of a free block.
#include "support.h"

#define LIMIT 2777u // no power of two

static struct frames frames;
static u8 state[LIMIT];
static u8 model[LIMIT];

static u64 model_count(enum frame_owner owner)
{
    u64 count = 0;
    for (u64 i = 0; i < LIMIT; i++)
        count += model[i] == owner;
    return count;
}

static bool model_taken(u64 frame)
{
    return model[frame] == FRAME_MONITOR || model[frame] == FRAME_GUEST;
}

static bool model_all(u64 first, u64 count, enum frame_owner owner)
{
    for (u64 i = first; i < first + count; i++) {
        if ((i < LIMIT ? model[i] : FRAME_NONE) != owner)
            return false;
    }
    return true;
}

static bool model_allocated(u64 first, u64 count)
{
    for (u64 i = first; i < first + count; i++) {
        if (i >= LIMIT || !model_taken(i))
            return false;
    }
    return true;
}

static u64 model_highest(unsigned order)
{
    for (u64 block = align_down(LIMIT, BIT(order)); block > 0; block -= BIT(order)) {
        if (model_all(block, BIT(order), FRAME_FREE))
            return block;
    }
    return 0; // a block at 0 holds frame 0, which is never free
}

// Owners and counts agree with the model; the free blocks are aligned, disjoint, hold only free frames, cover
// all of them, and no two of them could be one.
static void check(void)
{
    u64 free_frames = 0;
    for (u64 i = 0; i < LIMIT; i++) {
        assert_int_equal(state[i] & 7, model[i]);
        unsigned order = state[i] >> 3;
        if (!order--)
            continue;
        assert_true((i & (BIT(order) - 1)) == 0 && i >= free_frames && order < ORDERS);
        assert_true(model_all(i, BIT(order), FRAME_FREE));
        for (u64 j = i + 1; j < i + BIT(order); j++)
            assert_int_equal(state[j], FRAME_FREE);
        u64 buddy = i ^ BIT(order);
        assert_false(buddy < LIMIT && (unsigned)state[buddy] >> 3 == order + 1);
        free_frames += BIT(order);
    }
    assert_int_equal(free_frames, model_count(FRAME_FREE));
    for (unsigned owner = 0; owner < FRAME_OWNERS; owner++)
        assert_int_equal(frames.count[owner], model_count(owner));
}

static void random_bytes_range(u64 *start, u64 *end)
{
    u64 frame = random_below(LIMIT + 20);
    u64 count = random_below(8) ? random_below(30) : random_below(LIMIT);
    *start = frame * PAGE_SIZE + (random_below(2) ? random_below(PAGE_SIZE) : 0);
    *end = *start + count * PAGE_SIZE + (random_below(2) ? random_below(PAGE_SIZE) : 0);
    if (random_below(100) == 0)
        *end = UINT64_MAX - random_below(3);
}

static void do_add(void)
{
    u64 start, end;
    random_bytes_range(&start, &end);
    for (u64 i = 1; i < LIMIT; i++) {
        if (i * PAGE_SIZE >= start && (i + 1) * PAGE_SIZE <= end && model[i] == FRAME_NONE)
            model[i] = FRAME_FREE;
    }
    frames_add(&frames, start, end);
}

static void do_reserve(void)
{
    u64 start, end;
    random_bytes_range(&start, &end);
    for (u64 i = 0; i < LIMIT; i++) {
        bool touched = start < end && (i + 1) * PAGE_SIZE > start && i * PAGE_SIZE < end;
        if (touched && model[i] == FRAME_FREE)
            model[i] = FRAME_MONITOR;
    }
    frames_reserve(&frames, start, end);
}

static void do_hold(void)
{
    u64 start, end, unheld = 0;
    bool hold = random_below(2);
    random_bytes_range(&start, &end);
    for (u64 i = 0; i < LIMIT; i++) {
        bool touched = start < end && (i + 1) * PAGE_SIZE > start && i * PAGE_SIZE < end;
        if (!touched || model[i] != (hold ? FRAME_FREE : FRAME_HELD))
            continue;
        model[i] = hold ? FRAME_HELD : FRAME_FREE;
        unheld++;
    }
    if (hold)
        frames_hold(&frames, start, end);
    else
        assert_int_equal(frames_unhold(&frames, start, end), unheld);
}

static enum frame_owner random_owner(void)
{
    return random_below(2) ? FRAME_MONITOR : FRAME_GUEST;
}

static void do_alloc(void)
{
    unsigned order = random_below(4) ? (unsigned)random_below(3) : (unsigned)random_below(12);
    enum frame_owner owner = random_owner();
    u64 expected = model_highest(order);
    mfn_t block = mfn(12345678);
    int result = frames_alloc(&frames, order, owner, &block);
    if (!expected) {
        assert_int_equal(result, ERR_NOMEM);
        return;
    }
    assert_int_equal(result, 0);
    assert_int_equal(block.n, expected);
    memset(model + block.n, owner, BIT(order));
    memset(mfn_ptr(block), 0xa5, PAGE_SIZE << order); // no link of a free block lies in here
}

static void do_alloc_at(void)
{
    unsigned order = (unsigned)random_below(7);
    u64 block = align_down(random_below(LIMIT + 10), BIT(order));
    enum frame_owner owner = random_owner();
    int result = frames_alloc_at(&frames, mfn(block), order, owner);
    if (!model_all(block, BIT(order), FRAME_FREE)) {
        assert_int_equal(result, ERR_NOMEM);
        return;
    }
    assert_int_equal(result, 0);
    memset(model + block, owner, BIT(order));
    memset(mfn_ptr(mfn(block)), 0x5a, PAGE_SIZE << order);
}

static void do_free(void)
{
    u64 frame = random_below(LIMIT);
    unsigned order = (unsigned)random_below(8);
    for (unsigned tries = 0; tries < 50 && !model_taken(frame); tries++)
        frame = random_below(LIMIT);
    if (!model_taken(frame))
        return;
    while (!model_allocated(align_down(frame, BIT(order)), BIT(order)))
        order--;
    frame = align_down(frame, BIT(order));
    memset(model + frame, FRAME_FREE, BIT(order));
    frames_free(&frames, mfn(frame), order);
}

static void do_owned(void)
{
    u64 first = random_below(LIMIT + 5);
    u64 count = random_below(20);
    for (unsigned owner = 0; owner < FRAME_OWNERS; owner++)
        assert_int_equal(frames_owned(&frames, mfn(first), count, owner), model_all(first, count, owner));
    assert_true(model_all(first, 1, frames_owner(&frames, mfn(first))));
}

static void do_highest(void)
{
    u64 count = 1 + random_below(random_below(2) ? 8 : 300), first = LIMIT - count;
    while (first > 0 && !model_all(first, count, FRAME_FREE))
        first--;
    assert_int_equal(frames_highest(&frames, count).n, first);
}

static void keep(void)
{
    for (u64 i = 0; i < LIMIT; i++) {
        if (model[i] == FRAME_MONITOR)
            model[i] = FRAME_KEPT;
    }
    frames_keep(&frames);
    check();
}

static void rewind_all(void)
{
    for (u64 i = 0; i < LIMIT; i++) {
        if (model_taken(i))
            model[i] = FRAME_FREE;
    }
    frames_rewind(&frames);
    check();
}

static void random_step(u64 step)
{
    static void (*const actions[])(void) = {do_add, do_reserve, do_hold, do_alloc_at, do_owned, do_highest};
    u64 dice = random_below(40);
    if (dice < ARRAY_SIZE(actions))
        actions[dice]();
    else if ((dice < 30) == (step / 1500 % 2 == 0)) // tides: mostly allocating, then mostly freeing
        do_alloc();
    else
        do_free();
}

// At the end every free frame comes out, from the highest to the lowest.
static void drain(void)
{
    mfn_t block;
    while (frames_alloc(&frames, ORDER_4K, FRAME_MONITOR, &block) == 0) {
        assert_int_equal(block.n, model_highest(ORDER_4K));
        model[block.n] = FRAME_MONITOR;
    }
    assert_int_equal(model_count(FRAME_FREE), 0);
    check();
}

static void test_random(void **unused)
{
    (void)unused;
    struct frames whole;
    memory_make(32 * MIB, &whole); // only for its memory
    for (unsigned round = 0; round < 3; round++) {
        memset(model, FRAME_NONE, LIMIT);
        memset(state, 0xee, LIMIT);
        frames_init(&frames, state, LIMIT);
        check();
        for (u64 step = 0; step < 9000; step++) {
            random_step(step);
            check();
            if (step == 1000)
                keep();
            if (step % 3000 == 2999)
                rewind_all();
        }
        drain();
    }
    memory_gone();
}

static void test_large_blocks(void **unused)
{
    (void)unused;
    struct frames f;
    memory_make(4 * GIB, &f);
    mfn_t high, low, page, none;
    assert_int_equal(frames_alloc(&f, ORDER_1G, FRAME_GUEST, &high), 0);
    assert_int_equal(mfn_hpa(high), 3 * GIB);
    assert_int_equal(frames_alloc(&f, ORDER_4K, FRAME_MONITOR, &page), 0);
    assert_int_equal(mfn_hpa(page), 3 * GIB - PAGE_SIZE);
    assert_int_equal(frames_alloc(&f, ORDER_1G, FRAME_GUEST, &low), 0);
    assert_int_equal(mfn_hpa(low), 1 * GIB);
    assert_int_equal(frames_alloc(&f, ORDER_1G, FRAME_GUEST, &none), ERR_NOMEM);
    assert_true(frames_owned(&f, low, BIT(ORDER_1G), FRAME_GUEST));
    assert_false(frames_owned(&f, low, BIT(ORDER_1G) + 1, FRAME_GUEST));

    // Freed in pieces it is one block again, and the pieces' neighbour too.
    for (u64 offset = 0; offset < BIT(ORDER_1G); offset += BIT(ORDER_2M))
        frames_free(&f, mfn(low.n + offset), ORDER_2M);
    frames_free(&f, page, ORDER_4K);
    frames_free(&f, high, ORDER_1G);
    for (u64 expected = 3; expected >= 1; expected--) {
        assert_int_equal(frames_alloc(&f, ORDER_1G, FRAME_GUEST, &high), 0);
        assert_int_equal(mfn_hpa(high), expected * GIB);
    }
    frames_free(&f, mfn(BIT(ORDER_1G)), ORDER_1G);
    assert_int_equal(f.count[FRAME_FREE], 2 * BIT(ORDER_1G) - 1);
    assert_int_equal(f.count[FRAME_NONE], 1);
    memory_gone();
}

// Freed in an order of no use: every second frame of a gibibyte, none of which merges.
static void test_scattered(void **unused)
{
    (void)unused;
    struct frames f;
    memory_make(GIB, &f);
    mfn_t page;
    while (frames_alloc(&f, ORDER_4K, FRAME_MONITOR, &page) == 0)
        ;
    assert_int_equal(page.n, 1);
    const u64 half = BIT(ORDER_1G) / 2;
    for (u64 i = 0; i < half; i++) // 77777 is odd: a permutation of the odd frames
        frames_free(&f, mfn(i * 77777 % half * 2 + 1), ORDER_4K);
    assert_int_equal(frames_alloc(&f, 1, FRAME_MONITOR, &page), ERR_NOMEM);
    for (u64 i = half; i-- > 0;) {
        assert_int_equal(frames_alloc(&f, ORDER_4K, FRAME_MONITOR, &page), 0);
        assert_int_equal(page.n, i * 2 + 1);
    }
    memory_gone();
}

static void free_4k(void *mfn_of_it)
{
    frames_free(&frames, *(mfn_t *)mfn_of_it, ORDER_4K);
}

static void free_2m(void *mfn_of_it)
{
    frames_free(&frames, *(mfn_t *)mfn_of_it, ORDER_2M);
}

static void alloc_unaligned(void *unused)
{
    (void)unused;
    assert_int_equal(frames_alloc_at(&frames, mfn(0x201), 1, FRAME_GUEST), 0);
}

static void test_misuse(void **unused)
{
    (void)unused;
    memory_make(8 * MIB, &frames);
    mfn_t page, block;
    assert_int_equal(frames_alloc(&frames, ORDER_4K, FRAME_GUEST, &page), 0);
    assert_int_equal(frames_alloc_at(&frames, mfn(0x200), ORDER_2M, FRAME_GUEST), 0);
    block = mfn(0x200);
    assert_null(expect_panic(free_4k, &page));
    assert_non_null(expect_panic(free_4k, &page)); // twice
    assert_non_null(expect_panic(free_4k, &(mfn_t){0}));
    assert_non_null(expect_panic(free_4k, &(mfn_t){0x800})); // the limit
    assert_non_null(expect_panic(free_2m, &(mfn_t){0x700}));
    assert_non_null(expect_panic(alloc_unaligned, NULL));
    frames_free(&frames, mfn(0x2ff), ORDER_4K);
    assert_non_null(expect_panic(free_2m, &block)); // a part of it is free already
    assert_int_equal(frames_alloc_at(&frames, mfn(0x2ff), ORDER_4K, FRAME_MONITOR), 0);
    assert_null(expect_panic(free_2m, &block));
    assert_int_equal(frames.count[FRAME_FREE], 0x7ff);
    assert_int_equal(frames_alloc(&frames, ORDER_4K, FRAME_MONITOR, &page), 0);
    frames_keep(&frames);
    assert_non_null(expect_panic(free_4k, &page));
    memory_gone();
}

int main(void)
{
    random_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_large_blocks),
        cmocka_unit_test(test_scattered),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
