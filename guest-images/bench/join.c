// Workload of a data base's join: a hash table is built of one relation's keys and probed with the other's,
// half of which have a partner. The sum over all partners is known from how the relations were made.
#include "bench.h"
#include "random.h"

struct tuple {
    uint64_t key; // 0: an empty slot
    uint64_t payload;
};

enum { SLOTS_FOR_ONE = 2, TUPLES_LEAST = 16 };

static struct tuple *join_build, *join_probe, *join_slots;
static size_t join_tuples, join_room;
static uint64_t join_sum;

// No two are the same, since splitmix64 is one to one, nor is one 0.
static uint64_t key_of(size_t index)
{
    uint64_t state = index * 0x9e3779b97f4a7c15;
    return random_next(&state);
}

static void probe_make(size_t i, uint64_t *random)
{
    size_t partner = random_place(random_next(random), join_tuples);
    bool there = random_next(random) & 1;
    join_probe[i] = (struct tuple){key_of(there ? partner : join_tuples + partner), i};
    join_sum += there ? join_build[partner].payload ^ i : 0;
}

void join_setup(struct workload *own)
{
    uint64_t random = 1;
    join_tuples = own->bytes / sizeof(struct tuple) / (2 + SLOTS_FOR_ONE);
    if (join_tuples < TUPLES_LEAST)
        fail("needs a larger working set");
    join_room = SLOTS_FOR_ONE * join_tuples;
    join_build = set_make(own);
    join_probe = join_build + join_tuples;
    join_slots = join_probe + join_tuples;
    own->operations = 2 * join_tuples;
    for (size_t i = 0; i < join_tuples; i++)
        join_build[i] = (struct tuple){key_of(i), random_next(&random)};
    for (size_t i = 0; i < join_tuples; i++)
        probe_make(i, &random);
}

// The key's slot, or the empty one where it would be.
static struct tuple *slot_of(uint64_t key)
{
    size_t slot = random_place(key, join_room);
    while (join_slots[slot].key && join_slots[slot].key != key)
        slot = slot + 1 == join_room ? 0 : slot + 1;
    return &join_slots[slot];
}

void join_run(unsigned long iterations)
{
    while (iterations--) {
        uint64_t sum = 0;
        for (size_t i = 0; i < join_room; i++)
            join_slots[i].key = 0;
        for (size_t i = 0; i < join_tuples; i++)
            *slot_of(join_build[i].key) = join_build[i];
        for (size_t i = 0; i < join_tuples; i++) {
            const struct tuple *slot = slot_of(join_probe[i].key);
            sum += slot->key ? slot->payload ^ join_probe[i].payload : 0;
        }
        if (sum != join_sum)
            fail("the join's sum is wrong");
    }
}
