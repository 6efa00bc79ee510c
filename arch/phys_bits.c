// How wide machine addresses are. See phys.h.
#include <arch/io.h>
#include <arch/phys.h>

unsigned phys_bits(void)
{
    return cpuid(0x80000000, 0).eax >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;
}
