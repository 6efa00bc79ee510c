// See msr_keep.h. Which they are, the rows of msrs.def say: what is read and written directly. A write-only
// MSR is a command and keeps nothing.
#include <arch/cpu.h>
#include <arch/traps.h>

#include "msr_keep.h"
#include "msr_table.h"

#define KEPT_MAX 32

static struct {
    unsigned count;
    struct {
        u32 index;
        u64 value;
    } msr[KEPT_MAX];
} kept;

void msr_keep(void)
{
    u32 index;
    u64 value;
    for (unsigned i = 0; kept.count < KEPT_MAX && msr_direct(i, &index); i++) {
        if (!trap_try_rdmsr(index, &value))
            continue;
        kept.msr[kept.count].index = index;
        kept.msr[kept.count++].value = value;
    }
}

void msr_keep_restore(void)
{
    for (unsigned i = 0; i < kept.count; i++) {
        bool taken = trap_try_wrmsr(kept.msr[i].index, kept.msr[i].value);
        (void)taken; // its own value of before
    }
}
