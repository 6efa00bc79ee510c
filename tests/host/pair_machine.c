// See pair_machine.h.
#include "pair_machine.h"
#include "shadow_story.h"
#include "support.h"

struct frames machine_frames;
struct guest_places pair_places[SIDES];

u8 *guest_memory(u64 gpa, enum p2m_type *type)
{
    return places_memory(&pair_places[0], gpa, type);
}

u8 *machine_table(u64 hpa, enum p2m_type *type)
{
    if (!frames_owned(&machine_frames, hpa_mfn(hpa), 1, FRAME_MONITOR))
        bad("the processor walks a table at %lx, which is not the monitor's", hpa);
    *type = P2M_RAM;
    return phys_ptr(hpa);
}

void pair_make(const unsigned largest[SIDES])
{
    memory_make(MACHINE, &machine_frames);
    for (unsigned n = 0; n < SIDES; n++)
        places_make(&pair_places[n], &machine_frames, n, largest[n]);
}

void pair_gone(void)
{
    memory_gone();
}

void memory_init(u64 gpa, u64 value)
{
    enum p2m_type type;
    for (unsigned n = 0; n < SIDES; n++) {
        u8 *memory = places_memory(&pair_places[n], gpa, &type);
        if (memory)
            memcpy(memory, &value, sizeof(value));
    }
}

u64 expected_entry(u64 gpa)
{
    enum p2m_type type;
    const u8 *memory = guest_memory(gpa, &type);
    u64 value = 0;
    if (memory)
        memcpy(&value, memory, sizeof(value));
    return value;
}

void pair_check(u64 gpa, unsigned bytes)
{
    enum p2m_type types[SIDES];
    const u8 *one = places_memory(&pair_places[0], gpa, &types[0]),
             *other = places_memory(&pair_places[1], gpa, &types[1]);
    assert_int_equal(types[0], types[1]);
    for (unsigned i = 0; one && i < bytes; i++) {
        if (one[i] != other[i])
            bad("gpa %lx holds %x on one side, %x on the other", gpa + i, one[i], other[i]);
    }
}

void memory_check(u64 gpa)
{
    pair_check(gpa, 8);
}

void memory_check_all(void)
{
    enum p2m_type type;
    for (u64 gpa = 0; gpa < GUEST_FRAMES * PAGE_SIZE; gpa += PAGE_SIZE) {
        const u8 *one = places_memory(&pair_places[0], gpa, &type);
        if (one && memcmp(one, places_memory(&pair_places[1], gpa, &type), PAGE_SIZE))
            pair_check(gpa, PAGE_SIZE);
    }
}

void place_change(u64 g, enum place_change change)
{
    for (unsigned n = 0; n < SIDES; n++)
        places_change(&pair_places[n], g, change);
}

void place_restore(u64 g)
{
    for (unsigned n = 0; n < SIDES; n++)
        places_restore(&pair_places[n], g);
}
