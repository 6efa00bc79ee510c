// See shadow_tables.h.
#include "shadow_tables.h"
#include "model_walk.h"
#include "shadow_machine.h"
#include "shadow_story.h"

#include <arch/lib.h>

#define WINDOW      300u // PML4 entry
#define WINDOW_PDPT 0x8cu
#define WINDOW_PD   0x8du
#define WINDOW_PT   0x8eu
#define RECENT      32u
#define KERNEL      (BIT(0) | BIT(1) | BIT(5) | BIT(6))

// The guest's tables by the level that they are made for.
static const struct {
    u64 gfn;
    unsigned count, level;
} table_groups[] = {
    {FIRST_ROOT, ROOTS, 4}, {0x14, 8, 3},          {0x1c, 14, 2},       {0x22a, 2, 2},     {0x2c, 90, 1},
    {0x250, 4, 1},          {READ_ONLY - 1, 2, 1}, {WINDOW_PDPT, 1, 3}, {WINDOW_PD, 1, 2}, {WINDOW_PT, 2, 1},
};

static const u16 indices[5][9] = {
    {0},
    {8, 0, 1, 8, 9, 64, 65, 510, 511},
    {8, 0, 1, 2, 3, 4, 7, 510, 511},
    {3, 0, 1, 511},
    {4, 0, 256, WINDOW, 511},
};

static u64 recent[RECENT];
static unsigned recent_count, count_shift;

u64 table_of(unsigned level)
{
    for (;;) {
        unsigned i = (unsigned)rnd(ARRAY_SIZE(table_groups));
        unsigned count = table_groups[i].count;
        if (table_groups[i].level == level && (count > 2 || chance(20)))
            return table_groups[i].gfn + rnd(count > 2u << count_shift ? count >> count_shift : 2);
    }
}

unsigned random_index(unsigned level)
{
    return indices[level][1 + rnd(indices[level][0])];
}

static u64 canonical(u64 gva)
{
    return bit(gva, 47) ? gva | ~(BIT(48) - 1) : gva & (BIT(48) - 1);
}

u64 fresh_gva(void)
{
    u64 gva = 0;
    for (unsigned level = 1; level <= 4; level++)
        gva |= (u64)random_index(level) << (3 + 9 * level);
    return canonical(gva);
}

u64 random_gva(void)
{
    u64 *one = &recent[rnd(recent_count)];
    if (chance(30)) // the neighbour of one
        *one = (*one & ~(0x1ffull << 12)) | (u64)random_index(1) << 12;
    else if (chance(25))
        *one = fresh_gva();
    return *one;
}

void gva_is_recent(u64 gva)
{
    recent[rnd(recent_count)] = gva;
}

u64 random_cr3(unsigned uncached)
{
    u64 root = FIRST_ROOT + rnd(chance(70) ? 2 : ROOTS);
    if (chance(2))
        root = 0x40c + rnd(8); // a hole, a device or no table
    return root * PAGE_SIZE | (chance(uncached) ? BIT(3) | BIT(4) : 0);
}

u64 random_frame(void)
{
    return chance(25) ? table_of(1 + (unsigned)rnd(4)) : 0x100 + rnd(8) + rnd(5) * 0x200;
}

static u64 random_page(unsigned level)
{
    static const u64 odd[] = {READ_ONLY, 0x40c, 0x40d, 0x40e, 0x40f, APIC, 0x100000, BIT(40), 0x7ffffffffull};
    if (level == 3)
        return rnd(2) * GIB;
    if (level == 2)
        return chance(90) ? rnd(5) * 2 * MIB : GIB;
    return (chance(15) ? odd[rnd(ARRAY_SIZE(odd))] : random_frame()) * PAGE_SIZE;
}

u64 random_entry(unsigned level)
{
    u64 entry = maybe(BIT(0), 97) | maybe(BIT(1), 92) | maybe(BIT(2), 88) | maybe(BIT(5), 70);
    entry |= maybe(BIT(6), 55) | maybe(BIT(8), 25) | maybe(BIT(63), 4) | maybe(BIT(3), 5) | maybe(BIT(4), 5);
    entry |= rnd(8) << 9 | maybe(rnd(16) << 59, 5);
    if (level == 1 || (level < 4 && chance(15))) {
        entry |= random_page(level) | (level > 1 ? BIT(7) : 0) | maybe(level == 1 ? BIT(7) : BIT(12), 5);
    } else {
        unsigned child = chance(92) ? level - 1 : 1 + (unsigned)rnd(4);
        entry |= (chance(98) ? table_of(child) : 0x40c + rnd(8)) * PAGE_SIZE;
    }
    return entry ^ maybe(BIT(rnd(64)), 1);
}

