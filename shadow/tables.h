// The shadow tables: made, found, recycled where they are not used again, dropped.
#pragma once

#include "hash.h"

// The table for `key`, made if there is none: then all its entries are unknown, and with tracing its guest
// table is write-protected. `marks`: see struct shadow_table. When the pool is empty it recycles the oldest
// table that was not looked up again, but none of `keep` (the path being built, which SHADOW_NONE ends; or
// NULL). A table that is apart is made anew.
u32 table_get(struct shadow *s, struct table_key key, bool marks, const u32 *keep);

// Makes the table for `key`, of which there is none.
u32 table_make(struct shadow *s, struct table_key key, bool marks, const u32 *keep);

// The table that the guest's entry of level 2, in a table of this role, leads to, if it is apart; or
// SHADOW_NONE.
u32 table_apart(const struct shadow *s, u8 role, u64 guest_entry);

// Whether nothing leads to it.
static inline bool table_orphaned(const struct shadow *s, u32 table)
{
    return s->tables[table].parents == SHADOW_NONE && !s->tables[table].roots;
}

// Makes all entries of a table unknown.
void table_empty(struct shadow *s, u32 table);

// Forgets a table: all entries that point to it and all that it has.
void table_drop(struct shadow *s, u32 table);

// A traced table goes out of sync: from now on its frame's writes are not seen.
void table_lose(struct shadow *s, u32 table);

// A traced table leaves the tree, and goes out of sync. What the processor has cached of the links to it is
// the caller's to flush.
void table_part(struct shadow *s, u32 table);

// A table is not out of sync any more: it is dropped, or its entries are about to be made exact.
void table_found(struct shadow *s, u32 table);
