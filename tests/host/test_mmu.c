// Several back ends of one machine, over one p2m: what is done by one changes nothing of another, and the
// guest goes from one to the next, which leaves nothing of itself in the p2m. And what is said of an EPT
// entry that the processor refuses.

// link: MACHINE ENGINE shadow/shadow.c
#include "fake_machine.h"

#include <arch/cpu.h>
#include <ept/ept.h>
#include <shadow/shadow.h>

#include "ept/identity.h"
#include "ept/ones.h"
#include "hv/exits/paging.h"

#include <stdio.h>

#define HOLE  (512 * MIB)
#define TOUCH 8u // pages

static struct vcpu *v;

static struct mmu *add(const struct mmu_ops *ops, struct mmu_options options)
{
    options.caps = v->caps;
    options.physical_bits = v->physical_bits;
    struct mmu *mmu = mmu_init(v->vm, ops, &options);
    assert_non_null(mmu);
    assert_ptr_equal(mmu->p2m, &v->vm->p2m);
    return mmu;
}

static struct mmu *add_shadow(enum shadow_strategy_name strategy)
{
    return add(&shadow_ops, (struct mmu_options){.vpid = true, .strategy = strategy, .pool = 64});
}

// The guest goes on under this back end.
static void change_to(struct mmu *mmu)
{
    struct paging_regs regs = vcpu_paging(v);
    mmu_leave(v);
    assert_null(v->mmu);
    assert_int_equal(mmu_enter(v, mmu), 0);
    assert_ptr_equal(v->vm->mmu, mmu);
    paging_start(v, &regs);
    mmu_load(v);
}

static u64 count(const struct mmu *mmu, enum counter counter)
{
    u64 values[COUNTERS] = {0};
    mmu_counters(mmu, values);
    return values[counter];
}

// A read of gva that the processor finds nothing for under shadow paging.
static void hidden_fault(u64 gva)
{
    struct mmu_fault f = {.gva = gva};
    u64 hpa;
    assert_int_equal(mmu_fault(v, &f), MMU_FIXED);
    assert_true(machine_translates(v, gva, &hpa));
    assert_int_equal(hpa, mfn_hpa(p2m_lookup(&v->vm->p2m, gpa_gfn(gva)).mfn));
}

static void violation(void)
{
    struct mmu_fault f = {.gpa = HOLE};
    assert_int_equal(mmu_fault(v, &f), MMU_HOLE);
}

// A walk of the guest's in a hole: EPT puts a page of ones there.
static void walk_in_hole(u64 gpa)
{
    struct mmu_fault f = {.gpa = gpa, .walk = true};
    enum mmu_outcome outcome = mmu_fault(v, &f);
    if (p2m_lookup(&v->vm->p2m, gpa_gfn(gpa)).type == P2M_HOLE)
        outcome = mmu_fault(v, &f); // the first one ended accessed and dirty bits
    assert_int_equal(outcome, MMU_FIXED);
    assert_int_equal(p2m_lookup(&v->vm->p2m, gpa_gfn(gpa)).type, P2M_RAM_RO);
}

static void ept_and_shadow(void **state)
{
    (void)state;
    struct mmu *ept = v->vm->mmu, *shadow = add_shadow(SHADOW_ADAPTIVE);
    violation();
    change_to(shadow);
    u64 invept = count(ept, COUNTER_invept);
    for (u64 page = 0; page < TOUCH; page++)
        hidden_fault(4 * MIB + page * PAGE_SIZE);
    assert_int_equal(count(shadow, COUNTER_page_faults), TOUCH);
    assert_int_equal(count(ept, COUNTER_violations), 1);
    assert_int_equal(count(ept, COUNTER_invept), invept);
    change_to(ept);
    violation();
    assert_int_equal(count(ept, COUNTER_invept), invept); // the p2m is as it was
    assert_int_equal(count(ept, COUNTER_violations), 2);
    assert_int_equal(count(shadow, COUNTER_page_faults), TOUCH);
    assert_true(count(shadow, COUNTER_tables_used) > 0); // for when it is used again
}

// A page of ones, the identity map: they are gone with EPT, and nothing else is.
static void p2m_is_given_back(void **state)
{
    (void)state;
    struct mmu *ept = v->vm->mmu, *shadow = add_shadow(SHADOW_TRACE);
    change_to(shadow);
    u64 free = v->vm->frames->count[FRAME_FREE], guest = v->vm->frames->count[FRAME_GUEST];
    for (unsigned i = 0; i < 3; i++) {
        change_to(ept);
        for (u64 page = 0; page < 2 * ONES_PLACES; page++)
            walk_in_hole(HOLE + page * PAGE_SIZE);
        assert_int_equal(v->vm->frames->count[FRAME_GUEST], guest + 1);
        change_to(shadow);
        hidden_fault(4 * MIB);
        for (u64 page = 0; page < 2 * ONES_PLACES; page++)
            assert_int_equal(p2m_lookup(&v->vm->p2m, gpa_gfn(HOLE + page * PAGE_SIZE)).type, P2M_HOLE);
        assert_int_equal(v->vm->frames->count[FRAME_GUEST], guest);
        assert_int_equal(v->vm->frames->count[FRAME_FREE], free);
    }
}

static void identity_is_given_back(void **state)
{
    (void)state;
    machine_gone();
    v = machine_make(0);
    machine_start_64(v);
    struct mmu *ept = v->vm->mmu;
    assert_int_equal(p2m_lookup(&v->vm->p2m, gpa_gfn(IDENTITY_GPA)).type, P2M_RAM_RO);
    change_to(add_shadow(SHADOW_TRACE));
    assert_int_equal(p2m_lookup(&v->vm->p2m, gpa_gfn(IDENTITY_GPA)).type, P2M_HOLE);
    change_to(ept);
    assert_int_equal(p2m_lookup(&v->vm->p2m, gpa_gfn(IDENTITY_GPA)).type, P2M_RAM_RO);
}

