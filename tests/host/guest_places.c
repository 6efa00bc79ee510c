// See guest_places.h.
#include "guest_places.h"
#include "shadow_story.h"
#include "support.h"

#define TAKEN BACKED // in owner_of: kept to be given back

static u8 *backing(const struct guest_places *p, u64 frame)
{
    return mfn_ptr(mfn(p->first + frame));
}

static bool type_has_memory(enum p2m_type type)
{
    return type == P2M_RAM || type == P2M_RAM_RO;
}

u8 *places_memory(const struct guest_places *p, u64 gpa, enum p2m_type *type)
{
    u64 g = gpa / PAGE_SIZE;
    *type = g == APIC ? P2M_DIRECT : P2M_HOLE;
    if (g >= GUEST_FRAMES)
        return NULL;
    *type = p->place[g].type;
    return type_has_memory(*type) ? backing(p, p->place[g].mfn) + gpa % PAGE_SIZE : NULL;
}

u64 places_hpa(const struct guest_places *p, u64 gpa)
{
    enum p2m_type type;
    const u8 *memory = places_memory(p, gpa, &type);
    if (type == P2M_DIRECT)
        return p->device * PAGE_SIZE + gpa % PAGE_SIZE;
    return memory ? ptr_hpa(memory) : ~0ull;
}

u64 places_gpa(const struct guest_places *p, u64 hpa)
{
    u64 frame = hpa / PAGE_SIZE - p->first;
    if (hpa / PAGE_SIZE == p->device)
        return APIC * PAGE_SIZE + hpa % PAGE_SIZE;
    if (frame >= BACKED || !p->owner_of[frame] || p->owner_of[frame] == TAKEN)
        return ~0ull;
    return (p->owner_of[frame] - 1ull) * PAGE_SIZE + hpa % PAGE_SIZE;
}

static void place_apply(struct guest_places *p, u64 g)
{
    u64 frame = p->place[g].mfn;
    enum p2m_type type = p->place[g].type;
    if (type_has_memory(type)) {
        p->owner_of[frame] = (u32)g + 1;
        assert_int_equal(p2m_map(&p->p2m, gfn(g), mfn(p->first + frame), 1, type), 0);
    } else {
        p->owner_of[frame] = TAKEN;
        assert_int_equal(p2m_clear(&p->p2m, gfn(g), 1, type), 0);
    }
}

static u64 place_home(const struct guest_places *p, u64 g)
{
    bool linear = (g >= LINEAR && g < MIXED) || g >= BIG;
    return linear ? g : g * p->stride % 0x200 + (g & ~0x1ffull);
}

static enum p2m_type place_type(u64 g)
{
    static const enum p2m_type mixed[] = {P2M_RAM_RO, P2M_HOLE, P2M_DEVICE, P2M_RAM};
    if (g >= MIXED && g < BIG && g % 16 >= 12)
        return mixed[g % 4];
    return g == READ_ONLY ? P2M_RAM_RO : P2M_RAM;
}

void places_make(struct guest_places *p, struct frames *frames, unsigned number, unsigned largest)
{
    p->first = (1 + number) * BACKED; // no page lies where a root in place would
    p->device = MACHINE / PAGE_SIZE + 5 + number;
    p->stride = 3 + 2 * number;
    memset(p->owner_of, 0, sizeof(p->owner_of));
    assert_int_equal(frames_alloc_at(frames, mfn(p->first), 12, FRAME_GUEST), 0);
    assert_int_equal(p2m_init(&p->p2m, frames, largest, memory_write_back), 0);
    for (u64 g = 0; g < GUEST_FRAMES; g++) {
        p->place[g].mfn = place_home(p, g);
        p->place[g].type = place_type(g);
        place_apply(p, g);
    }
    assert_int_equal(p2m_map(&p->p2m, gfn(APIC), mfn(p->device), 1, P2M_DIRECT), 0);
}

static void place_move(struct guest_places *p, u64 g, u64 target)
{
    u64 old = p->place[g].mfn;
    memcpy(backing(p, target), backing(p, old), PAGE_SIZE);
    p->place[g].mfn = target;
    p->place[g].type = P2M_RAM;
    place_apply(p, g);
    memset(backing(p, old), 0x5a, PAGE_SIZE); // somebody else's now
    p->owner_of[old] = 0;
}

void places_change(struct guest_places *p, u64 g, enum place_change change)
{
    static const enum p2m_type types[] = {[PLACE_READ_ONLY] = P2M_RAM_RO,
                                          [PLACE_HOLE] = P2M_HOLE,
                                          [PLACE_DEVICE] = P2M_DEVICE,
                                          [PLACE_BACK] = P2M_RAM};
    if (change == PLACE_MOVE) {
        u64 target = rnd(BACKED);
        while (p->owner_of[target])
            target = (target + 1) % BACKED;
        place_move(p, g, target);
    } else {
        p->place[g].type = types[change];
        place_apply(p, g);
    }
    say("p2m: gfn %lx is now mfn %lx type %d", g, p->first + p->place[g].mfn, p->place[g].type);
}

void places_restore(struct guest_places *p, u64 g)
{
    if (!p->owner_of[place_home(p, g)])
        place_move(p, g, place_home(p, g));
    p->place[g].type = place_type(g);
    place_apply(p, g);
    say("p2m: gfn %lx is as it was: mfn %lx type %d", g, p->first + p->place[g].mfn, p->place[g].type);
}
