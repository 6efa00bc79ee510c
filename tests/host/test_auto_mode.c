// mmu=auto on a guest's exits: what is measured and when, which loads of CR3 exit, and that whatever is
// chosen the guest has its own CR3. Which mode is chosen is test_auto's and test_auto_roots' subject.

// link: MACHINE ENGINE shadow/shadow.c hv/exits/fault.c hv/insn/insn_cache.c tests/host/mode_machine.c
#include "mode_machine.h"

#include <arch/cpu.h>
#include <ept/ept.h>

#include "hv/exits/auto_mode.h"
#include "hv/exits/paging.h"
#include "hv/vcpu/due.h"

static struct vcpu *v;

static u64 lasted[MMU_MODES]; // all epochs

// As the run loop does it: without a guest's exit, at this time.
static void due_at(u64 tsc)
{
    v->last_exit = fake_tsc = tsc;
    auto_mode_due(v, tsc);
}

// Under mmu.auto=on: an epoch passes, all of it the guest's, but for what shadow paging took.
static void epoch(u64 shadow_cycles)
{
    const struct auto_mode *a = &v->vm->auto_mode;
    u64 began = a->began.at;
    lasted[v->vm->params->mmu] += a->epoch;
    assert_in_range(v->epoch_wait, (a->samples ? a->sample : a->epoch) - 1000,
                    a->samples ? a->sample : a->epoch);
    v->exits[EXIT_EXCEPTION_OR_NMI].cycles += shadow_cycles;
    due_at(began + a->sample);
    assert_false(a->samples);
    if (v->refresh_controls)
        paging_refresh(v);
    assert_int_equal(!!(vmcs_read(EXCEPTION_BITMAP) & BIT(VECTOR_PF)), v->vm->params->mmu == MMU_SHADOW);
    due_at(began + a->epoch);
    mode_machine_exit(v);
    if (v->refresh_controls)
        paging_refresh(v);
    fake_entry_check();
    bool page_faults_exit = vmcs_read(EXCEPTION_BITMAP) & BIT(VECTOR_PF);
    assert_true(page_faults_exit); // they are sampled, or shadow paging wants them
    assert_true(a->samples);
}

static unsigned epochs_until(enum mmu_mode mode, u64 shadow_cycles)
{
    unsigned epochs = 0;
    for (; v->vm->params->mmu != mode && epochs < 1000; epochs++)
        epoch(shadow_cycles);
    return epochs;
}

static void start_auto(const char *words)
{
    mode_machine_start(v, true, 0);
    v->vm->modes.now.asked.auto_feed = true;
    v->last_exit = fake_tsc;
    mode_machine_ask(v, words);
    assert_true(v->vm->params->mmu_auto);
    assert_true(v->observed);
}

static void test_guest(void **state)
{
    (void)state;
    const struct auto_mode *a = &v->vm->auto_mode;
    start_auto("auto");
    memset(lasted, 0, sizeof(lasted));
    for (unsigned round = 0; round < 3; round++) {
        auto_mode_feed(v, 300);
        assert_in_range(epochs_until(MMU_SHADOW, 0), 1, 60);
        auto_mode_feed(v, 10);
        assert_in_range(epochs_until(MMU_EPT, a->epoch / 3), 1, 60);
    }
    for (unsigned i = 0; i < 100; i++)
        epoch(0);
    assert_int_equal(v->vm->params->mmu, MMU_EPT);
    assert_int_equal(a->changes, 6);
    assert_int_equal(a->loads.visits + a->loads.moved, 0); // not at loads
    for (int mode = MMU_EPT; mode < MMU_MODES; mode++)
        assert_in_range(a->cycles[mode], lasted[mode] - 10000, lasted[mode] + 10000);
    assert_true(a->roots.predicted && a->roots.seen);
    mode_machine_ask(v, "mmu.auto=off");
    assert_int_equal(v->epoch_wait, 0);
    assert_int_equal(vmcs_read(EXCEPTION_BITMAP) & BIT(VECTOR_PF), 0);
}

