// Random numbers by a seed, the same with every libc: splitmix64.
#pragma once
#include <stddef.h>
#include <stdint.h>

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

// A number below `count` by all bits of a random one, without a division.
static inline size_t random_place(uint64_t random, size_t count)
{
    return (size_t)((unsigned __int128)random * count >> 64);
}
