// Tables that the guest tears down. See teardown.h; who finds out is in trace.c and sync.c.
// The end of an address space is told by its first write: kernels take the entries of a process that is dead
// by plain stores, and of one that may still run by exchanges, which keep the accessed and dirty bits. That
// is a guess: what is dropped and used all the same is only made again. Each guess that was wrong makes twice
// as many chances pass before the next.
#include "teardown.h"
#include "entries.h"
#include "tables.h"

#define USER_HALF   (ENTRIES / 2) // of a root, the entries below the non-canonical hole
#define USER_GROUPS (BIT(USER_HALF / GROUP) - 1)
#define DOUBT_MAX   0x3ffu
#define ROOTS       2 // of one process: with page-table isolation

void teardown_orphan(struct shadow *s, u32 table)
{
    if (table_orphaned(s, table))
        table_drop(s, table);
}

void teardown_apart(struct shadow *s, u32 table, u64 guest_entry)
{
    u32 child = guest_entry & PTE_P ? table_apart(s, s->tables[table].role, guest_entry) : SHADOW_NONE;
    if (child != SHADOW_NONE)
        table_drop(s, child);
}

static void drop_all_apart(struct shadow *s, u32 table)
{
    for (u64 groups = s->tables[table].occupied; groups && s->apart; groups &= groups - 1) {
        u32 first = entry_id(table, group_first(groups));
        for (u32 id = first; id < first + GROUP; id++)
            teardown_apart(s, table, s->seen[id]);
    }
}

void teardown_empty(struct shadow *s, u32 table)
{
    while (!s->tables[table].roots && s->tables[table].level > 1 && !s->tables[table].mapped) {
        u32 parent = s->tables[table].parents;
        if (s->tables[table].level == 2)
            drop_all_apart(s, table);
        table_drop(s, table);
        if (parent == SHADOW_NONE)
            return;
        table = parent >> 9;
    }
}

// Of the root of one address space, which is that of the table alone; or of two, if they share all below. 0:
// it is otherwise.
static unsigned roots_above(const struct shadow *s, u32 table, u32 roots[ROOTS])
{
    unsigned count = 0;
    u32 id = s->tables[table].parents;
    while (id != SHADOW_NONE && s->links[id].next == SHADOW_NONE && s->tables[id >> 9].level < WALK_LEVELS)
        id = s->tables[id >> 9].parents;
    for (; id != SHADOW_NONE; id = s->links[id].next) {
        bool fits = count < ROOTS && s->tables[id >> 9].level == WALK_LEVELS && id % ENTRIES < USER_HALF;
        if (!fits)
            return 0;
        roots[count++] = id >> 9;
    }
    return count;
}

static void drop_links(struct shadow *s, u32 table, u64 groups);

// The table that the entry leads to, with all below.
static void drop_tree(struct shadow *s, u32 id)
{
    u32 table = entry_child(s, *entry_at(s, id));
    if (s->tables[table].level > 1)
        drop_links(s, table, ~0ul);
    if (s->tables[table].level == 2)
        drop_all_apart(s, table);
    table_drop(s, table);
}

// What these groups of a table lead to, where users come to it.
static void drop_links(struct shadow *s, u32 table, u64 groups)
{
    const struct shadow_table *t = &s->tables[table];
    for (groups &= t->maps; groups; groups &= groups - 1) {
        unsigned first = group_first(groups);
        for (unsigned slot = first; slot < first + GROUP; slot++) {
            u64 entry = t->entries[slot];
            if (entry_maps(s, entry) && entry & PTE_U && !entry_is_leaf(t->level, entry))
                drop_tree(s, entry_id(table, slot));
        }
    }
}

// The guest is about to write this root: it goes out of sync, and so that it need not fault, what the
// processor may have cached of the page's being read-only goes.
static void root_lose(struct shadow *s, u32 table)
{
    if (!table_is_exact(s, &s->tables[table]))
        return;
    table_lose(s, table);
    u32 id = frame_at(s, s->tables[table].frame)->leaves;
    while (id != SHADOW_NONE && entry_flush_address(s, id))
        id = s->links[id].next;
}

bool teardown_begins(struct shadow *s, u32 table)
{
    u32 roots[ROOTS];
    unsigned count = s->doubted ? 0 : roots_above(s, table, roots);
    s->doubted -= s->doubted > 0;
    for (unsigned i = 0; i < count; i++) {
        drop_links(s, roots[i], USER_GROUPS);
        s->tables[roots[i]].torn = true;
        root_lose(s, roots[i]);
    }
    return !s->tables[table].used;
}

void teardown_refuted(struct shadow *s, u32 id)
{
    if (id % ENTRIES >= USER_HALF)
        return;
    s->tables[id >> 9].torn = false;
    s->doubt = (s->doubt * 2 + 1) & DOUBT_MAX;
    s->doubted = s->doubt;
}

static bool user_half_empty(const u64 *guest)
{
    u64 any = 0;
#pragma GCC unroll 8
    for (unsigned slot = 0; slot < USER_HALF; slot++)
        any |= guest[slot];
    return !(any & PTE_P);
}

bool teardown_ends(struct shadow *s, u32 table)
{
    const struct shadow_table *t = &s->tables[table];
    if (likely(!t->torn) || t->roots || !user_half_empty(t->guest))
        return false;
    s->doubt /= 2;
    table_drop(s, table);
    return true;
}
