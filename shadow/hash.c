// Shadow tables by what they stand for: a table of chains. See hash.h.
#include "hash.h"

static u32 *head_of(const struct shadow *s, struct table_key key)
{
    u64 number = ((key.frame << 3 | key.level) * 2 + key.splinter) ^ (u64)key.role << 60;
    return &s->hash[(u32)(number * 0x9e3779b97f4a7c15ul >> 40) & s->hash_mask];
}

u32 hash_find(const struct shadow *s, struct table_key key)
{
    u32 at = *head_of(s, key);
    while (at != SHADOW_NONE) {
        const struct shadow_table *t = &s->tables[at];
        if (t->frame == key.frame && t->level == key.level && t->splinter == key.splinter &&
            t->role == key.role)
            break;
        at = t->hash_next;
    }
    return at;
}

static u32 *head_of_table(struct shadow *s, u32 table)
{
    const struct shadow_table *t = &s->tables[table];
    return head_of(s, (struct table_key){t->frame, t->level, t->role, t->splinter});
}

void hash_insert(struct shadow *s, u32 table)
{
    u32 *head = head_of_table(s, table);
    s->tables[table].hash_next = *head;
    *head = table;
}

void hash_remove(struct shadow *s, u32 table)
{
    u32 *at = head_of_table(s, table);
    while (*at != table)
        at = &s->tables[*at].hash_next;
    *at = s->tables[table].hash_next;
}
