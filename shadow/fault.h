// Judging a #PF exit.
#pragma once

#include "format.h"

// See shadow_fault, but for the flush.
enum mmu_outcome fault_judge(struct shadow_view *view, struct mmu_fault *f);

// See shadow_fault_watched.
bool fault_watched(struct shadow_view *view, struct mmu_fault *f, enum mmu_outcome *outcome);
