// Access to machine memory: all of it is mapped at one constant distance.
// The monitor sets phys_base to its direct map; host tests set it to an array that plays the machine.
#pragma once

#include <arch/types.h>

extern uintptr_t phys_base;

// The pointer through which the monitor reaches a machine address. Valid for RAM and for mapped device
// memory.
static inline void *phys_ptr(u64 hpa)
{
    return (void *)(phys_base + hpa);
}
static inline void *mfn_ptr(mfn_t m)
{
    return phys_ptr(mfn_hpa(m));
}
static inline u64 ptr_hpa(const void *direct_map_pointer)
{
    return (uintptr_t)direct_map_pointer - phys_base;
}

// The bits that a machine address can have on this processor: MAXPHYADDR (SDM vol. 3, 4.1.4).
unsigned phys_bits(void);
