// Shadow entries and the chains that lead from what they map back to them.
#pragma once

#include "format.h"

// What the processor may have cached of the tables must be gone before the guest runs. At most one flush is
// done, at the end of the engine's call: engine.c.
static inline void entry_flush(struct shadow *s)
{
    s->unsettled = s->flush = true;
}

// Makes the entry `value`, in the chain that it belongs to. The caller sees to flushes, but where splinters
// may lie below: the guest ends a large page with one INVLPG, while the processor may have cached the
// splinters one by one. True if it mapped something before.
bool entry_set(struct shadow *s, u32 id, u64 value);

// The same, if it is another value than before.
static inline void entry_make(struct shadow *s, u32 id, u64 value)
{
    if (value != *entry_at(s, id))
        entry_set(s, id, value);
}

// Makes all entries of a chain unknown: `head` is SHADOW_NONE then.
void entry_clear_chain(struct shadow *s, const u32 *head);

// The large leaves and traced frames of the 2M of machine memory around the frame.
static inline struct shadow_region *entry_region(const struct shadow *s, u64 frame)
{
    return &s->regions[frame / ENTRIES];
}