// Switched on while nothing was due, epochs and samples end all the same.
static void test_becomes_due(void **state)
{
    (void)state;
    mode_machine_start(v, true, 0);
    v->vm->modes.now.asked.auto_feed = true;
    v->last_exit = fake_tsc;
    due_set(v, fake_tsc);
    assert_int_equal(v->due_after, ~0ull);
    mode_machine_ask(v, "auto");
    assert_in_range(v->due_after, 1, v->vm->auto_mode.sample + 1000);
    assert_true(v->timer_runs);
}

// What the guest asks for is followed, and what it resets does no harm.
static void test_others_choose(void **state)
{
    (void)state;
    const struct auto_mode *a = &v->vm->auto_mode;
    start_auto("auto");
    v->last_exit = fake_tsc += a->epoch / 2;
    mode_machine_ask(v, "trace");
    assert_in_range(a->cycles[MMU_EPT], a->epoch / 2, a->epoch);
    assert_int_equal(v->vm->auto_mode.roots.guest.policy.mode, MMU_SHADOW);
    for (unsigned i = 0; i < 5; i++)
        epoch(1000);
    memset(v->exits, 0, sizeof(v->exits)); // PENUMBRA_RESET
    for (unsigned i = 0; i < 20; i++)
        epoch(0);
    assert_int_equal(v->vm->params->mmu, MMU_SHADOW);
    v->last_exit = fake_tsc;
    mode_machine_ask(v, "ept");
    assert_int_equal(v->vm->auto_mode.roots.guest.policy.mode, MMU_EPT);
    auto_mode_feed(v, ~0ull);
    epoch(0);
}

// A fault that exits to be counted is the guest's, as it was.
static void test_sampled_fault(void **state)
{
    (void)state;
    start_auto("auto");
    assert_true(v->vm->auto_mode.samples);
    fake_vmcs_set(EXIT_QUALIFICATION, 0x5000);
    fake_vmcs_set(EXIT_INTERRUPTION_ERROR_CODE, PFEC_W | PFEC_U);
    assert_int_equal(exit_page_fault(v), VERDICT_FAULT);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), 0x80000b00 | VECTOR_PF);
    assert_int_equal(vmcs_read(ENTRY_EXCEPTION_ERROR_CODE), PFEC_W | PFEC_U);
    assert_int_equal(fake_cr2, 0x5000);
    assert_int_equal(v->vm->auto_mode.faults, 1);
}

static void test_without_counters(void **state)
{
    (void)state;
    mode_machine_start(v, true, 0);
    mode_machine_ask(v, "auto");
    assert_false(v->vm->params->mmu_auto);
    assert_int_equal(v->epoch_wait, 0);
    assert_false(v->vm->auto_mode.samples);
}

#define ISOLATED PAGE_SIZE // between the two roots of a process with isolated page tables
#define ROOT(n)  (2 * MIB + (n)*2 * PAGE_SIZE)
#define WALKER   ROOT(0)
#define FORKER   ROOT(1)

static unsigned exited; // loads of CR3

static void refresh(void)
{
    mode_machine_exit(v);
    assert_null(v->unsupported);
    if (v->refresh || v->refresh_controls)
        paging_refresh(v);
    fake_entry_check();
}

static void exits_now(void)
{
    v->last_exit = fake_tsc;
    v->cr3_unseen = true;
}

static bool load_exits(u64 cr3)
{
    if (!(vmcs_read(PROCESSOR_BASED_CONTROLS) & PROC_CR3_LOAD_EXITING))
        return false;
    for (unsigned i = 0; i < vmcs_read(CR3_TARGET_COUNT); i++) {
        if (vmcs_read(CR3_TARGET_0 + 2 * i) == cr3)
            return false;
    }
    return true;
}

