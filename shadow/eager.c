// The eager strategy: at each root load the whole of the guest's tree is taken over, as far as the guest has
// used it (an entry that is not accessed must fault, so that its accessed bit is set). What does not fit into
// the pool is left to hidden faults.
#include "tables.h"

#define FREE_KEPT 16u // tables that are left for hidden faults

static bool pool_is_low(const struct shadow *s)
{
    return s->config.pool - s->used < FREE_KEPT;
}

static void build_leaf(struct shadow *s, const struct walk_context *w, u32 table, unsigned slot)
{
    const struct shadow_table *t = &s->tables[table];
    u64 value = leaf_value(s, w, t->level, entry_in_role(t->role, t->guest[slot]));
    if (value != s->unknown)
        entry_set(s, entry_id(table, slot), value);
}

static bool usable(const struct shadow *s, const struct walk_context *w, u64 guest_entry, unsigned level)
{
    bool used = (guest_entry & (PTE_P | PTE_A)) == (PTE_P | PTE_A) && !(guest_entry & PTE_PS);
    return used && !(guest_entry & walk_reserved_bits(w, PAGING_4LEVEL, level, false)) &&
           p2m_lookup(s->p2m, gpa_gfn(guest_entry & PTE_ADDRESS)).type == P2M_RAM;
}

static void build(struct shadow *s, const struct walk_context *w, u32 table);

static void build_link(struct shadow *s, const struct walk_context *w, u32 table, unsigned slot)
{
    u8 level = s->tables[table].level, role = s->tables[table].role;
    u64 guest_entry = s->tables[table].guest[slot];
    if (!usable(s, w, guest_entry, level))
        return;
    u64 frame = p2m_lookup(s->p2m, gpa_gfn(guest_entry & PTE_ADDRESS)).mfn.n;
    struct table_key key = {.frame = frame, .level = level - 1, .role = role_below(role, guest_entry)};
    bool known = table_find(s, key) != SHADOW_NONE;
    u32 child = table_get(s, key, true, NULL);
    entry_set(s, entry_id(table, slot), entry_link(s, child, link_flags(role, guest_entry)));
    if (!known) // a table that is shared is built once
        build(s, w, child);
}

// Recursion as deep as the tables: four levels. Large pages that need splinters are left to hidden faults.
static void build(struct shadow *s, const struct walk_context *w, u32 table)
{
    unsigned level = s->tables[table].level;
    for (unsigned slot = 0; slot < ENTRIES && !pool_is_low(s); slot++) {
        u64 guest_entry = s->tables[table].guest[slot];
        if (level == 1 || (level == 2 && guest_entry & PTE_PS))
            build_leaf(s, w, table, slot);
        else
            build_link(s, w, table, slot);
    }
}

void eager_build(struct shadow *s, const struct walk_context *w)
{
    if (s->tables[s->root].guest)
        build(s, w, s->root);
}
