// Memory virtualisation by Extended Page Tables (SDM vol. 3, chapter 29): one back end of hv/mmu.h.
#pragma once

#include <hv/mmu.h>

extern const struct mmu_ops ept_ops;
