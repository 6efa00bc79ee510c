// See modes.h.
#include "modes.h"
#include "random.h"

enum {
    SLOWER = 2,  // a slow mode's repetition takes so many times as long as the fastest's
    SLOWEST = 8, // if it can: up to so many it is in all rounds
    ROUNDS_TELLING = 3,
};

void modes_order(unsigned *order, unsigned modes, unsigned round, uint64_t seed)
{
    uint64_t state = seed;
    for (unsigned pair = 0; pair <= round / 2; pair++) // each there-and-back goes on where the last one ended
        for (unsigned i = 0; i < modes; i++) {
            unsigned place = (unsigned)(random_next(&state) % (i + 1));
            order[i] = i;
            order[i] = order[place];
            order[place] = i;
        }
    for (unsigned i = 0; round % 2 && i < modes / 2; i++) {
        unsigned first = order[i];
        order[i] = order[modes - 1 - i];
        order[modes - 1 - i] = first;
    }
}

unsigned long modes_iterations(unsigned long wanted, uint64_t cost, uint64_t least)
{
    if (cost <= SLOWER * least)
        return wanted;
    double share = (double)wanted * SLOWER * (double)least / (double)cost;
    return share < 1 ? 1 : (unsigned long)share;
}

unsigned modes_rounds(unsigned rounds, uint64_t cost, uint64_t least)
{
    if (cost <= SLOWEST * least)
        return rounds;
    double share = (double)rounds * SLOWEST * (double)least / (double)cost;
    return share < ROUNDS_TELLING ? 1 : (unsigned)share;
}
