// Which code causes the exits (profile=): for each address of the guest's code, and for each root of its page
// tables, how many exits of each reason there were and what the monitor spent on them; and the lowest and
// highest cycles of an exit of each reason. Without profile= there are no tables and nothing is done. exit.c
// adds each exit after it has been handled, before RIP moves. Neighbours: places.c, the tables; summary.c,
// which has all printed.
#pragma once

#include <arch/frames.h>

#include "places.h"

struct exit_account;
struct vcpu;

enum profile_by {
    PROFILE_RIP,
    PROFILE_ROOT, // CR3 without PCID; a load of CR3 is at the root that it loads
    PROFILES
};

struct profile {
    struct places by[PROFILES];
    struct place *at[PROFILES];   // of the last exit, whose cycles are not in the tables yet
    struct exit_account *account; // of the last exit; NULL: its cycles are in the tables
    u64 before;                   // cycles of the account without it
};

// Takes memory for `rows` places of each kind; 0: no profile. ERR_NOMEM.
int profile_init(struct profile *p, struct frames *frames, u64 rows) must_check;

static inline bool profile_on(const struct profile *p)
{
    return p->by[PROFILE_RIP].rows;
}

// An exit has been handled, and RIP is where it happened. Nothing without a profile, or if it is in no
// account any more.
void profile_exit(struct vcpu *v);

// The cycles of the last exit are in the tables, if its account has them.
void profile_settle(struct profile *p);

// Forgets all.
void profile_reset(struct profile *p);

// The places with most exits, and what others had together: for people, and as members of an object of JSON.
// Nothing without a profile.
void profile_table(const struct profile *p);
void profile_json(const struct profile *p);
