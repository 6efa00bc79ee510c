// See msr_keep.h. Which they are, the rows of msrs.def say: what is read and written directly. A write-only
// MSR is a command and keeps nothing. And IA32_TSC_ADJUST, with which the TSC comes back to where it would
// be: a write of either changes both (SDM vol. 3, 18.17.3).
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

static void keep(u32 index)
{
    u64 value;
    if (kept.count == KEPT_MAX || !trap_try_rdmsr(index, &value))
        return;
    kept.msr[kept.count].index = index;
    kept.msr[kept.count++].value = value;
}

void msr_keep(void)
{
    u32 index;
    for (unsigned i = 0; msr_direct(i, &index); i++)
        keep(index);
    keep(IA32_TSC_ADJUST);
}

void msr_keep_restore(void)
{
    for (unsigned i = 0; i < kept.count; i++) {
        bool taken = trap_try_wrmsr(kept.msr[i].index, kept.msr[i].value);
        (void)taken; // its own value of before
    }
}
