// Finds the shadow table that stands for something.
#pragma once

#include "format.h"

// What a table is found by. `frame`: see struct shadow_table.
struct table_key {
    u64 frame;
    u8 level, role;
    bool splinter;
};

// The table, or SHADOW_NONE.
u32 hash_find(const struct shadow *s, struct table_key key);

// A table comes in by what it stands for, and goes.
void hash_insert(struct shadow *s, u32 table);
void hash_remove(struct shadow *s, u32 table);
