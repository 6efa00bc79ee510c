// The machine-frame allocator: see arch/frames.h for the contract.
// A free block of each order is a node of that order's tree, stored in the block's own first frame. The tree
// is a radix tree over frame numbers that is also a heap: every node is the highest block of its subtree, and
// the bits of the frame number, from the top, choose the child. So the highest block is the root, and no
// operation goes deeper than a frame number has bits, however many free blocks there are.
// It does not map memory and does not know which memory exists: paging.c and the boot code do.
#include <arch/frames.h>
#include <arch/lib.h>
#include <arch/panic.h>
#include <arch/phys.h>

#define OWNER_MASK  7u
#define ORDER_SHIFT 3

struct node {
    u64 child[2]; // mfn, 0: none
};

static struct node *node_of(u64 block)
{
    return mfn_ptr(mfn(block));
}

static u64 top_bit(const struct frames *f)
{
    return BIT(63 - __builtin_clzll(f->limit));
}

static void tree_insert(struct frames *f, unsigned order, u64 block)
{
    u64 *link = &f->free[order];
    for (u64 bit = top_bit(f); *link; bit >>= 1) {
        if (block > *link) { // takes the place; the node that was there moves down
            u64 lower = *link;
            *node_of(block) = *node_of(lower);
            *link = block;
            block = lower;
        }
        link = &node_of(*link)->child[(block & bit) != 0];
    }
    *link = block;
    *node_of(block) = (struct node){{0, 0}};
}

static void tree_remove(struct frames *f, unsigned order, u64 block)
{
    u64 *link = &f->free[order];
    for (u64 bit = top_bit(f); *link != block; bit >>= 1)
        link = &node_of(*link)->child[(block & bit) != 0];

    // The higher child moves up into the place that is empty, and leaves its own to its children.
    struct node place = *node_of(block);
    for (;;) {
        unsigned side = place.child[1] != 0;
        u64 up = place.child[side];
        *link = up;
        if (!up)
            return;
        struct node below = *node_of(up);
        *node_of(up) = place;
        link = &node_of(up)->child[side];
        place = below;
    }
}

static void block_insert(struct frames *f, u64 block, unsigned order)
{
    f->state[block] = (u8)(FRAME_FREE | (order + 1) << ORDER_SHIFT);
    tree_insert(f, order, block);
}

static void block_remove(struct frames *f, u64 block, unsigned order)
{
    f->state[block] = FRAME_FREE;
    tree_remove(f, order, block);
}

static bool is_free_block(const struct frames *f, u64 block, unsigned order)
{
    return block < f->limit && f->state[block] >> ORDER_SHIFT == order + 1;
}

static enum frame_owner owner_of(const struct frames *f, u64 frame)
{
    return f->state[frame] & OWNER_MASK;
}

// Who takes frames, and can give them back.
static bool is_taker(enum frame_owner owner)
{
    return owner == FRAME_MONITOR || owner == FRAME_GUEST;
}

static bool is_taken(const struct frames *f, u64 frame)
{
    return is_taker(owner_of(f, frame));
}

// The order of the free block that `frame`, which is free, belongs to.
static unsigned order_around(const struct frames *f, u64 frame)
{
    unsigned order = 0;
    while (!is_free_block(f, align_down(frame, BIT(order)), order)) {
        order++;
        assert_that(order < ORDERS);
    }
    return order;
}

// The order of the largest aligned block that starts at `first` and ends at or before `end`.
static unsigned order_within(u64 first, u64 end)
{
    unsigned order = 0;
    while (order < ORDER_1G && !(first & BIT(order)) && first + BIT(order + 1) <= end)
        order++;
    return order;
}

static void set_owner(struct frames *f, u64 first, u64 count, enum frame_owner owner)
{
    for (u64 i = first; i < first + count; i++)
        f->count[owner_of(f, i)]--;
    memset(f->state + first, (int)owner, count);
    f->count[owner] += count;
}

// Takes `block` out of the free block of order `from` that contains it; what is left of that one stays free.
static void block_take(struct frames *f, u64 block, unsigned order, unsigned from, enum frame_owner owner)
{
    u64 start = align_down(block, BIT(from));
    block_remove(f, start, from);
    while (from > order) {
        from--;
        u64 upper = start + BIT(from);
        block_insert(f, block >= upper ? start : upper, from);
        start = block >= upper ? upper : start;
    }
    set_owner(f, block, BIT(order), owner);
}

// Makes a block free that is nobody's, and merges it with its free neighbours.
static void block_give(struct frames *f, u64 block, unsigned order)
{
    set_owner(f, block, BIT(order), FRAME_FREE);
    while (order < ORDER_1G && is_free_block(f, block ^ BIT(order), order)) {
        block_remove(f, block ^ BIT(order), order);
        block &= ~BIT(order);
        order++;
    }
    block_insert(f, block, order);
}

// The same for frames [first, end), whatever their alignment.
static void give_range(struct frames *f, u64 first, u64 end)
{
    while (first < end) {
        unsigned order = order_within(first, end);
        block_give(f, first, order);
        first += BIT(order);
    }
}

void frames_init(struct frames *f, u8 *state, u64 limit)
{
    *f = (struct frames){.state = state, .limit = limit};
    memset(state, FRAME_NONE, limit);
    f->count[FRAME_NONE] = limit;
}

