// See modes.h. Random numbers are splitmix64's, so that a seed gives the same order with every libc.
#include "modes.h"

enum {
    SLOWER = 2,  // a slow mode's repetition takes so many times as long as the fastest's
    SLOWEST = 8, // if it can: up to so many it is in all rounds
    ROUNDS_TELLING = 3,
};

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

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
