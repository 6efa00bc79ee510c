// See auto_roots.h.
#include <arch/cpu.h>
#include <arch/lib.h>

#include "auto_roots.h"

#define CR3_ADDRESS 0x000ffffffffff000ull
#define ISOLATED    BIT(12) // of CR3: which of its two roots a process with isolated page tables uses
#define KEY_USED    1ull    // of a key: there is one

// Before one was seen: rather too little, for what is too much is never tried and corrected.
#define VISIT_FIRST 20000u

static u64 key_of(u64 cr3)
{
    return (cr3 & CR3_ADDRESS & ~ISOLATED) | KEY_USED;
}

bool auto_roots_same(u64 cr3, u64 other)
{
    return key_of(cr3) == key_of(other);
}

// Processes' roots are anywhere in memory, but often near one another.
static struct auto_root *set_of(struct auto_roots *r, u64 key)
{
    u64 page = key >> 13, set = page ^ page >> 4 ^ page >> 8 ^ page >> 12;
    return &r->root[set * AUTO_ROOT_WAYS % AUTO_ROOTS];
}

void auto_roots_init(struct auto_roots *r, enum mmu_mode mode, u64 change_cycles, u64 epoch_cycles)
{
    memset(r, 0, sizeof(*r));
    r->epoch_cycles = epoch_cycles;
    r->visit_cycles = VISIT_FIRST;
    auto_init(&r->guest.policy, mode, change_cycles, NULL);
    r->factors = r->guest.policy.factors;
}

static struct auto_root *find(struct auto_roots *r, u64 cr3)
{
    u64 key = key_of(cr3);
    struct auto_root *set = set_of(r, key);
    for (unsigned i = 0; i < AUTO_ROOT_WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
    }
    return NULL;
}

enum mmu_mode auto_roots_mode(const struct auto_roots *r, u64 cr3)
{
    const struct auto_root *root = find((struct auto_roots *)r, cr3);
    return root ? root->policy.mode : r->guest.policy.mode;
}

static void count_others(struct auto_roots *r)
{
    r->others = 0;
    for (const struct auto_root *root = r->root; root < r->root + AUTO_ROOTS; root++)
        r->others += root->key && root->policy.mode != r->guest.policy.mode;
}

// In place of the one of its set that ran least of late, if that was less. NULL: it was not.
static struct auto_root *make(struct auto_roots *r, u64 cr3, u64 ran)
{
    u64 key = key_of(cr3);
    struct auto_root *set = set_of(r, key), *least = set;
    for (unsigned i = 1; i < AUTO_ROOT_WAYS; i++) {
        if (set[i].ran < least->ran)
            least = &set[i];
    }
    if (least->key && least->ran >= ran)
        return NULL;
    *least = (struct auto_root){.key = key};
    auto_init(&least->policy, r->guest.policy.mode, r->guest.policy.change_cycles, &r->factors);
    count_others(r);
    return least;
}

static void add(struct auto_epoch *to, const struct auto_epoch *ran)
{
    to->cycles += ran->cycles;
    to->walks += ran->walks;
    to->shadow += ran->shadow;
    to->faults += ran->faults;
}

void auto_roots_ran(struct auto_roots *r, u64 cr3, enum mmu_mode mode, const struct auto_epoch *ran)
{
    struct auto_root *root = find(r, cr3);
    if (!root)
        root = make(r, cr3, ran->cycles);
    if (root)
        root->ran += ran->cycles;
    if (root && root->policy.mode == mode)
        add(&root->epoch, ran);
    if (r->guest.policy.mode == mode && (!root || root->policy.mode == mode))
        add(&r->guest.epoch, ran);
}

// The mode of one neighbour is known: what this load costs the other in the mode that this is not.
static void visit(struct auto_root *root, enum mmu_mode neighbour, u64 cycles)
{
    if (root)
        root->epoch.visits[mmu_mode_other(neighbour)] += cycles;
}

void auto_roots_switched(struct auto_roots *r, u64 from, u64 to, u64 loads)
{
    enum mmu_mode left = auto_roots_mode(r, from), reached = auto_roots_mode(r, to);
    u64 cycles = r->visit_cycles * loads;
    if (auto_roots_same(from, to))
        return;
    visit(find(r, from), reached, cycles);
    visit(find(r, to), left, cycles);
    if (left != reached)
        r->guest.epoch.visits[r->guest.policy.mode] += cycles;
}

void auto_roots_visited(struct auto_roots *r, u64 cycles)
{
    r->visit_cycles = (7 * r->visit_cycles + cycles) / 8;
}

// True: it wants the other mode.
static bool judge(struct auto_roots *r, struct auto_root *root)
{
    struct auto_policy *p = &root->policy;
    u64 effects = p->effects, passed = root->epoch.cycles + root->epoch.visits[p->mode];
    if (passed < r->epoch_cycles)
        return false;
    bool better = auto_epoch(p, &root->epoch);
    root->epoch = (struct auto_epoch){0};
    if (p->effects != effects) {
        r->effects++;
        r->predicted = p->predicted;
        r->seen = p->seen;
        r->factors = p->factors;
    }
    return better;
}

static void change(struct auto_root *root)
{
    auto_changed(&root->policy);
    root->epoch = (struct auto_epoch){0};
}

void auto_roots_follow(struct auto_roots *r, enum mmu_mode mode)
{
    if (r->guest.policy.mode != mode)
        change(&r->guest);
    for (struct auto_root *root = r->root; root < r->root + AUTO_ROOTS; root++) {
        if (root->key && root->policy.mode != mode)
            change(root);
    }
    r->others = 0;
}

static bool change_roots(struct auto_roots *r)
{
    u64 before = r->changes;
    for (struct auto_root *root = r->root; root < r->root + AUTO_ROOTS; root++) {
        root->ran /= 2;
        if (root->key && judge(r, root)) {
            change(root);
            r->changes++;
        }
    }
    count_others(r);
    return r->changes != before;
}

// Roots first: where one alone is the reason, the others need not follow it.
bool auto_roots_epoch(struct auto_roots *r, const struct auto_epoch *whole)
{
    if (!r->others)
        r->guest.epoch = *whole;
    if (change_roots(r)) {
        r->guest.epoch = (struct auto_epoch){0};
        return true;
    }
    if (!judge(r, &r->guest))
        return false;
    auto_roots_follow(r, mmu_mode_other(r->guest.policy.mode));
    return true;
}

unsigned auto_roots_count(const struct auto_roots *r, enum mmu_mode mode)
{
    unsigned count = 0;
    for (const struct auto_root *root = r->root; root < r->root + AUTO_ROOTS; root++)
        count += root->ran && root->policy.mode == mode;
    return count;
}
