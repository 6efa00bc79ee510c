// Memory compared at half the instructions that general registers take, or a fourth.
#pragma once

#include <arch/types.h>

#define SAME_BYTES 512u // of a block
#define SAME_STEP  64u  // where one may begin
#define SAME_STEPS 64u  // at most

// Finds out whether the processor has AVX2, and tells what of its state is in use. Until then it has not.
void same_init(void);

// Which blocks of memory at a and at b, both aligned to 32, are the same: bit n, of those whose bit is set in
// `blocks`, for the block that begins at n * SAME_STEP. It uses XMM registers, or YMM registers where XCR0
// has them enabled, and gives them back as they were: they are the guest's.
u64 same_blocks(const void *a, const void *b, u64 blocks);

// The same for the steps themselves, of SAME_STEP bytes, whose bit is set in `steps`. Of one that is not the
// same, bit i of differs[n] says that its i-th quadword differs; other bytes of `differs` stay as they are.
u64 same_steps(const void *a, const void *b, u64 steps, u8 differs[SAME_STEPS]);
