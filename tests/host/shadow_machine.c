// See shadow_machine.h.
#include "shadow_machine.h"
#include "model_history.h"
#include "shadow_story.h"
#include "support.h"

#define BACKING 0x1000u // mfn of the guest's memory: more than the guest has, so that frames can move
#define BACKED  0x1000u
#define TAKEN   BACKED // in owner_of: kept to be given back
#define DEVICE  (MACHINE + 5 * PAGE_SIZE)

struct place {
    u64 mfn; // counted from BACKING
    enum p2m_type type;
};

struct frames machine_frames;
struct p2m machine_p2m;

static struct place places[GUEST_FRAMES];
static u32 owner_of[BACKED]; // gfn + 1, 0: free
static u8 *expected;         // by gpa

static u8 *backing(u64 frame)
{
    return mfn_ptr(mfn(BACKING + frame));
}

static bool type_has_memory(enum p2m_type type)
{
    return type == P2M_RAM || type == P2M_RAM_RO;
}

u8 *guest_memory(u64 gpa, enum p2m_type *type)
{
    u64 g = gpa / PAGE_SIZE;
    *type = g == APIC ? P2M_DIRECT : P2M_HOLE;
    if (g >= GUEST_FRAMES)
        return NULL;
    *type = places[g].type;
    return type_has_memory(*type) ? backing(places[g].mfn) + gpa % PAGE_SIZE : NULL;
}

u8 *machine_table(u64 hpa, enum p2m_type *type)
{
    if (!frames_owned(&machine_frames, hpa_mfn(hpa), 1, FRAME_MONITOR))
        bad("the processor walks a table at %lx, which is not the monitor's", hpa);
    *type = P2M_RAM;
    return phys_ptr(hpa);
}

static void place_apply(u64 g)
{
    struct place *p = &places[g];
    if (type_has_memory(p->type)) {
        owner_of[p->mfn] = (u32)g + 1;
        assert_int_equal(p2m_map(&machine_p2m, gfn(g), mfn(BACKING + p->mfn), 1, p->type), 0);
    } else {
        owner_of[p->mfn] = TAKEN;
        assert_int_equal(p2m_clear(&machine_p2m, gfn(g), 1, p->type), 0);
    }
}

static u64 place_home(u64 g)
{
    bool linear = (g >= LINEAR && g < MIXED) || g >= BIG;
    return linear ? g : g * 3 % 0x200 + (g & ~0x1ffull);
}

static enum p2m_type place_type(u64 g)
{
    static const enum p2m_type mixed[] = {P2M_RAM_RO, P2M_HOLE, P2M_DEVICE, P2M_RAM};
    if (g >= MIXED && g < BIG && g % 16 >= 12)
        return mixed[g % 4];
    return g == READ_ONLY ? P2M_RAM_RO : P2M_RAM;
}

static void places_make(void)
{
    memset(owner_of, 0, sizeof(owner_of));
    for (u64 g = 0; g < GUEST_FRAMES; g++) {
        places[g] = (struct place){place_home(g), place_type(g)};
        place_apply(g);
    }
}

void machine_make(unsigned largest)
{
    memory_make(MACHINE, &machine_frames);
    assert_int_equal(frames_alloc_at(&machine_frames, mfn(BACKING), 12, FRAME_GUEST), 0);
    assert_int_equal(p2m_init(&machine_p2m, &machine_frames, largest, memory_write_back), 0);
    places_make();
    assert_int_equal(p2m_map(&machine_p2m, gfn(APIC), mfn(DEVICE / PAGE_SIZE), 1, P2M_DIRECT), 0);
    expected = calloc(GUEST_FRAMES, PAGE_SIZE);
}

void machine_gone(void)
{
    free(expected);
    memory_gone();
}

u64 gpa_hpa(u64 gpa)
{
    enum p2m_type type;
    const u8 *memory = guest_memory(gpa, &type);
    if (type == P2M_DIRECT)
        return DEVICE + gpa % PAGE_SIZE;
    return memory ? ptr_hpa(memory) : ~0ull;
}