static u64 round_up_to_frame(u64 address)
{
    return (address >> PAGE_SHIFT) + ((address & ~PAGE_MASK) != 0); // align_up would overflow at the top
}

void frames_add(struct frames *f, u64 start, u64 end)
{
    u64 first = round_up_to_frame(start);
    u64 stop = lesser(end >> PAGE_SHIFT, f->limit);
    if (first == 0)
        first = 1;
    while (first < stop) {
        u64 run = first;
        while (run < stop && owner_of(f, run) == FRAME_NONE)
            run++;
        give_range(f, first, run);
        first = run;
        while (first < stop && owner_of(f, first) != FRAME_NONE)
            first++;
    }
}

// Takes what is free of [start, end) bytes, rounded outwards.
static void take_range(struct frames *f, u64 start, u64 end, enum frame_owner owner)
{
    if (start >= end)
        return;
    u64 first = start >> PAGE_SHIFT;
    u64 stop = lesser(round_up_to_frame(end), f->limit);
    while (first < stop) {
        if (owner_of(f, first) != FRAME_FREE) {
            first++;
            continue;
        }
        unsigned from = order_around(f, first);
        unsigned order = order_within(first, stop);
        if (order > from)
            order = from;
        block_take(f, first, order, from, owner);
        first += BIT(order);
    }
}

void frames_reserve(struct frames *f, u64 start, u64 end)
{
    take_range(f, start, end, FRAME_MONITOR);
}

void frames_hold(struct frames *f, u64 start, u64 end)
{
    take_range(f, start, end, FRAME_HELD);
}

u64 frames_unhold(struct frames *f, u64 start, u64 end)
{
    u64 held = f->count[FRAME_HELD], stop = lesser(round_up_to_frame(end), f->limit);
    for (u64 first = start >> PAGE_SHIFT, run; first < stop && f->count[FRAME_HELD]; first = run + 1) {
        for (run = first; run < stop && owner_of(f, run) == FRAME_HELD; run++)
            ;
        give_range(f, first, run);
    }
    return held - f->count[FRAME_HELD];
}

int frames_alloc(struct frames *f, unsigned order, enum frame_owner owner, mfn_t *block)
{
    assert_that(order < ORDERS && is_taker(owner));
    u64 best = 0;
    unsigned from = order;
    for (unsigned o = order; o < ORDERS; o++) {
        u64 last = f->free[o] + BIT(o) - BIT(order);
        if (f->free[o] && last > best) {
            best = last;
            from = o;
        }
    }
    if (!best)
        return ERR_NOMEM;
    block_take(f, best, order, from, owner);
    *block = mfn(best);
    return 0;
}

int frames_alloc_at(struct frames *f, mfn_t block, unsigned order, enum frame_owner owner)
{
    assert_that(order < ORDERS && is_taker(owner) && !(block.n & (BIT(order) - 1)));
    if (block.n >= f->limit || owner_of(f, block.n) != FRAME_FREE)
        return ERR_NOMEM;
    // Free neighbours are always merged, so a block that is wholly free lies in a single free block.
    unsigned from = order_around(f, block.n);
    if (from < order)
        return ERR_NOMEM;
    block_take(f, block.n, order, from, owner);
    return 0;
}

mfn_t frames_highest(const struct frames *f, u64 count)
{
    u64 run = 0;
    for (u64 i = f->limit; i-- > 1;) {
        run = owner_of(f, i) == FRAME_FREE ? run + 1 : 0;
        if (run && run >= count)
            return mfn(i);
    }
    return mfn(0);
}

void frames_free(struct frames *f, mfn_t block, unsigned order)
{
    assert_that(order < ORDERS && !(block.n & (BIT(order) - 1)));
    assert_that(block.n < f->limit && f->limit - block.n >= BIT(order));
    for (u64 i = block.n; i < block.n + BIT(order); i++)
        assert_that(is_taken(f, i));
    block_give(f, block.n, order);
}

void frames_keep(struct frames *f)
{
    for (u64 i = 0; i < f->limit; i++) {
        if (owner_of(f, i) == FRAME_MONITOR)
            set_owner(f, i, 1, FRAME_KEPT);
    }
}

void frames_rewind(struct frames *f)
{
    for (u64 first = 0, end; first < f->limit; first = end) {
        for (end = first; end < f->limit && is_taken(f, end); end++)
            ;
        give_range(f, first, end);
        while (end < f->limit && !is_taken(f, end))
            end++;
    }
}

enum frame_owner frames_owner(const struct frames *f, mfn_t frame)
{
    return frame.n < f->limit ? owner_of(f, frame.n) : FRAME_NONE;
}

bool frames_owned(const struct frames *f, mfn_t first, u64 count, enum frame_owner owner)
{
    if (first.n >= f->limit || count > f->limit - first.n) {
        if (owner != FRAME_NONE && count)
            return false;
        count = first.n < f->limit ? f->limit - first.n : 0; // beyond the limit there is nobody's memory
    }
    for (u64 i = first.n; i < first.n + count; i++) {
        if (owner_of(f, i) != owner)
            return false;
    }
    return true;
}
