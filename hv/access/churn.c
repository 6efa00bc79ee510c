// See churn.h. Half of the pages are any of the guest's, half are among those that it uses most: the code and
// stack that it is about to use, and the tables that lead there.
#include <arch/lib.h>
#include <hv/p2m_change.h>

#include "churn.h"
#include "../vm.h"

#define SEED 0x9e3779b97f4a7c15ull // the same in each run, so that a run can be had again

void churn_init(struct churn *c, u64 period)
{
    *c = (struct churn){.period = period, .left = period, .random = SEED};
}

static bool is_guest_ram(const struct guest_map *map, u64 gpa)
{
    return gpa < map->low_end || (gpa >= GUEST_HIGH_RAM && gpa < map->high_end);
}

static u64 any_page(struct vm *vm)
{
    u64 low = vm->map.low_end, high = vm->map.high_end ? vm->map.high_end - GUEST_HIGH_RAM : 0;
    u64 at = random_next(&vm->churn.random, (low + high) / PAGE_SIZE) * PAGE_SIZE;
    return at < low ? at : GUEST_HIGH_RAM + (at - low);
}

// The page of the next instruction or of the stack, a table that leads there, or the top table.
static u64 page_in_use(struct vcpu *v)
{
    struct walk_context context;
    struct walk walk = {.level = 0};
    struct churn *c = &v->vm->churn;
    u64 gva = vmcs_read(random_next(&c->random, 2) ? GUEST_RIP : GUEST_RSP);
    vcpu_walk_context(v, &context);
    if (walk_guest(&context, gva, (struct walk_access){.kind = ACCESS_READ}, false, &walk))
        return any_page(v->vm);
    u64 level = random_next(&c->random, WALK_LEVELS + 1);
    return level && walk.entry_gpa[level] ? walk.entry_gpa[level] : walk.gpa;
}

static void give_back(struct vcpu *v, unsigned index)
{
    struct churn *c = &v->vm->churn;
    struct churn_page page = c->out[index];
    int error = page.away ? p2m_give(&v->vm->p2m, page.gfn, page.frame)
                          : p2m_protect(&v->vm->p2m, page.gfn, 1, P2M_RAM);
    if (error)
        v->unsupported = "p2m.churn=: no memory is left to give a page of the guest's back";
    c->count--;
    memmove(&c->out[index], &c->out[index + 1], (c->count - index) * sizeof(page));
}

static void keep(struct churn *c, struct churn_page page)
{
    c->out[c->count++] = page;
}

static void move(struct vcpu *v, gfn_t g)
{
    if (!p2m_move(&v->vm->p2m, g))
        v->vm->churn.counts.churn_moved++;
}

static void protect(struct vcpu *v, gfn_t g)
{
    struct churn *c = &v->vm->churn;
    if (p2m_protect(&v->vm->p2m, g, 1, P2M_RAM_RO))
        return;
    c->counts.churn_protected++;
    keep(c, (struct churn_page){.gfn = g});
}

static void take(struct vcpu *v, gfn_t g)
{
    struct churn *c = &v->vm->churn;
    struct churn_page page = {.gfn = g, .away = true};
    if (p2m_take(&v->vm->p2m, g, random_next(&c->random, 2) ? P2M_HOLE : P2M_DEVICE, &page.frame))
        return;
    c->counts.churn_taken++;
    keep(c, page);
}

static void change(struct vcpu *v)
{
    static void (*const changes[])(struct vcpu *, gfn_t) = {move, protect, take};
    struct churn *c = &v->vm->churn;
    u64 gpa = random_next(&c->random, 2) ? any_page(v->vm) : page_in_use(v);
    if (c->count == CHURN_PAGES)
        give_back(v, 0);
    if (is_guest_ram(&v->vm->map, gpa) && p2m_lookup(&v->vm->p2m, gpa_gfn(gpa)).type == P2M_RAM)
        changes[random_next(&c->random, ARRAY_SIZE(changes))](v, gpa_gfn(gpa));
}

void churn_exit(struct vcpu *v)
{
    struct churn *c = &v->vm->churn;
    if (!c->period || --c->left)
        return;
    c->left = c->period;
    change(v);
}

bool churn_touched(struct vcpu *v, u64 gpa, bool write)
{
    struct churn *c = &v->vm->churn;
    for (unsigned i = 0; i < c->count; i++) {
        if (c->out[i].gfn.n != gpa_gfn(gpa).n || !(write || c->out[i].away))
            continue;
        c->counts.churn_touched++;
        give_back(v, i);
        return true;
    }
    return false;
}

static bool uncover_once(struct vcpu *v, const struct walk_context *w, u64 gva, bool write)
{
    struct walk walk = {.level = 0};
    struct walk_access access = {.kind = ACCESS_READ};
    bool found = !walk_guest(w, gva, access, false, &walk) || walk.level; // else there is no page
    for (unsigned level = WALK_LEVELS; level > 0; level--) {
        if (walk.entry_gpa[level] && churn_touched(v, walk.entry_gpa[level], true))
            return true;
    }
    return found && churn_touched(v, walk.gpa, write);
}

bool churn_uncover(struct vcpu *v, const struct walk_context *w, u64 gva, bool write)
{
    bool any = false;
    while (v->vm->churn.count && uncover_once(v, w, gva, write))
        any = true;
    return any;
}