// As the processor does it. What the guest reads back is what it wrote.
static void loads(u64 cr3)
{
    if (!load_exits(cr3)) {
        fake_vmcs_set(GUEST_CR3, cr3);
    } else {
        exits_now();
        exited++;
        *vcpu_reg(v, GPR_RBX) = cr3;
        fake_vmcs_set(EXIT_QUALIFICATION, 3 | GPR_RBX << 8);
        assert_int_equal(exit_cr_access(v), VERDICT_SKIP);
        refresh();
    }
    if (!v->cr3_owned)
        assert_int_equal(vmcs_read(GUEST_CR3), cr3);
    assert_int_equal(vcpu_cr3(v), cr3);
}

#define STEP 20000u

// A page fault of the guest's.
static void faults(void)
{
    if (v->vm->params->mmu == MMU_SHADOW)
        v->exits[EXIT_EXCEPTION_OR_NMI].cycles += 6000;
    else if (v->vm->auto_mode.samples)
        assert_true(auto_mode_fault(v));
}

// Time passes in the guest, with a page fault in each so many steps.
static void runs(u64 cycles, unsigned apart)
{
    const struct auto_mode *a = &v->vm->auto_mode;
    for (unsigned step = 1; step <= cycles / STEP; step++) {
        fake_tsc += STEP;
        exits_now();
        if (step % apart == 0)
            faults();
        if (fake_tsc - a->began.at >= (a->samples ? a->sample : a->epoch)) {
            auto_mode_due(v, fake_tsc);
            refresh();
        }
    }
}

#define SELDOM 200u
#define OFTEN  1u
#define LONG   40000000u // a turn

static void turns(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        loads(WALKER);
        runs(LONG, SELDOM);
        loads(FORKER);
        runs(LONG, OFTEN);
    }
}

static u64 cr3_exiting(void)
{
    return vmcs_read(PROCESSOR_BASED_CONTROLS) & PROC_CR3_LOAD_EXITING;
}

// Until a sample begins, or is over.
static void until_samples(bool on)
{
    const struct auto_mode *a = &v->vm->auto_mode;
    for (unsigned steps = 0; a->samples != on; steps++) {
        assert_true(steps < 2 * v->vm->tsc_hz / STEP);
        runs(STEP, OFTEN);
    }
}

// Roots that all lead where the first one does.
static void start_roots(const char *words)
{
    u8 table[PAGE_SIZE];
    u64 cr3 = vcpu_cr3(v);
    machine_caps.misc |= 4ull << 16; // CR3 targets
    start_auto(words);
    assert_int_equal(vm_ram_read(v->vm, cr3, table, sizeof(table)), 0);
    for (unsigned n = 0; n < 20; n++)
        assert_int_equal(vm_ram_write(v->vm, ROOT(0) + n * PAGE_SIZE, table, sizeof(table)), 0);
    loads(WALKER);
    auto_mode_feed(v, 300);
}

// A walker and a forker side by side: each gets its mode, and the guest goes from one to the other at loads.
static void test_roots(void **state)
{
    (void)state;
    const struct auto_mode *a = &v->vm->auto_mode;
    start_roots("auto,auto.by=root");
    turns(12);
    assert_int_equal(auto_roots_mode(&a->roots, WALKER), MMU_SHADOW);
    assert_int_equal(auto_roots_mode(&a->roots, FORKER), MMU_EPT);
    u64 visits = a->loads.visits;
    turns(4);
    assert_int_equal(a->loads.visits, visits + 8);
    assert_int_equal(v->vm->params->mmu, MMU_EPT);
    until_samples(false);
    for (unsigned i = 0; i < 3; i++) {
        loads(WALKER);
        assert_int_equal(v->vm->params->mmu, MMU_SHADOW);
        loads(FORKER);
        assert_int_equal(v->vm->params->mmu, MMU_EPT);
    }
    until_samples(true);
    loads(WALKER);
    assert_int_equal(v->vm->params->mmu, MMU_SHADOW);
    assert_true(a->loads.since.at > v->last_exit); // what the change took is not the root's
    loads(FORKER);
    assert_true(a->cycles[MMU_EPT] && a->cycles[MMU_SHADOW]);
    u64 all = v->vm->modes.changes; // with the one to mmu=auto itself
    assert_in_range(all - 1 - a->loads.visits - a->changes, 0, a->roots.changes);
}

