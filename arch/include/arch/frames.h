// The machine-frame allocator: a buddy system over all RAM that the firmware gives, in blocks of 2^order
// frames aligned to their size. It also knows whose every frame is, so that the p2m can refuse what is not
// the guest's. It hands out high addresses first: frames at low machine addresses stay free for shadow roots
// in place (shadow/).
#pragma once

#include <arch/types.h>

#define ORDER_4K 0u
#define ORDER_2M 9u
#define ORDER_1G 18u
#define ORDERS   19u

enum frame_owner {
    FRAME_NONE, // not RAM, or never given to the allocator
    FRAME_FREE,
    FRAME_MONITOR,
    FRAME_GUEST,
    FRAME_KEPT, // the monitor's for as long as it runs: frames_keep
    FRAME_HELD, // free, and not given out: frames_hold
    FRAME_OWNERS
};

struct frames {
    u8 *state; // per frame: owner in bits 2:0; in the first frame of a free block its order + 1 in bits 7:3
    u64 limit; // number of frames covered by `state`: mfn < limit
    u64 free[ORDERS]; // the highest free block of each order, 0: none (frame 0 is never given out); it is the
                      // root of a tree of them, kept in the blocks themselves
    u64 count[FRAME_OWNERS]; // frames by owner
};

// `state`: limit bytes, kept for the allocator's lifetime. All frames start as FRAME_NONE.
void frames_init(struct frames *f, u8 *state, u64 limit);

// Gives RAM to the allocator as free: [start, end) bytes, rounded inwards to whole frames; frame 0 and what
// is beyond the limit are left out. A frame that is not FRAME_NONE is left as it is. From here on the
// allocator keeps its links in the free frames: they must be mapped (mfn_ptr).
void frames_add(struct frames *f, u64 start, u64 end);

// Takes free frames out, for the monitor: [start, end) bytes, rounded outwards. Frames that are not free stay
// as they are.
void frames_reserve(struct frames *f, u64 start, u64 end);

// Holds free frames back, in [start, end) bytes, rounded outwards: nobody gets them, whatever is short.
// Others stay as they are. frames_unhold makes those that are held there free again; it returns how many they
// were.
void frames_hold(struct frames *f, u64 start, u64 end);
u64 frames_unhold(struct frames *f, u64 start, u64 end);

// What the monitor has taken until now becomes FRAME_KEPT: frames_rewind leaves it alone. It cannot be freed.
void frames_keep(struct frames *f);

// Frees all that has been taken since frames_keep, whoever has it: memory of one guest's run, whose owners
// are forgotten with it.
void frames_rewind(struct frames *f);

// The order of the smallest block that has so many bytes; from ORDERS on there is none.
static inline unsigned frames_order(u64 bytes)
{
    unsigned order = 0;
    while (PAGE_SIZE << order < bytes)
        order++;
    return order;
}

// One block of 2^order frames for FRAME_MONITOR or FRAME_GUEST, contents undefined, at the highest address
// there is. ERR_NOMEM when none is free.
int frames_alloc(struct frames *f, unsigned order, enum frame_owner owner, mfn_t *block) must_check;

// The same block only if every frame in it is free: ERR_NOMEM otherwise. `block` must be aligned to its
// order.
int frames_alloc_at(struct frames *f, mfn_t block, unsigned order, enum frame_owner owner) must_check;

// The highest `count` frames in a row that are free, whatever their number and alignment; 0: there are none.
// It looks at one frame after the other.
mfn_t frames_highest(const struct frames *f, u64 count);

// Gives back what frames_alloc, frames_alloc_at or frames_reserve took, also in smaller or larger aligned
// pieces. Freeing what is not allocated is a bug of the caller: it panics.
void frames_free(struct frames *f, mfn_t block, unsigned order);

// Whose the frame is. Frames at or beyond the limit are FRAME_NONE.
enum frame_owner frames_owner(const struct frames *f, mfn_t frame);

// True if every frame of [first, first + count) has this owner.
bool frames_owned(const struct frames *f, mfn_t first, u64 count, enum frame_owner owner);