u64 hpa_gpa(u64 hpa)
{
    u64 frame = hpa / PAGE_SIZE - BACKING;
    if (hpa / PAGE_SIZE == DEVICE / PAGE_SIZE)
        return APIC * PAGE_SIZE + hpa % PAGE_SIZE;
    if (frame >= BACKED || !owner_of[frame] || owner_of[frame] == TAKEN)
        return ~0ull;
    return (owner_of[frame] - 1ull) * PAGE_SIZE + hpa % PAGE_SIZE;
}

u64 expected_entry(u64 gpa)
{
    u64 value = 0;
    if (gpa < GUEST_FRAMES * PAGE_SIZE)
        memcpy(&value, expected + gpa, sizeof(value));
    return value;
}

void memory_init(u64 gpa, u64 value)
{
    enum p2m_type type;
    u8 *memory = guest_memory(gpa, &type);
    memcpy(expected + gpa, &value, sizeof(value));
    if (memory)
        memcpy(memory, &value, sizeof(value));
}

void memory_store(u64 gpa, const void *data, unsigned bytes)
{
    enum p2m_type type;
    u8 *memory = guest_memory(gpa, &type);
    if (type != P2M_RAM)
        return;
    for (u64 slot = align_down(gpa, 8); slot < gpa + bytes; slot += 8)
        history_store(slot, expected_entry(slot));
    memcpy(memory, data, bytes);
    memcpy(expected + gpa, data, bytes);
}

void memory_mark(u64 gpa, u64 value)
{
    u64 old = expected_entry(gpa);
    value |= old;
    if (value == old)
        return;
    history_store(gpa, old);
    memcpy(expected + gpa, &value, sizeof(value));
}

void memory_check(u64 gpa)
{
    enum p2m_type type;
    const u8 *memory = guest_memory(gpa, &type);
    u64 value;
    if (!memory)
        return;
    memcpy(&value, memory, sizeof(value));
    if (value != expected_entry(gpa))
        bad("the entry at gpa %lx is %lx, expected %lx", gpa, value, expected_entry(gpa));
}

void memory_check_all(void)
{
    for (u64 gpa = 0; gpa < GUEST_FRAMES * PAGE_SIZE; gpa += PAGE_SIZE) {
        enum p2m_type type;
        const u8 *memory = guest_memory(gpa, &type);
        if (memory && memcmp(memory, expected + gpa, PAGE_SIZE))
            bad("the guest's page at %lx is not what it should be", gpa);
    }
}

static void place_move(u64 g, u64 target)
{
    struct place *p = &places[g];
    u64 old = p->mfn;
    memcpy(backing(target), backing(old), PAGE_SIZE);
    *p = (struct place){target, P2M_RAM};
    place_apply(g);
    memset(backing(old), 0x5a, PAGE_SIZE); // somebody else's now
    owner_of[old] = 0;
}

void place_change(u64 g, enum place_change change)
{
    static const enum p2m_type types[] = {[PLACE_READ_ONLY] = P2M_RAM_RO,
                                          [PLACE_HOLE] = P2M_HOLE,
                                          [PLACE_DEVICE] = P2M_DEVICE,
                                          [PLACE_BACK] = P2M_RAM};
    if (change == PLACE_MOVE) {
        u64 target = rnd(BACKED);
        while (owner_of[target])
            target = (target + 1) % BACKED;
        place_move(g, target);
    } else {
        places[g].type = types[change];
        place_apply(g);
    }
    say("p2m: gfn %lx is now mfn %lx type %d", g, BACKING + places[g].mfn, places[g].type);
}

void place_restore(u64 g)
{
    if (!owner_of[place_home(g)])
        place_move(g, place_home(g));
    places[g].type = place_type(g);
    place_apply(g);
    say("p2m: gfn %lx is as it was: mfn %lx type %d", g, BACKING + places[g].mfn, places[g].type);
}
