// The back end in use. hv/main.c names those that there are, run_missing chooses: see mmu.h.
#include <hv/mmu.h>

const struct mmu_ops *mmu;
