// See arch/random.h.
#include <arch/io.h>
#include <arch/random.h>
#include <arch/timer.h>

#define CPUID_1_ECX_RDRAND BIT(30)
#define RDRAND_TRIES       10 // SDM vol. 1, 7.3.17.1: more failures in a row are a defect
#define READS              64

// A round of SplitMix64 (Steele, Lea, Flood 2014): each bit of the state and of the value changes half of the
// result.
static u64 mix(u64 state, u64 value)
{
    state = (state ^ value) + 0x9e3779b97f4a7c15;
    state = (state ^ state >> 30) * 0xbf58476d1ce4e5b9;
    state = (state ^ state >> 27) * 0x94d049bb133111eb;
    return state ^ state >> 31;
}

static u64 rdrand(void)
{
    u64 value = 0;
    bool good = false;
    for (unsigned tries = 0; tries < RDRAND_TRIES && !good; tries++)
        asm volatile("rdrand %0" : "=r"(value), "=@ccc"(good));
    return good ? value : 0;
}

u64 random_draw(u64 seed)
{
    if (seed)
        return mix(0, seed);
    u64 state = rdtsc();
    for (unsigned i = 0; i < READS; i++) {
        inb(PORT_B); // which changes nothing, and takes about a microsecond
        state = mix(state, rdtsc());
    }
    return cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND ? mix(state, rdrand()) : state;
}
