// Memory compared at half the instructions that general registers take.
#pragma once

#include <arch/types.h>

#define SAME_BYTES 512u

// Whether SAME_BYTES of memory at a and at b, both aligned to 16, are the same. It uses XMM registers, and
// gives them back as they were: they are the guest's.
bool same_bytes(const void *a, const void *b);
