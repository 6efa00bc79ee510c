// See model_cpu.h. A cached item is the list of entries that a walk has read, down to a page (the TLB) or to
// a table entry (the paging-structure caches); so an access through it is judged like a walk.
#include "model_cpu.h"

#include <arch/lib.h>
#include <arch/panic.h>

#define NO_ITEM  0u // item 0 is not used
#define ANY_PCID MODEL_PCIDS

static u64 prefix_of(u64 gva, unsigned level)
{
    return gva << 16 >> (16 + 12 + 9 * (level - 1));
}

static u64 later(u64 a, u64 b)
{
    return a > b ? a : b;
}

static bool item_alive(const struct model_tlb *tlb, const struct model_item *i)
{
    u64 flushed = later(tlb->vpid_flushed[i->vpid], tlb->all_flushed);
    if (!i->page)
        flushed = later(flushed, tlb->structures_flushed[i->vpid][i->pcid]);
    if (!i->global)
        flushed = later(flushed, tlb->others_flushed[i->vpid][i->pcid]);
    return !i->removed && i->time > flushed;
}

static u32 *bucket_of(struct model_tlb *tlb, u16 vpid, bool page, unsigned level, u64 prefix)
{
    u64 key = ((prefix * 8 + level) * 2 + page) * MODEL_VPIDS + vpid;
    return &tlb->buckets[key * 0x9e3779b97f4a7c15ull >> 50];
}

static u16 pcid_of(const struct model_cpu *cpu)
{
    u64 pcid = bit(cpu->context.regs.cr4, 17) ? bits(cpu->cr3, 11, 0) : 0;
    if (pcid >= MODEL_PCIDS)
        panic("PCID %lx", pcid);
    return (u16)pcid;
}

// What is dead leaves its bucket.
static struct model_item *item_find(const struct model_cpu *cpu, u16 pcid, bool page, unsigned level, u64 gva)
{
    u64 prefix = prefix_of(gva, level);
    struct model_tlb *tlb = cpu->tlb;
    u32 *link = bucket_of(tlb, cpu->vpid, page, level, prefix);
    while (*link != NO_ITEM) {
        struct model_item *i = &tlb->items[*link];
        bool alive = item_alive(tlb, i);
        if (alive && i->page == page && i->level == level && i->vpid == cpu->vpid && i->prefix == prefix &&
            (i->pcid == pcid || i->global || pcid == ANY_PCID))
            return i;
        if (alive)
            link = &i->next;
        else
            *link = i->next;
    }
    return NULL;
}

// Makes room by leaving out what is dead.
static void items_compact(struct model_tlb *tlb)
{
    u32 kept = 0;
    memset(tlb->buckets, 0, sizeof(tlb->buckets));
    for (u32 at = 1; at <= tlb->used; at++) {
        if (!item_alive(tlb, &tlb->items[at]))
            continue;
        struct model_item *i = &tlb->items[++kept];
        *i = tlb->items[at];
        u32 *bucket = bucket_of(tlb, i->vpid, i->page, i->level, i->prefix);
        i->next = *bucket;
        *bucket = kept;
    }
    tlb->used = kept;
    if (tlb->used > MODEL_ITEMS / 2)
        panic("the model TLB is too small");
}

static void item_add(const struct model_cpu *cpu, const struct model *m, unsigned count)
{
    struct model_tlb *tlb = cpu->tlb;
    const struct model_entry *last = &m->list[count - 1];
    struct model_item *old = item_find(cpu, pcid_of(cpu), last->page, last->level, m->gva);
    if (old)
        old->removed = true;
    if (tlb->used + 1 == MODEL_ITEMS)
        items_compact(tlb);
    u64 prefix = prefix_of(m->gva, last->level);
    u32 *bucket = bucket_of(tlb, cpu->vpid, last->page, last->level, prefix);
    struct model_item *i = &tlb->items[++tlb->used];
    *i = (struct model_item){.page = last->page,
                             .level = last->level,
                             .vpid = cpu->vpid,
                             .pcid = pcid_of(cpu),
                             .global = last->page && bit(last->value, 8) && bit(cpu->context.regs.cr4, 7),
                             .without_smep = !bit(cpu->context.regs.cr4, 20),
                             .prefix = prefix,
                             .time = ++tlb->now,
                             .next = *bucket,
                             .count = count};
    memcpy(i->list, m->list, count * sizeof(m->list[0]));
    *bucket = tlb->used;
}

