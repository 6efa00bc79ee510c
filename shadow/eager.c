// The eager strategy: at each root load the whole of the guest's tree is taken over, as far as the guest has
// used it (an entry that is not accessed must fault, so that its accessed bit is set). What does not fit into
// the pool is left to hidden faults.
#include "eager.h"
#include "entries.h"
#include "fill.h"
#include "tables.h"

#define FREE_KEPT 16u // tables that are left for hidden faults

static bool pool_is_low(const struct shadow *s)
{
    return s->config.pool - s->used < FREE_KEPT;
}

static void build_leaf(struct shadow_view *view, u32 table, unsigned slot)
{
    struct shadow *s = view->s;
    const struct shadow_table *t = &s->tables[table];
    u64 value = fill_leaf(view, t->level, role_page(t->role, t->guest[slot]));
    if (value != s->unknown)
        entry_set(s, entry_id(table, slot), value);
}

static bool usable(const struct shadow_view *view, u64 guest_entry, unsigned level)
{
    const struct shadow *s = view->s;
    bool used = (guest_entry & (PTE_P | PTE_A)) == (PTE_P | PTE_A) && !(guest_entry & PTE_PS);
    return used && !(guest_entry & view->reserved[level][false]) &&
           p2m_lookup(s->p2m, gpa_gfn(guest_entry & PTE_ADDRESS)).type == P2M_RAM;
}

static void build(struct shadow_view *view, u32 table);

static void build_link(struct shadow_view *view, u32 table, unsigned slot)
{
    struct shadow *s = view->s;
    u8 level = s->tables[table].level, role = s->tables[table].role;
    u64 guest_entry = s->tables[table].guest[slot];
    if (!usable(view, guest_entry, level))
        return;
    u64 frame = p2m_lookup(s->p2m, gpa_gfn(guest_entry & PTE_ADDRESS)).mfn.n;
    struct table_key key = {.frame = frame, .level = level - 1, .role = role_below(role, guest_entry)};
    bool known = hash_find(s, key) != SHADOW_NONE;
    u32 child = table_get(s, key, true, NULL);
    entry_set(s, entry_id(table, slot), entry_link(s, child, role_link_flags(role, guest_entry)));
    if (!known) // a table that is shared is built once
        build(view, child);
}

// Recursion as deep as the tables: four levels. Large pages that need splinters are left to hidden faults.
static void build(struct shadow_view *view, u32 table)
{
    struct shadow *s = view->s;
    unsigned level = s->tables[table].level;
    for (unsigned slot = 0; slot < ENTRIES && !pool_is_low(s); slot++) {
        u64 guest_entry = s->tables[table].guest[slot];
        if (level == 1 || (level == 2 && guest_entry & PTE_PS))
            build_leaf(view, table, slot);
        else
            build_link(view, table, slot);
    }
}

void eager_build(struct shadow_view *view)
{
    struct shadow *s = view->s;
    if (s->tables[view->root].guest)
        build(view, view->root);
}