// What the roots that have run have of epochs that are not over.
static struct auto_epoch roots_sum(unsigned *roots)
{
    struct auto_epoch sum = {0};
    *roots = 0;
    for (unsigned i = 0; i < AUTO_ROOTS; i++) {
        const struct auto_root *root = &v->vm->auto_mode.roots.root[i];
        *roots += root->ran > 0;
        sum.cycles += root->epoch.cycles;
        sum.walks += root->epoch.walks;
        sum.shadow += root->epoch.shadow;
        sum.faults += root->epoch.faults;
        for (int mode = 0; mode < MMU_MODES; mode++)
            sum.visits[mode] += root->epoch.visits[mode];
    }
    return sum;
}

static void runs_once(u64 cycles, u64 shadow_cycles)
{
    fake_tsc += cycles;
    v->exits[EXIT_EXCEPTION_OR_NMI].cycles += shadow_cycles;
    faults();
}

// What runs in a sample is put to the root that ran, and counts for as much as the epoch is longer than the
// sample. So do loads from one root to another. ROOT(5) walks for half of its time.
static void sample_counts(const char *mode, u64 shadow_cycles, u64 shadow, u64 faults)
{
    const struct auto_mode *a = &v->vm->auto_mode;
    start_roots("auto,auto.by=root");
    mode_machine_ask(v, mode);
    assert_true(a->samples);
    loads(ROOT(5));
    auto_mode_feed(v, 500);
    loads(ROOT(5));
    unsigned roots, roots_before;
    struct auto_epoch before = roots_sum(&roots_before);
    u64 times = a->epoch / a->sample, load = a->roots.visit_cycles;
    assert_in_range(times, 2, 100);
    runs_once(200000, shadow_cycles);
    loads(ROOT(6));
    runs_once(100000, shadow_cycles);
    loads(ROOT(5));
    struct auto_epoch sum = roots_sum(&roots);
    assert_int_equal(roots - roots_before, 2);
    assert_int_equal(sum.cycles - before.cycles, 300000 * times);
    assert_int_equal(sum.walks - before.walks, 100000 * times);
    assert_int_equal(sum.shadow - before.shadow, shadow * times);
    assert_int_equal(sum.faults - before.faults, faults * times);
    // of two loads, but at the first ROOT(6) has no record
    assert_int_equal(sum.visits[MMU_EPT] + sum.visits[MMU_SHADOW] - before.visits[MMU_EPT] -
                         before.visits[MMU_SHADOW],
                     3 * load * times);
    assert_int_equal(a->needless, 0);
}

static void test_sample_of_ept(void **state)
{
    (void)state;
    sample_counts("ept", 1000, 0, 2);
}

static void test_sample_of_shadow(void **state)
{
    (void)state;
    sample_counts("trace", 1000, 2 * (1000 + 6000), 0);
}

// A load in a sample that would have exited anyway is no part of measuring. The next one of that root would
// not have.
static void test_spent(void **state)
{
    (void)state;
    const struct auto_mode *a = &v->vm->auto_mode;
    start_roots("auto,auto.by=root");
    v->exits[EXIT_CR_ACCESS] = (struct exit_account){.count = 1000, .cycles = 1000 * 2000};
    turns(12);
    until_samples(true);
    assert_int_equal(v->vm->params->mmu, MMU_EPT);
    u64 spent = a->spent;
    loads(ROOT(9));
    assert_int_equal(a->spent, spent);
    loads(ROOT(9));
    assert_int_equal(a->spent, spent + auto_exit_cycles(v, EXIT_CR_ACCESS));
    assert_int_equal(a->needless, 0);
}