void cpu_reset(struct model_cpu *cpu)
{
    struct model_tlb *tlb = cpu->tlb;
    memset(tlb->buckets, 0, sizeof(tlb->buckets));
    memset(tlb->vpid_flushed, 0, sizeof(tlb->vpid_flushed));
    memset(tlb->structures_flushed, 0, sizeof(tlb->structures_flushed));
    memset(tlb->others_flushed, 0, sizeof(tlb->others_flushed));
    tlb->used = 0;
    tlb->now = tlb->all_flushed = 0;
}

static void items_remove(const struct model_cpu *cpu, u16 pcid, u64 gva, bool page)
{
    for (unsigned level = 1; level <= 4; level++) {
        struct model_item *i;
        while ((i = item_find(cpu, pcid, page, level, gva)))
            i->removed = true;
    }
}

void cpu_invlpg(struct model_cpu *cpu, u64 gva)
{
    u16 pcid = pcid_of(cpu);
    items_remove(cpu, pcid, gva, true);
    cpu->tlb->structures_flushed[cpu->vpid][pcid] = ++cpu->tlb->now;
}

static void flush_pcid(const struct model_cpu *cpu, u16 pcid)
{
    cpu->tlb->others_flushed[cpu->vpid][pcid] = ++cpu->tlb->now;
}

void cpu_mov_cr3(struct model_cpu *cpu, u64 cr3)
{
    cpu->cr3 = cr3 & ~BIT(63);
    if (!bit(cr3, 63))
        flush_pcid(cpu, pcid_of(cpu));
}

// Of one address, but what is global.
static void invpcid_address(const struct model_cpu *cpu, u16 pcid, u64 gva)
{
    struct model_tlb *tlb = cpu->tlb;
    for (u32 at = 1; at <= tlb->used; at++) {
        struct model_item *i = &tlb->items[at];
        bool own = i->vpid == cpu->vpid && i->pcid == pcid && !i->global;
        i->removed |= own && i->prefix == prefix_of(gva, i->level);
    }
}

void cpu_invpcid(struct model_cpu *cpu, enum invpcid_type type, u16 pcid, u64 gva)
{
    if (type == INVPCID_ADDRESS)
        invpcid_address(cpu, pcid, gva);
    else if (type == INVPCID_SINGLE)
        flush_pcid(cpu, pcid);
    else if (type == INVPCID_ALL_GLOBAL)
        cpu_flush_vpid(cpu, cpu->vpid);
    for (u16 each = 0; type == INVPCID_ALL && each < MODEL_PCIDS; each++)
        flush_pcid(cpu, each);
}

void cpu_flush_vpid(struct model_cpu *cpu, u16 vpid)
{
    if (vpid >= MODEL_VPIDS)
        panic("VPID %u", vpid);
    cpu->tlb->vpid_flushed[vpid] = ++cpu->tlb->now;
}

void cpu_flush_all(struct model_cpu *cpu)
{
    cpu->tlb->all_flushed = ++cpu->tlb->now;
}

void cpu_flush_address(struct model_cpu *cpu, u64 gva)
{
    items_remove(cpu, ANY_PCID, gva, true);
    items_remove(cpu, ANY_PCID, gva, false);
}

