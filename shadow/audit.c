// The engine checked against what it stands for: every entry against the guest's tables and the p2m, every
// reference against the entry that it is of. Slow; for tests and for the parameter audit=.
#include <arch/phys.h>

#include "fill.h"
#include "frames.h"
#include "unpaged.h"

static bool in_chain(const struct shadow *s, u32 head, u32 id)
{
    u32 at = head;
    while (at != SHADOW_NONE && at != id)
        at = s->links[at].next;
    return at == id;
}

// Whatever else is stale, nothing may lead to a frame that is not the guest's, or write to one that is
// watched.
static const char *audit_frames(const struct shadow *s, u64 first, u64 count, u64 entry)
{
    if (!frames_owned(s->p2m->frames, mfn(first), count, FRAME_GUEST))
        return "a leaf maps a frame that is not the guest's";
    for (u64 frame = first; entry & PTE_W && frame < first + count; frame++) {
        if (frame_traced(s, frame))
            return "a traced frame is mapped writable";
    }
    return entry & PTE_W && !(entry & PTE_MAY_WRITE) ? "a leaf is writable that may not be" : NULL;
}

static const char *audit_leaf(const struct shadow *s, u32 id, u64 entry)
{
    u64 frame = hpa_mfn(entry & PTE_ADDRESS).n;
    if (entry & PTE_DIRECT)
        return frames_owned(s->p2m->frames, mfn(frame), 1, FRAME_NONE) ? NULL : "a device's leaf maps RAM";
    bool large = s->tables[id >> 9].level > 1;
    frame -= large ? frame % ENTRIES : 0; // the address has the memory type's bit
    const char *wrong = audit_frames(s, frame, large ? ENTRIES : 1, entry);
    if (wrong)
        return wrong;
    u32 chain = large ? region_at(s, frame)->leaves : frame_at(s, frame)->leaves;
    return in_chain(s, chain, id) ? NULL : "a leaf is not in its frame's chain";
}

static const char *audit_link(const struct shadow *s, const struct shadow_table *t, u32 id, u64 entry)
{
    u32 child = entry_child(s, entry);
    if (child >= s->config.pool || !s->tables[child].used)
        return "an entry points to no table";
    if (s->tables[child].apart)
        return "an entry points to a table that is apart";
    if (s->tables[child].level + 1 != t->level)
        return "an entry points to a table of another level";
    if (t->splinter && !s->tables[child].splinter)
        return "a piece of a large page points to a guest's table";
    return in_chain(s, s->tables[child].parents, id) ? NULL : "an entry is not in its child's chain";
}

static bool same_leaf(u64 entry, u64 value)
{
    bool same = ((entry ^ value) & (PTE_ADDRESS | PTE_U | PTE_NX | PTE_KEY)) == 0;
    return same && (!(entry & PTE_W) || value & PTE_W);
}

// An entry of a table that is in sync says what the guest's entry says, or is unknown. (Where it is not dirty
// and yet writable, a table in read-only memory has kept its bits.)
static const char *audit_exact(const struct shadow_view *view, const struct shadow_table *t, unsigned slot)
{
    const struct shadow *s = view->s;
    u64 entry = t->entries[slot], guest_entry = t->guest[slot];
    if (s->unknown && entry == 0)
        return guest_entry & PTE_P ? "an exact none although the guest's entry is present" : NULL;
    if (!entry_maps(s, entry))
        return NULL;
    if (!(guest_entry & PTE_P))
        return "an entry maps although the guest's is not present";
    if (entry_is_leaf(t->level, entry)) {
        u64 marked = guest_entry | PTE_A | PTE_D;
        bool same = same_leaf(entry, fill_leaf(view, t->level, role_page(t->role, marked))) ||
                    same_leaf(entry, fill_leaf(view, t->level, fill_written_page(view, t->role, marked)));
        return same ? NULL : "a leaf differs from the guest's entry";
    }
    u32 child = entry_child(s, entry);
    const struct shadow_table *c = &s->tables[child];
    if (child < s->config.pool && !c->splinter &&
        c->frame != p2m_lookup(s->p2m, gpa_gfn(guest_entry & PTE_ADDRESS)).mfn.n)
        return "an entry leads to another table than the guest's";
    if (child < s->config.pool && c->role != role_below(t->role, guest_entry))
        return "an entry leads to a table of another role";
    u64 more = entry & (PTE_W | PTE_U) & ~role_link_flags(t->role, guest_entry);
    return more || (guest_entry & PTE_NX && !(entry & PTE_NX)) ? "an entry gives more rights than the guest's"
                                                               : NULL;
}