// A processor whose EPT is there, but of no use.
static void test_stuck(void **state)
{
    (void)state;
    const struct auto_mode *a = &v->vm->auto_mode;
    mode_machine_start(v, true, 0);
    v->vm->modes.now.asked.auto_feed = true;
    v->last_exit = fake_tsc;
    mode_machine_ask(v, "trace");
    machine_caps.ept_vpid &= ~(u64)EPT_CAP_WALK_4;
    mode_machine_ask(v, "auto");
    auto_mode_feed(v, 10);
    for (unsigned i = 0; i < 100; i++)
        epoch(a->epoch / 3);
    assert_int_equal(v->vm->params->mmu, MMU_SHADOW);
    assert_int_equal(a->changes, 0);
    machine_caps.ept_vpid |= EPT_CAP_WALK_4;
    mode_machine_ask(v, "trace");
    assert_in_range(epochs_until(MMU_EPT, a->epoch / 3), 1, 60);
}

// A processor without CR3 targets.
static void test_without_targets(void **state)
{
    (void)state;
    start_roots("auto,auto.by=root");
    machine_caps.misc &= ~(0x1ffull << 16);
    turns(12);
    loads(WALKER);
    assert_int_equal(v->vm->params->mmu, MMU_SHADOW);
    loads(FORKER);
    assert_int_equal(v->vm->params->mmu, MMU_EPT);
    assert_true(load_exits(FORKER));
}

// Loads between roots of one mode are free, under either mode; those between two modes are not.
static void test_free_loads(void **state)
{
    (void)state;
    start_roots("auto,auto.by=root");
    turns(12);
    until_samples(false);
    for (unsigned i = 0; i < 10; i++) {
        loads(FORKER | (i % 2 ? ISOLATED : 0));
        exited = i < 2 ? 0 : exited;
    }
    assert_int_equal(v->vm->params->mmu, MMU_EPT);
    assert_int_equal(exited, 0);
    assert_true(cr3_exiting());
    for (unsigned i = 0; i < 10; i++) {
        loads(WALKER | (i % 2 ? ISOLATED : 0));
        exited = i < 3 ? 0 : exited;
    }
    assert_int_equal(v->vm->params->mmu, MMU_SHADOW);
    assert_int_equal(exited, 0);
    loads(FORKER);
    assert_int_equal(exited, 1);
    assert_int_equal(v->vm->params->mmu, MMU_EPT);
    for (unsigned n = 1; n < 9; n++)
        loads(ROOT(n)); // more than there are targets
    assert_int_equal(vmcs_read(CR3_TARGET_COUNT), 4);
    for (unsigned n = 5; n < 9; n++)
        assert_false(load_exits(ROOT(n)));
    until_samples(true);
    assert_int_equal(v->vm->auto_mode.loads.targets, 0); // some may have another mode by now
    assert_true(load_exits(ROOT(8)));                    // it is counted
    for (unsigned i = 0; i < 6; i++)
        loads(i % 2 ? FORKER : ROOT(8));
    until_samples(false);
    assert_int_equal(vmcs_read(CR3_TARGET_COUNT), 2);
    loads(WALKER);
    assert_int_equal(v->vm->params->mmu, MMU_SHADOW);
}

// What exits under shadow paging only to be counted is not what shadow paging costs.
static void test_counted_loads(void **state)
{
    (void)state;
    start_roots("auto,auto.by=root");
    turns(12);
    until_samples(false);
    loads(WALKER);
    loads(WALKER | ISOLATED);
    until_samples(true);
    assert_int_equal(v->vm->params->mmu, MMU_SHADOW);
    v->exits[EXIT_CR_ACCESS].cycles = v->exits[EXIT_CR_ACCESS].count * 5000;
    u64 before = auto_reading_take(v, WALKER).shadow;
    for (unsigned i = 0; i < 100; i++) {
        loads(i % 2 ? WALKER | ISOLATED : WALKER);
        v->exits[EXIT_CR_ACCESS].count++; // as the dispatcher counts it
        v->exits[EXIT_CR_ACCESS].cycles += 5000;
    }
    assert_in_range(auto_reading_take(v, WALKER).shadow, before, before + 10 * 5000);
}

