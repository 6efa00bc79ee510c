// Changes of guest memory while the guest runs, for tests (p2m.churn=N): at every Nth exit one page of its
// RAM moves to another machine frame, becomes read-only, or is taken away (a hole or a device is there). The
// guest must not notice: a page that is read-only or away comes back when it is written or used. For the
// monitor's own accesses on behalf of the guest that is asked for by churn_uncover. It is not how a monitor
// would page its guests: it is there to try p2m_change.h and the back ends' p2m_changing. Neighbours:
// hv/exits/exit.c calls it after each exit; the handlers of memory faults ask it first.
#pragma once

#include <hv/walk.h>

#define CHURN_PAGES 16 // away or read-only at a time: then the oldest comes back

struct churn {
    u64 period; // exits, 0: never
    u64 left;   // exits until the next change
    u64 random;
    unsigned count; // of pages in `out`, the oldest first
    struct churn_page {
        gfn_t gfn;
        mfn_t frame;
        bool away; // not only read-only
    } out[CHURN_PAGES];
    struct churn_counts {
#define COUNTER_CHURN(name, ...) u64 name;
#include <hv/counters.def>
    } counts;
};

// `period`: exits, 0: never.
void churn_init(struct churn *c, u64 period);

// After each exit, when nothing of it is left to be done but what v->refresh asks for.
void churn_exit(struct vcpu *v);

// An access of the guest's to gpa faulted, or one is about to be made for it. True: the page was away, or it
// was read-only and `write`, and it is the guest's RAM again; an instruction that faulted is to be run again.
bool churn_touched(struct vcpu *v, u64 gpa, bool write);

// The same for an access to gva, and for the guest's tables on the way there, which count as written: a walk
// sets their accessed bits.
bool churn_uncover(struct vcpu *v, const struct walk_context *w, u64 gva, bool write);
