// See insn_cache.h. The decoder itself is decode.c.
#include "insn_cache.h"

// MOV or XCHG of a register of 8 bytes to memory, without RSP.
static bool stores(const struct insn *insn)
{
    bool moves = insn->op == INSN_MOV || insn->op == INSN_XCHG;
    return moves && insn->form == INSN_MEM_REG && insn->size == sizeof(u64) && !insn_uses_stack_pointer(insn);
}

static __attribute__((noinline)) const struct insn *fill(struct insn_slot *slot, const u8 *bytes)
{
    slot->insn.length = 0;
    __builtin_memcpy(slot->bytes, bytes, INSN_CACHE_BYTES);
    struct insn insn;
    if (insn_decode(&insn, (const u8 *)slot->bytes, INSN_MAX_LENGTH, 64) != DECODE_OK)
        return NULL;
    insn.stores = stores(&insn);
    slot->insn = insn;
    return &slot->insn;
}

const struct insn *insn_cache_decode(struct insn_cache *cache, u64 rip, const u8 *bytes)
{
    struct insn_slot *slot = &cache->slots[(rip ^ rip >> 6) % INSN_CACHE_SLOTS];
    u64 now[INSN_CACHE_BYTES / sizeof(u64)];
    __builtin_memcpy(now, bytes, sizeof(now));
    if (likely(now[0] == slot->bytes[0] && now[1] == slot->bytes[1] && slot->insn.length))
        return &slot->insn;
    return fill(slot, bytes);
}
