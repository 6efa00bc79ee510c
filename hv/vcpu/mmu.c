// The back end in use. hv/main.c names those that there are, run_choose takes one: see mmu.h.
#include <hv/mmu.h>

const struct mmu_ops *mmu;