void cpu_enter(struct model_cpu *cpu)
{
    struct walk_context *c = &cpu->context;
    if (model_mode(&c->regs) != PAGING_PAE)
        return;
    if (cpu->cr3 >> 32 || bits(cpu->cr3, 4, 0))
        panic("VM entry with CR3 %lx and PAE paging", cpu->cr3);
    for (unsigned i = 0; i < 4; i++) {
        enum p2m_type type;
        memcpy(&c->pdptes[i], cpu->memory(cpu->cr3 + 8 * i, &type), sizeof(c->pdptes[i]));
        if (bit(c->pdptes[i], 0) && model_reserved(c, PAGING_PAE, 3, false, c->pdptes[i]))
            panic("VM entry with PDPTE %u %lx", i, c->pdptes[i]);
    }
}

// The entry in memory and in the list.
static void mark(struct model_entry *e, u64 flags)
{
    if ((e->value & flags) == flags || !e->memory)
        return;
    e->value |= flags;
    memcpy(e->memory, &e->value, sizeof(e->value));
}

static int fault(struct model_cpu *cpu, const struct model *m)
{
    cpu->faults++;
    items_remove(cpu, pcid_of(cpu), m->gva, true);
    items_remove(cpu, pcid_of(cpu), m->gva, false);
    return ERR_INVALID;
}

static int walk_tables(struct model_cpu *cpu, struct model *m, struct walk *out)
{
    for (unsigned level = 2; level <= 4 && !m->count; level++) {
        const struct model_item *i = item_find(cpu, pcid_of(cpu), false, level, m->gva);
        if (!i)
            continue;
        m->count = i->count;
        memcpy(m->list, i->list, sizeof(m->list));
    }
    cpu->walks++;
    if (!m->count && m->mode == PAGING_PAE)
        model_pdpte(m);
    unsigned level, known = m->count;
    u64 hpa = model_next(m, &level);
    for (; level; hpa = model_next(m, &level)) {
        const struct model_entry *e = model_read(m, level, hpa);
        if (model_reserved(m->context, m->mode, level, e->page, e->value))
            break; // what it points to is not touched
    }
    if (model_judge_list(m, out))
        return fault(cpu, m);
    for (unsigned i = 0; i < m->count; i++) {
        bool dirty = i == m->count - 1 && m->access.kind == ACCESS_WRITE;
        mark(&m->list[i], dirty ? BIT(5) | BIT(6) : BIT(5));
        bool cached = i < known || (m->mode == PAGING_PAE && m->list[i].level == 3); // or is in a register
        if (!cached)
            item_add(cpu, m, i + 1);
    }
    return 0;
}

// What was cached while CR4.SMEP was 0 may be known as good for supervisor fetches.
static int item_judge(struct model_cpu *cpu, const struct model_item *i, struct model *m, struct walk *out)
{
    m->count = i->count;
    memcpy(m->list, i->list, sizeof(m->list));
    int error = model_judge_list(m, out);
    if (!error || !i->without_smep)
        return error;
    struct walk_context before = cpu->context;
    struct walk relaxed;
    before.regs.cr4 &= ~BIT(20);
    m->context = &before;
    if (!model_judge_list(m, &relaxed)) {
        *out = relaxed;
        error = 0;
    }
    m->context = &cpu->context;
    return error;
}

int cpu_access(struct model_cpu *cpu, u64 gva, struct walk_access access, struct walk *out)
{
    cpu->context.regs.cr3 = cpu->cr3;
    struct model m = {.context = &cpu->context,
                      .mode = model_mode(&cpu->context.regs),
                      .gva = gva,
                      .access = access,
                      .by_user = cpu->context.cpl == 3 && !access.implicit,
                      .memory = cpu->memory};
    for (unsigned level = 1; level <= 3; level++) {
        const struct model_item *i = item_find(cpu, pcid_of(cpu), true, level, gva);
        if (!i)
            continue;
        if (item_judge(cpu, i, &m, out))
            return fault(cpu, &m);
        if (access.kind != ACCESS_WRITE || bit(i->list[i->count - 1].value, 6)) {
            cpu->hits++;
            return 0;
        }
        m.count = 0; // the dirty bit must be set in the tables
    }
    return walk_tables(cpu, &m, out);
}
