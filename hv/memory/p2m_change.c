// See hv/p2m_change.h.
#include <arch/lib.h>
#include <arch/phys.h>
#include <hv/p2m_change.h>

// The guest does not run: what is copied before the change is the same after it.
int p2m_move(struct p2m *p, gfn_t g)
{
    struct p2m_leaf old = p2m_lookup(p, g);
    mfn_t new;
    if (old.type != P2M_RAM)
        return ERR_INVALID;
    if (frames_alloc(p->frames, ORDER_4K, FRAME_GUEST, &new))
        return ERR_NOMEM;
    memcpy(mfn_ptr(new), mfn_ptr(old.mfn), PAGE_SIZE);
    int error = p2m_map(p, g, new, 1, P2M_RAM);
    frames_free(p->frames, error ? new : old.mfn, ORDER_4K);
    return error;
}

int p2m_take(struct p2m *p, gfn_t g, enum p2m_type type, mfn_t *frame)
{
    struct p2m_leaf leaf = p2m_lookup(p, g);
    if (leaf.type != P2M_RAM)
        return ERR_INVALID;
    *frame = leaf.mfn;
    return p2m_clear(p, g, 1, type);
}

int p2m_give(struct p2m *p, gfn_t g, mfn_t frame)
{
    enum p2m_type type = p2m_lookup(p, g).type;
    if (type != P2M_HOLE && type != P2M_DEVICE)
        return ERR_INVALID;
    return p2m_map(p, g, frame, 1, P2M_RAM);
}

int p2m_find(const struct p2m *p, mfn_t frame, gfn_t *g)
{
    u64 frames;
    for (u64 at = 0; at < BIT(P2M_GFN_BITS); at += frames) {
        struct p2m_leaf leaf = p2m_lookup(p, gfn(at));
        frames = BIT(9 * (leaf.level - 1));
        if (leaf.type != P2M_RAM || frame.n < leaf.mfn.n || frame.n - leaf.mfn.n >= frames)
            continue;
        *g = gfn(at + (frame.n - leaf.mfn.n));
        return 0;
    }
    return ERR_ABSENT;
}
