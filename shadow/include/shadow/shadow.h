// Memory virtualisation by shadow page tables: one back end of hv/mmu.h. How it works is in the folder's
// README.md.
#pragma once

#include <hv/mmu.h>

extern const struct mmu_ops shadow_ops;
