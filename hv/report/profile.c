// See profile.h. What an exit costs is known when it is over: its account has grown by that.
#include <arch/console.h>
#include <arch/phys.h>
#include <arch/vmcs.h>

#include "exit_names.h"
#include "profile.h"
#include "../vm.h"

#define SHOWN 24  // places in the table
#define TOLD  128 // in JSON

static const struct {
    const char *name, *what;
} kinds[PROFILES] = {
    [PROFILE_RIP] = {"rip", "address of the guest's code"},
    [PROFILE_ROOT] = {"root", "root of the guest's page tables"},
};

int profile_init(struct profile *p, struct frames *frames, u64 rows)
{
    mfn_t block;
    *p = (struct profile){.account = NULL};
    if (!rows)
        return 0;
    int error =
        frames_alloc(frames, frames_order(PROFILES * rows * sizeof(struct place)), FRAME_MONITOR, &block);
    for (unsigned i = 0; i < PROFILES && !error; i++)
        places_init(&p->by[i], (struct place *)mfn_ptr(block) + i * rows, rows);
    return error;
}

static void account_extremes(struct exit_account *account, u64 cycles)
{
    if (!account->highest || cycles < account->lowest)
        account->lowest = cycles;
    if (cycles > account->highest)
        account->highest = cycles;
}

void profile_settle(struct profile *p)
{
    if (!p->account || p->account->cycles == p->before)
        return;
    u64 cycles = p->account->cycles - p->before;
    account_extremes(p->account, cycles);
    for (unsigned i = 0; i < PROFILES; i++)
        p->at[i]->cycles += cycles;
    p->account = NULL;
}

// The account of an exit that is in none is that of what comes after no exit: the exit of a reset, and the
// guest's start.
void profile_exit(struct vcpu *v)
{
    struct profile *p = &v->vm->profile;
    if (!profile_on(p))
        return;
    profile_settle(p);
    p->account = v->account == &v->outside ? NULL : v->account;
    if (!p->account)
        return;
    const u64 keys[PROFILES] = {
        [PROFILE_RIP] = vmcs_read(GUEST_RIP), [PROFILE_ROOT] = vcpu_cr3(v) & PAGE_MASK};
    p->before = p->account->cycles;
    for (unsigned i = 0; i < PROFILES; i++) {
        p->at[i] = places_find(&p->by[i], keys[i], (u32)v->exit_reason);
        p->at[i]->count++;
    }
}

void profile_reset(struct profile *p)
{
    for (unsigned i = 0; i < PROFILES && profile_on(p); i++)
        places_init(&p->by[i], p->by[i].rows, p->by[i].size);
    p->account = NULL;
}

static void print_others(u64 places, const struct place *sum)
{
    if (places)
        console_print("    %-18lu %12lu %18lu others\n", places, sum->count, sum->cycles);
}

static void print_elsewhere(const struct places *p)
{
    if (p->elsewhere.count)
        console_print("    %-18s %12lu %18lu for which profile= has no row: give it more\n", "elsewhere",
                      p->elsewhere.count, p->elsewhere.cycles);
}

static void print_places(const struct places *p)
{
    struct place sum;
    const struct place *last = NULL, *next;
    for (unsigned i = 0; i < SHOWN && (next = places_next(p, last)); i++, last = next)
        console_print("    0x%016lx %12lu %18lu %s\n", next->key, next->count, next->cycles,
                      exit_name(next->reason));
    print_others(last ? places_rest(p, last, &sum) : 0, &sum);
    print_elsewhere(p);
}

void profile_table(const struct profile *p)
{
    for (unsigned i = 0; i < PROFILES && profile_on(p); i++) {
        console_print("  exits by %s, the most first: number, cycles, reason\n", kinds[i].what);
        print_places(&p->by[i]);
    }
}

static void json_sum(const char *name, u64 places, const struct place *sum)
{
    console_print(",\"%s\":{\"places\":%lu,\"count\":%lu,\"cycles\":%lu}", name, places, sum->count,
                  sum->cycles);
}

static void json_places(const struct places *p)
{
    struct place sum = {.count = 0};
    const struct place *last = NULL, *next;
    console_print("{\"rows\":%lu,\"most\":[", p->size);
    for (unsigned i = 0; i < TOLD && (next = places_next(p, last)); i++, last = next)
        console_print("%s{\"at\":\"%lx\",\"reason\":\"%s\",\"count\":%lu,\"cycles\":%lu}", i ? "," : "",
                      next->key, exit_name(next->reason), next->count, next->cycles);
    console_print("]");
    json_sum("others", last ? places_rest(p, last, &sum) : 0, &sum);
    json_sum("elsewhere", 0, &p->elsewhere);
    console_print("}");
}

void profile_json(const struct profile *p)
{
    for (unsigned i = 0; i < PROFILES && profile_on(p); i++) {
        console_print("%s\"%s\":", i ? "," : ",\"places\":{", kinds[i].name);
        json_places(&p->by[i]);
    }
    console_print(profile_on(p) ? "}" : "");
}