static const char *audit_entry(const struct shadow_view *view, u32 table, unsigned slot)
{
    const struct shadow *s = view->s;
    const struct shadow_table *t = &s->tables[table];
    const char *wrong = table_is_exact(s, t) ? audit_exact(view, t, slot) : NULL;
    u64 entry = t->entries[slot];
    u32 id = entry_id(table, slot);
    if (!wrong && entry != s->unknown && !(t->occupied & BIT(slot / GROUP)))
        return "an entry is known in a group that is not occupied";
    if (wrong || !entry_maps(s, entry))
        return wrong;
    if (!(t->maps & BIT(slot / GROUP)))
        return "an entry maps in a group where none may";
    if (entry_is_leaf(t->level, entry) && t->role & ROLE_READ_ONLY && entry & PTE_W && entry & PTE_U)
        return "a page that is read-only is writable for users";
    return entry_is_leaf(t->level, entry) ? audit_leaf(s, id, entry) : audit_link(s, t, id, entry);
}

static const char *audit_head(const struct shadow *s, const struct shadow_table *t)
{
    bool traced = table_is_exact(s, t);
    if (!t->used)
        return "a free table is in use";
    if (t->guest && traced != !!(frame_at(s, t->frame)->traced & BIT(traced_index(t->level, t->role))))
        return "a table's frame is not traced, or is although the table is out of sync";
    return NULL;
}

static void found(const struct shadow *s, u32 table, unsigned slot, const char *wrong,
                  struct shadow_finding *finding)
{
    const struct shadow_table *t = &s->tables[table];
    *finding = (struct shadow_finding){
        .wrong = wrong,
        .frame = t->frame,
        .level = t->level,
        .slot = slot,
        .entry = t->entries[slot],
        .guest_entry = t->guest ? t->guest[slot] : 0,
    };
}

static bool audit_table(const struct shadow_view *view, u32 table, struct shadow_finding *finding)
{
    const struct shadow *s = view->s;
    unsigned slot = 0;
    const char *wrong = audit_head(s, &s->tables[table]);
    while (!wrong && slot < ENTRIES)
        wrong = audit_entry(view, table, slot++);
    if (wrong)
        found(s, table, slot ? slot - 1 : 0, wrong, finding);
    return !wrong;
}

static bool lists_wrong(struct shadow_finding *finding, const char *wrong)
{
    *finding = (struct shadow_finding){.wrong = wrong};
    return !wrong;
}

bool shadow_audit_all(const struct shadow_view *view, struct shadow_finding *finding)
{
    const struct shadow *s = view->s;
    u32 out_of_sync = 0, apart = 0, count = 0;
    for (u32 table = s->newest; table != SHADOW_NONE; table = s->tables[table].older) {
        if (++count > s->config.pool)
            return lists_wrong(finding, "the list of tables by use has a loop");
        if (!audit_table(view, table, finding))
            return false;
        out_of_sync += s->tables[table].out_of_sync;
        apart += s->tables[table].apart;
    }
    bool right = out_of_sync == s->out_of_sync + s->apart && apart == s->apart && count == s->used;
    return lists_wrong(finding, right ? unpaged_audit(view)
                                      : "the count of tables, or of those out of sync, is wrong");
}

const char *shadow_audit(const struct shadow_view *view)
{
    struct shadow_finding finding;
    shadow_audit_all(view, &finding);
    return finding.wrong;
}

bool shadow_audit_some(const struct shadow_view *view, u32 *at, u32 count, u32 *looked_at,
                       struct shadow_finding *finding)
{
    const struct shadow *s = view->s;
    *looked_at = 0;
    for (u32 seen = 0; seen < s->config.pool && *looked_at < count; seen++) {
        u32 table = *at;
        *at = table + 1 < s->config.pool ? table + 1 : 0;
        if (!s->tables[table].used)
            continue;
        ++*looked_at;
        if (!audit_table(view, table, finding))
            return false;
    }
    return lists_wrong(finding, NULL);
}
