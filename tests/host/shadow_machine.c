// See shadow_machine.h.
#include "shadow_machine.h"
#include "model_history.h"
#include "shadow_story.h"
#include "support.h"

struct frames machine_frames;
struct guest_places machine_places;

static u8 *expected; // by gpa

u8 *guest_memory(u64 gpa, enum p2m_type *type)
{
    return places_memory(&machine_places, gpa, type);
}

u8 *machine_table(u64 hpa, enum p2m_type *type)
{
    if (!frames_owned(&machine_frames, hpa_mfn(hpa), 1, FRAME_MONITOR))
        bad("the processor walks a table at %lx, which is not the monitor's", hpa);
    *type = P2M_RAM;
    return phys_ptr(hpa);
}

void machine_make(unsigned largest)
{
    memory_make(MACHINE, &machine_frames);
    places_make(&machine_places, &machine_frames, 0, largest);
    expected = calloc(GUEST_FRAMES, PAGE_SIZE);
}

void machine_gone(void)
{
    free(expected);
    memory_gone();
}

u64 gpa_hpa(u64 gpa)
{
    return places_hpa(&machine_places, gpa);
}

u64 hpa_gpa(u64 hpa)
{
    return places_gpa(&machine_places, hpa);
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

void place_change(u64 g, enum place_change change)
{
    places_change(&machine_places, g, change);
}

void place_restore(u64 g)
{
    places_restore(&machine_places, g);
}
