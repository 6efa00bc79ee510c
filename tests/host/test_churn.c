// p2m.churn=: the guest's memory changes at every exit, and accesses for the guest find what was written
// before, through tables that move, become read-only and go away as well. EPT, by the exit handlers as they
// are.
// link: MACHINE
#include "fake_machine.h"

#include "hv/access/churn.h"
#include "hv/access/guest_access.h"

#define STEPS 20000u
#define FIRST (2 * MIB)
#define WORDS ((MACHINE_RAM - FIRST) / PAGE_SIZE) // one on each page from FIRST on

static u64 model[WORDS];

static struct vcpu *churning(u64 period)
{
    struct vcpu *v = machine_make(MACHINE_UNRESTRICTED);
    machine_start_64(v);
    memset(model, 0, sizeof(model));
    churn_init(&v->vm->churn, period);
    return v;
}

static u64 gva_of(u64 word)
{
    return FIRST + word * PAGE_SIZE + word * 8 % PAGE_SIZE;
}

#define PTE_A BIT(5)
#define PTE_D BIT(6)

// The walk has set the bits that a processor sets; the guest clears them again.
static void marks_check(struct vcpu *v, const struct guest_access *a, u64 gva, bool write)
{
    struct walk walk;
    struct walk_access access = {.kind = ACCESS_READ};
    assert_int_equal(walk_guest(&a->walk, gva, access, false, &walk), 0);
    for (unsigned level = walk.level; level <= WALK_LEVELS; level++) {
        u64 cleared = walk.entry[level] & ~(PTE_A | PTE_D);
        assert_true(walk.entry[level] & PTE_A);
        assert_int_equal(vm_ram_write(v->vm, walk.entry_gpa[level], &cleared, sizeof(cleared)), 0);
    }
    assert_int_equal(walk.entry[walk.level] & PTE_D, write ? PTE_D : 0);
}

static void access_once(struct vcpu *v, u64 word)
{
    struct guest_access a;
    u64 gva = gva_of(word), value;
    guest_access_init(&a, v);
    bool write = random_below(2);
    if (write) {
        model[word] = random_u64();
        assert_int_equal(guest_write(&a, (struct insn_address){gva, INSN_DS}, &model[word], sizeof(u64)), 0);
    }
    assert_int_equal(guest_read(&a, (struct insn_address){gva, INSN_DS}, &value, sizeof(value), false), 0);
    assert_int_equal(value, model[word]);
    marks_check(v, &a, gva, write);
}

static void test_accesses(void **state)
{
    (void)state;
    struct vcpu *v = churning(1);
    const struct churn *c = &v->vm->churn;
    const struct frames *f = v->vm->frames;
    u64 guest_frames = f->count[FRAME_GUEST];
    for (unsigned i = 0; i < STEPS; i++) {
        u64 word = random_below(WORDS);
        vmcs_write(GUEST_RIP, gva_of(random_below(WORDS)));
        vmcs_write(GUEST_RSP, gva_of(word));
        access_once(v, word);
        v->refresh = false;
        churn_exit(v);
        assert_int_equal(f->count[FRAME_GUEST], guest_frames);
        assert_null(v->unsupported);
    }
    assert_true(c->counts.churn_moved > STEPS / 5 && c->counts.churn_protected > STEPS / 5 &&
                c->counts.churn_taken > STEPS / 5);
    assert_true(c->counts.churn_touched > STEPS / 10 &&
                c->counts.churn_touched < c->counts.churn_protected + c->counts.churn_taken);
    machine_gone();
}

// Nothing happens at other exits than every third, and nothing at all without a period.
static void test_period(void **state)
{
    (void)state;
    struct vcpu *v = churning(3);
    const struct churn *c = &v->vm->churn;
    for (unsigned i = 1; i <= 30; i++) {
        churn_exit(v);
        assert_in_range(c->counts.churn_moved + c->counts.churn_protected + c->counts.churn_taken, 0, i / 3);
    }
    assert_true(c->counts.churn_moved + c->counts.churn_protected + c->counts.churn_taken > 5);
    churn_init(&v->vm->churn, 0);
    for (unsigned i = 0; i < 100; i++)
        churn_exit(v);
    assert_int_equal(c->counts.churn_moved + c->counts.churn_protected + c->counts.churn_taken, 0);
    machine_gone();
}

// Reading what is only read-only changes nothing.
static void test_touched(void **state)
{
    (void)state;
    struct vcpu *v = churning(1);
    const struct churn *c = &v->vm->churn;
    while (!c->counts.churn_protected || !c->counts.churn_taken)
        churn_exit(v);
    for (unsigned i = c->count; i-- > 0;) {
        struct churn_page page = c->out[i];
        u64 gpa = gfn_gpa(page.gfn) + 5;
        assert_int_equal(churn_touched(v, gpa, false), page.away);
        assert_int_equal(churn_touched(v, gpa, true), !page.away);
        assert_false(churn_touched(v, gpa, true));
        assert_int_equal(p2m_lookup(&v->vm->p2m, page.gfn).type, P2M_RAM);
        assert_true(v->refresh);
    }
    assert_int_equal(c->count, 0);
    machine_gone();
}

int main(void)
{
    random_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accesses),
        cmocka_unit_test(test_period),
        cmocka_unit_test(test_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