// All frames are somebody's but `left`.
static void frames_take_all(u64 left)
{
    mfn_t frame;
    while (v->vm->frames->count[FRAME_FREE] > left)
        assert_int_equal(frames_alloc(v->vm->frames, ORDER_4K, FRAME_MONITOR, &frame), 0);
}

// With too few frames a processor stays under none, and nothing is kept: of the view, the PDPT of a guest
// without paging; of the view, the identity map, p2m tables.
static void no_room_to_enter(void **state)
{
    (void)state;
    for (u64 left = 0; left < 2; left++) {
        for (unsigned shadow = 0; shadow < 2; shadow++) {
            machine_gone();
            v = machine_make(0);
            machine_start_64(v);
            struct mmu *mmu = shadow ? add_shadow(SHADOW_TRACE) : v->vm->mmu;
            mmu_leave(v);
            frames_take_all(left);
            assert_int_equal(mmu_enter(v, mmu), ERR_NOMEM);
            assert_null(v->mmu);
            assert_int_equal(v->vm->frames->count[FRAME_FREE], left);
            mmu_leave(v);
        }
    }
}

// What one of two engines knows of the same guest the other does not.
static void two_shadows(void **state)
{
    (void)state;
    struct mmu *trace = add_shadow(SHADOW_TRACE), *adaptive = add_shadow(SHADOW_ADAPTIVE);
    char wrong[160];
    u64 hpa;
    change_to(trace);
    hidden_fault(4 * MIB);
    change_to(adaptive);
    assert_false(machine_translates(v, 4 * MIB, &hpa));
    hidden_fault(6 * MIB);
    hidden_fault(8 * MIB);
    assert_true(mmu_audit(v, MMU_AUDIT_ALL, wrong, sizeof(wrong)));
    assert_int_equal(count(trace, COUNTER_page_faults), 1);
    assert_int_equal(count(adaptive, COUNTER_page_faults), 2);
    change_to(trace);
    assert_true(machine_translates(v, 4 * MIB, &hpa)); // as it was left
    hidden_fault(4 * MIB);
    assert_true(mmu_audit(v, MMU_AUDIT_ALL, wrong, sizeof(wrong)));
}

static void two_epts(void **state)
{
    (void)state;
    struct mmu *first = v->vm->mmu, *second = add(&ept_ops, (struct mmu_options){.vpid = false});
    violation();
    change_to(second);
    violation();
    violation();
    assert_int_equal(count(first, COUNTER_violations), 1);
    assert_int_equal(count(second, COUNTER_violations), 2);
    assert_int_equal(count(first, COUNTER_vpids), 0); // nobody is under it
    assert_int_equal(count(second, COUNTER_vpids), 0);
    change_to(first);
    assert_int_equal(count(first, COUNTER_vpids), 1);
}

// PKRU is read with every #PF exit of a guest with keys: without a MOV to CR4, which serialises.
static void keys_are_read(void **state)
{
    (void)state;
    struct walk_context w;
    fake_pkru = 0x12345678;
    vcpu_walk_context(v, &w);
    assert_int_equal(w.pkru, 0);
    change_to(add_shadow(SHADOW_TRACE));
    v->cr4_mask |= CR4_PKE;
    vmcs_write(CR4_READ_SHADOW, vmcs_read(CR4_READ_SHADOW) | CR4_PKE);
    vcpu_walk_context(v, &w);
    assert_int_equal(w.pkru, fake_pkru);
    hidden_fault(4 * MIB);
    assert_int_equal(fake_cr4_writes, 0);
}

// The entry that the processor did not like is among them; nothing is read beyond the one that ends the walk.
static void misconfiguration_says_entries(void **state)
{
    (void)state;
    char end[192];
    static const struct {
        u64 gpa;
        unsigned level; // of the entry that ends the walk
    } rows[] = {{GUEST_IOAPIC_GPA + 8, 1}, {4 * MIB + 0x123, 2}, {HOLE, 2}, {BIT(40), 4}};
    static const u64 like_an_entry = 7;
    assert_int_equal(vm_ram_write(v->vm, 4 * MIB, &like_an_entry, sizeof(like_an_entry)), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        u64 e[5] = {0}, table = mfn_hpa(v->vm->p2m.root);
        for (unsigned level = 4; level >= rows[i].level; level--) {
            e[level] = ((const u64 *)phys_ptr(table))[rows[i].gpa >> (12 + 9 * (level - 1)) & 511];
            table = e[level] & EPT_ADDRESS;
        }
        v->vm->failed = false;
        fake_vmcs_set(GUEST_PHYSICAL_ADDRESS, rows[i].gpa);
        assert_int_equal(exit_ept_misconfiguration(v), VERDICT_STOP);
        snprintf(end, sizeof(end),
                 "EPT misconfiguration at gpa 0x%lx: PML4E 0x%lx, PDPTE 0x%lx, PDE 0x%lx, PTE 0x%lx",
                 rows[i].gpa, e[4], e[3], e[2], e[1]);
        assert_string_equal(v->vm->end, end);
        assert_true(v->vm->failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MACHINE_TEST(machine_setup, ept_and_shadow),
        MACHINE_TEST(machine_setup, p2m_is_given_back),
        MACHINE_TEST(machine_setup, identity_is_given_back),
        MACHINE_TEST(machine_setup, no_room_to_enter),
        MACHINE_TEST(machine_setup, two_shadows),
        MACHINE_TEST(machine_setup, two_epts),
        MACHINE_TEST(machine_setup, keys_are_read),
        MACHINE_TEST(machine_setup, misconfiguration_says_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