u64 edited_entry(u64 gpa, unsigned level)
{
    static const u8 flags[] = {0, 1, 2, 5, 6, 8, 63, 7, 0, 1};
    u64 old = expected_entry(gpa);
    switch (rnd(10)) {
    case 0:
    case 1:
        return 0;
    case 2:
    case 3:
        return random_entry(level);
    case 4:
        return old | BIT(0) | BIT(1) | BIT(2);
    case 5:
        return old & ~(BIT(5) | maybe(BIT(6), 50));
    case 6:
        return expected_entry(table_of(level) * PAGE_SIZE + random_index(level) * 8);
    default:
        return old ^ BIT(flags[rnd(ARRAY_SIZE(flags))]);
    }
}

void random_form(u64 gpa, unsigned *first, unsigned *bytes)
{
    static const u8 sizes[] = {1, 2, 4, 8, 16, 32, FORM_MAX};
    *first = 0;
    *bytes = 8;
    if (chance(60))
        return;
    *bytes = sizes[rnd(ARRAY_SIZE(sizes))];
    if (chance(50))
        *first = (unsigned)rnd(8);
    else if (*bytes < 8)
        *first = (unsigned)rnd(8 / *bytes) * *bytes;
    u64 left = PAGE_SIZE - gpa % PAGE_SIZE - *first;
    if (*bytes > left)
        *bytes = (unsigned)left;
}

u64 window_gva(u64 gpa)
{
    u64 area = gpa < 2 * MIB && chance(60) ? 4 * MIB : 0;
    return canonical((u64)WINDOW << 39 | (area + gpa));
}

struct window_entry window_entry(u64 root_gpa, unsigned i)
{
    const struct window_entry entries[] = {
        {root_gpa + WINDOW * 8ull, WINDOW_PDPT * PAGE_SIZE | KERNEL},
        {WINDOW_PDPT * PAGE_SIZE, WINDOW_PD * PAGE_SIZE | KERNEL},
        {WINDOW_PD * PAGE_SIZE, KERNEL | BIT(7)},
        {WINDOW_PD * PAGE_SIZE + 8, 2 * MIB | KERNEL | BIT(7)},
        {WINDOW_PD * PAGE_SIZE + 16, WINDOW_PT * PAGE_SIZE | KERNEL},
    };
    return i < ARRAY_SIZE(entries) ? entries[i] : (struct window_entry){0, 0};
}

static void window_make(void)
{
    u64 global = maybe(BIT(8), 50);
    for (u64 root = FIRST_ROOT; root < FIRST_ROOT + ROOTS; root++) {
        memory_init(root * PAGE_SIZE + 511 * 8, root * PAGE_SIZE | KERNEL | BIT(2));
        struct window_entry e;
        for (unsigned i = 0; (e = window_entry(root * PAGE_SIZE, i)).gpa; i++)
            memory_init(e.gpa, e.value | (i == 2 || i == 3 ? global : 0));
    }
    for (unsigned i = 0; i < 512; i++)
        memory_init(WINDOW_PT * PAGE_SIZE + i * 8, i * PAGE_SIZE | KERNEL | global);
}

void tables_make(unsigned shift, unsigned places)
{
    count_shift = shift;
    recent_count = places;
    for (unsigned i = 0; i < ARRAY_SIZE(table_groups); i++) {
        unsigned level = table_groups[i].level;
        for (u64 g = table_groups[i].gfn; g < table_groups[i].gfn + table_groups[i].count; g++) {
            for (unsigned j = 1; j <= indices[level][0]; j++)
                memory_init(g * PAGE_SIZE + indices[level][j] * 8, random_entry(level));
        }
    }
    window_make();
    for (unsigned i = 0; i < places; i++)
        recent[i] = fresh_gva();
}

void tables_check(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(table_groups); i++) {
        for (u64 g = table_groups[i].gfn; g < table_groups[i].gfn + table_groups[i].count; g++) {
            const u16 *list = indices[table_groups[i].level];
            for (unsigned j = 1; j <= list[0]; j++)
                memory_check(g * PAGE_SIZE + list[j] * 8);
        }
    }
}
