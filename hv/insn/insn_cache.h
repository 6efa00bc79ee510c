// A small cache of decoded instructions: a kernel writes its page tables with a handful of instructions,
// again and again. It is looked up by RIP, but what is found counts only if all bytes that the decoder could
// look at are the same: code that was changed or moved, or another address space, can never give a wrong
// instruction. 64-bit code only.
#pragma once

#include <arch/types.h>

#include "decode.h"

#define INSN_CACHE_SLOTS 64
#define INSN_CACHE_BYTES 16 // that are compared: at least INSN_MAX_LENGTH

struct insn_slot {
    u64 bytes[INSN_CACHE_BYTES / sizeof(u64)];
    struct insn insn; // length 0: the slot is empty
};

// All zero: empty.
struct insn_cache {
    struct insn_slot slots[INSN_CACHE_SLOTS];
};

// The 64-bit instruction whose INSN_CACHE_BYTES bytes are at `bytes`, or NULL: insn_decode does not know it.
// It stays valid until the next call. `rip` only chooses the slot.
const struct insn *insn_cache_decode(struct insn_cache *cache, u64 rip, const u8 *bytes);
