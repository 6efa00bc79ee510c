// libFuzzer: the bytes choose the guest and its exits (random_exit.h), which judges them.

// link: MACHINE ENGINE tests/host/random_exit.c shadow/shadow.c hv/exits/fault.c hv/insn/insn_cache.c

// max: 8192
#include "support.h"

#include "random_exit.h"

#define EXITS 64 // a guest takes longer to make than these

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    if (!size)
        return 0;
    random_of(data, size);
    random_guest(EXITS);
    return 0;
}