// A root in place that is to be under EPT from now on is no target any more.
static void test_no_target_of_other_mode(void **state)
{
    (void)state;
    struct auto_mode *a = &v->vm->auto_mode;
    start_roots("auto,auto.by=root");
    turns(12);
    until_samples(false);
    loads(WALKER);
    loads(WALKER | ISOLATED);
    loads(WALKER);
    assert_false(load_exits(WALKER | ISOLATED));
    auto_roots_follow(&a->roots, MMU_EPT);
    a->roots.others = 1; // so that they are looked at
    v->refresh_controls = true;
    refresh();
    assert_true(load_exits(WALKER | ISOLATED));
    loads(WALKER | ISOLATED);
    assert_int_equal(v->vm->params->mmu, MMU_EPT);
}

// While all roots have one mode, nothing exits but in samples: there each load does.
static void test_all_alike(void **state)
{
    (void)state;
    const struct auto_mode *a = &v->vm->auto_mode;
    start_roots("auto,auto.by=root");
    for (unsigned i = 0; i < 6; i++) {
        assert_true(a->samples);
        assert_true(cr3_exiting());
        unsigned flushed = fake_invvpid;
        exited = 0;
        loads(FORKER);
        loads(WALKER);
        loads(WALKER);
        assert_int_equal(exited, 3);
        assert_int_equal(a->loads.targets, 0);
        assert_int_equal(fake_invvpid, flushed + 3);
        until_samples(false);
        assert_false(cr3_exiting());
        loads(FORKER);
        assert_int_equal(exited, 3);
        until_samples(true);
    }
    mode_machine_ask(v, "auto.by=guest");
    assert_true(a->samples);
    assert_false(cr3_exiting());
    mode_machine_ask(v, "auto.by=root");
    assert_true(cr3_exiting());
    mode_machine_ask(v, "mmu.auto=off");
    assert_false(cr3_exiting());
}

// A guest that does nothing but load CR3 in samples pays for it by the part of measuring alone.
static void test_dear_samples(void **state)
{
    (void)state;
    const struct auto_mode *a = &v->vm->auto_mode;
    start_roots("auto,auto.by=root");
    v->exits[EXIT_CR_ACCESS] = (struct exit_account){.count = 1000, .cycles = 1000 * 2000};
    for (unsigned i = 0; i < 5; i++) {
        u64 began = a->began.at;
        while (a->samples) {
            for (unsigned n = 0; n < 10; n++)
                loads(FORKER | (n % 2 ? ISOLATED : 0));
            runs(STEP, OFTEN); // of these loads
        }
        u64 sampled = fake_tsc - began;
        until_samples(true);
        if (i)
            assert_in_range(sampled, a->sample, (a->began.at - began) / 150);
    }
}

#define DEAR 40000u

// Changes at loads stop for the rest of an epoch when they took their part of it.
static void test_budget(void **state)
{
    (void)state;
    const struct auto_mode *a = &v->vm->auto_mode;
    start_roots("auto,auto.by=root");
    turns(12);
    until_samples(true);
    v->vm->empty_exit_cycles = DEAR; // so that few are enough
    u64 visits = a->loads.visits, most = a->epoch / 8 / DEAR + 1;
    for (unsigned i = 0; i < 4 * most; i++)
        loads(i % 2 ? FORKER : WALKER);
    assert_in_range(a->loads.visits - visits, most / 2, most);
    assert_in_range(a->roots.visit_cycles, DEAR * 3 / 4, DEAR * 5 / 4); // what they took is known
}

