// Where the direct map of all machine memory lies: boot.asm begins it, paging.c completes it. See phys.h.
#include <arch/layout.h>
#include <arch/phys.h>

uintptr_t phys_base = DIRECT_MAP;
