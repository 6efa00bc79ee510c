// Which frames are traced: the guest's writes to them are seen, since shadow tables stand for them.
#pragma once

#include "entries.h"

// From now on writes to the table's frame are seen, or need not be. Does nothing without tracing, and for
// splinters.
void frame_trace(struct shadow *s, u32 table);
void frame_untrace(struct shadow *s, u32 table);

// Whether frame_at may be asked for any machine frame, which need not be the guest's.
static inline bool frame_known(const struct shadow *s, u64 frame)
{
    return frame < s->limit && s->chunks[frame / SHADOW_CHUNK];
}

// Whether writes to the frame must be seen: a table stands for it that is not out of sync.
static inline bool frame_traced(const struct shadow *s, u64 frame)
{
    return frame_at(s, frame)->traced;
}

// Whether just one table traces the frame: f->table.
static inline bool traced_once(const struct shadow_frame *f)
{
    return f->traced && !(f->traced & (f->traced - 1));
}

// The table that traces the frame and has this index, whose bit in `traced` is set.
u32 frame_table(const struct shadow *s, u64 frame, unsigned index);

// The table that stands for the frame and has this index, traced or not, or SHADOW_NONE.
u32 frame_find(const struct shadow *s, u64 frame, unsigned index);