static const u64 pdptes[4] = {0x3001, 0x4001, 0x5001, 0x6001};

// To PAE paging, with PDPTEs where the roots are.
static void leave_long_mode(void)
{
    struct paging_regs pae = vcpu_paging(v);
    pae.efer = 0;
    vmcs_write(GUEST_CS_ACCESS_RIGHTS, RIGHTS_CODE_32);
    paging_start(v, &pae);
    assert_int_equal(vm_ram_write(v->vm, WALKER, pdptes, sizeof(pdptes)), 0);
    assert_int_equal(vm_ram_write(v->vm, FORKER, pdptes, sizeof(pdptes)), 0);
}

// A guest that leaves long mode is not moved; its loads in samples are carried out as PAE paging wants it.
static void test_pae(void **state)
{
    (void)state;
    const struct auto_mode *a = &v->vm->auto_mode;
    start_roots("auto,auto.by=root");
    leave_long_mode();
    assert_true(a->samples);
    loads(FORKER);
    assert_int_equal(vmcs_read(GUEST_PDPTE0), pdptes[0]);
    assert_int_equal(vmcs_read(GUEST_PDPTE3), pdptes[3]);
    auto_mode_feed(v, 900);
    for (unsigned i = 0; i < 10; i++)
        runs(LONG, SELDOM);
    assert_int_equal(v->vm->params->mmu, MMU_EPT);
    assert_int_equal(a->roots.guest.policy.mode, MMU_EPT);
}

// Nor where its root is to have the other mode: not at the load, nor when the epoch ends.
static void test_pae_load(void **state)
{
    (void)state;
    start_roots("auto,auto.by=root");
    turns(12);
    assert_int_equal(auto_roots_mode(&v->vm->auto_mode.roots, WALKER), MMU_SHADOW);
    leave_long_mode();
    loads(WALKER);
    until_samples(true);
    assert_int_equal(v->vm->params->mmu, MMU_EPT);
}

// A mode that cannot be had for want of memory: all stay, and the guest keeps its CR3.
static void test_no_memory(void **state)
{
    (void)state;
    const struct auto_mode *a = &v->vm->auto_mode;
    start_roots("auto,auto.by=root");
    turns(12);
    assert_int_equal(a->roots.others, 1);
    mfn_t frame;
    while (!frames_alloc(v->vm->frames, ORDER_4K, FRAME_MONITOR, &frame))
        continue;
    loads(WALKER);
    assert_int_equal(v->vm->params->mmu, MMU_EPT);
    assert_int_equal(a->roots.others, 0);
    assert_non_null(strstr(machine_log, "the mode does not change: no memory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MACHINE_TEST(machine_setup, test_guest),
        MACHINE_TEST(machine_setup, test_becomes_due),
        MACHINE_TEST(machine_setup, test_others_choose),
        MACHINE_TEST(machine_setup, test_sampled_fault),
        MACHINE_TEST(machine_setup, test_without_counters),
        MACHINE_TEST(machine_setup, test_roots),
        MACHINE_TEST(machine_setup, test_sample_of_ept),
        MACHINE_TEST(machine_setup, test_sample_of_shadow),
        MACHINE_TEST(machine_setup, test_spent),
        MACHINE_TEST(machine_setup, test_stuck),
        MACHINE_TEST(machine_setup, test_without_targets),
        MACHINE_TEST(machine_setup, test_free_loads),
        MACHINE_TEST(machine_setup, test_counted_loads),
        MACHINE_TEST(machine_setup, test_no_target_of_other_mode),
        MACHINE_TEST(machine_setup, test_all_alike),
        MACHINE_TEST(machine_setup, test_dear_samples),
        MACHINE_TEST(machine_setup, test_budget),
        MACHINE_TEST(machine_setup, test_pae),
        MACHINE_TEST(machine_setup, test_pae_load),
        MACHINE_TEST(machine_setup, test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
