// The mode changes while the guest runs: what may be asked for and what is refused with which sentence, what
// has changed at the next entry, and what a guest does by VMCALL.

// link: MACHINE ENGINE shadow/shadow.c hv/exits/fault.c hv/insn/insn_cache.c tests/host/mode_machine.c
#include "mode_machine.h"

#include <arch/cpu.h>
#include <ept/ept.h>
#include <hv/p2m_change.h>
#include <hv/vmcall.h>
#include <shadow/shadow.h>

#include "hv/exits/exit.h"
#include "hv/exits/mode.h"
#include "hv/exits/paging.h"
#include "hv/policy/effect.h"
#include "hv/vcpu/due.h"

#include <stdio.h>

#define POOL   64
#define BUFFER (2 * MIB)

static struct vcpu *v;

static void start(bool on, u32 churn)
{
    mode_machine_start(v, on, churn);
}

static void mode_exit(void)
{
    mode_machine_exit(v);
}

static void asked(const char *words)
{
    mode_machine_ask(v, words);
}

static void refused(const char *words, const char *sentence)
{
    const struct mmu *mmu = v->vm->mmu;
    u64 changes = v->vm->modes.changes;
    struct params before = *v->vm->params;
    assert_string_equal(mode_ask(v, words), sentence);
    mode_exit();
    assert_ptr_equal(v->vm->mmu, mmu);
    assert_int_equal(v->vm->modes.changes, changes);
    assert_memory_equal(&before, v->vm->params, sizeof(before));
}

// What the guest reads at gva, by whatever translates for it now.
static void reads(u64 gva)
{
    struct mmu_fault f = {.gva = gva};
    u64 hpa;
    if (v->mmu->ops == &ept_ops)
        return;
    assert_int_equal(mmu_fault(v, &f), MMU_FIXED);
    assert_true(machine_translates(v, gva, &hpa));
    assert_int_equal(hpa, mfn_hpa(p2m_lookup(&v->vm->p2m, gpa_gfn(gva)).mfn));
}

static void test_changes(void **state)
{
    (void)state;
    start(true, 0);
    const struct paging_regs guest = vcpu_paging(v);
    for (unsigned i = 0; i < 3; i++) {
        asked("trace");
        assert_ptr_equal(v->mmu->ops, &shadow_ops);
        assert_int_equal(v->vm->params->shadow, SHADOW_TRACE);
        assert_int_equal(vmcs_read(SECONDARY_CONTROLS) & PROC2_EPT, 0);
        assert_true(vmcs_read(EXCEPTION_BITMAP) & BIT(VECTOR_PF));
        assert_true(vmcs_read(PROCESSOR_BASED_CONTROLS) & PROC_CR3_LOAD_EXITING);
        reads(4 * MIB);
        asked("ept");
        assert_ptr_equal(v->mmu->ops, &ept_ops);
        assert_true(vmcs_read(SECONDARY_CONTROLS) & PROC2_EPT);
        assert_false(vmcs_read(EXCEPTION_BITMAP) & BIT(VECTOR_PF));
        assert_false(vmcs_read(PROCESSOR_BASED_CONTROLS) & PROC_CR3_LOAD_EXITING);
    }
    assert_int_equal(v->vm->modes.changes, 6);
    const struct paging_regs after = vcpu_paging(v);
    assert_memory_equal(&guest, &after, sizeof(guest));
}

// Shadow tables are as they were left, but not where the p2m has changed since, or as other options want
// them.
static void test_returns(void **state)
{
    (void)state;
    const u64 gva = 4 * MIB;
    u64 hpa, before;
    start(true, 0);
    asked("trace");
    reads(gva);
    asked("ept");
    asked("trace");
    assert_true(machine_translates(v, gva, &before));
    asked("ept");
    assert_int_equal(p2m_move(&v->vm->p2m, gpa_gfn(gva)), 0);
    asked("trace");
    assert_false(machine_translates(v, gva, &hpa));
    reads(gva);
    assert_true(machine_translates(v, gva, &hpa));
    assert_int_not_equal(hpa, before);
    asked("ept");
    asked("trace,shadow.large=off");
    assert_false(machine_translates(v, gva, &hpa));
}

// What the EPT says is flushed where the p2m has changed since, and what the guest's tables say always is.
static void test_flushes(void **state)
{
    (void)state;
    start(true, 0);
    asked("trace");
    asked("ept");
    for (unsigned changes = 0; changes < 2; changes++) {
        asked("trace");
        if (changes)
            assert_int_equal(p2m_move(&v->vm->p2m, gpa_gfn(4 * MIB)), 0);
        unsigned ept = fake_invept, vpid = fake_invvpid;
        asked("ept");
        assert_int_equal(fake_invept - ept, changes);
        assert_true(fake_invvpid > vpid);
    }
}

// Options alone: the back end stays and works by them.
static void test_options(void **state)
{
    (void)state;
    start(true, 0);
    asked("vpid=off");
    assert_int_equal(vmcs_read(SECONDARY_CONTROLS) & PROC2_VPID, 0);
    asked("adaptive,vpid=on,shadow.directpf=on");
    assert_true(vmcs_read(SECONDARY_CONTROLS) & PROC2_VPID);
    reads(4 * MIB);
    assert_int_equal(vmcs_read(PAGE_FAULT_ERROR_CODE_MASK), 1);
    asked("shadow.directpf=off");
    reads(4 * MIB);
    assert_int_equal(vmcs_read(PAGE_FAULT_ERROR_CODE_MASK), 0);
    asked("shadow.directpf=on");
    reads(4 * MIB);
    assert_int_equal(vmcs_read(PAGE_FAULT_ERROR_CODE_MASK), 1);
}

// What one mode leaves without effect is in effect again in the next.
static void test_asked_again(void **state)
{
    (void)state;
    start(true, 0);
    machine_caps.misc |= 4ull << 16;
    for (unsigned i = 0; i < 2; i++) {
        asked("lazy");
        assert_false(v->vm->params->directpf);
        assert_false(v->vm->params->direct_invlpg);
        assert_false(v->vm->params->shadow_cr3);
        assert_false(v->vm->params->shadow_vpid);
        reads(4 * MIB);
        assert_int_equal(vmcs_read(PAGE_FAULT_ERROR_CODE_MASK), 0);
        asked("adaptive,vpid=on");
        assert_true(v->vm->params->directpf);
        assert_true(v->vm->params->direct_invlpg);
        assert_true(v->vm->params->shadow_cr3);
        assert_true(v->vm->params->shadow_vpid);
        reads(4 * MIB);
        assert_int_equal(vmcs_read(PAGE_FAULT_ERROR_CODE_MASK), 1);
        asked("vpid=off");
        assert_false(v->vm->params->shadow_vpid);
    }
}

static void test_pages(void **state)
{
    (void)state;
    start(true, 0);
    struct p2m *p = &v->vm->p2m;
    u64 large = p->leaves[P2M_LEVEL_2M], tables = p->tables, all = p->leaves[P2M_LEVEL_4K] + 512 * large;
    u64 mfn = p2m_lookup(p, gpa_gfn(5 * MIB)).mfn.n;
    assert_true(large);
    for (unsigned i = 0; i < 2; i++) {
        asked("p2m.max=4k");
        assert_int_equal(p->leaves[P2M_LEVEL_2M], 0);
        assert_int_equal(p->leaves[P2M_LEVEL_4K], all);
        assert_int_equal(p2m_lookup(p, gpa_gfn(5 * MIB)).mfn.n, mfn);
        asked(i ? "trace,p2m.max=2m" : "p2m.max=2m");
        assert_int_equal(p->leaves[P2M_LEVEL_2M], large);
        assert_int_equal(p->tables, tables);
        assert_int_equal(p2m_lookup(p, gpa_gfn(5 * MIB)).mfn.n, mfn);
    }
}

static void test_refused(void **state)
{
    (void)state;
    start(true, 0);
    refused("shadow.pool=100", "shadow.pool= cannot change while the guest runs: boot with it.");
    refused("trace,pcid=off", "pcid= cannot change while the guest runs: boot with it.");
    refused("mem=1G", "mem= cannot differ between configurations: give it as a word of its own.");
    machine_caps.proc2.may &= ~(u64)PROC2_VPID;
    refused("trace", "vpid=on: this processor has no VPID or not all types of INVVPID: boot with vpid=off.");
    asked("trace,vpid=off");
    asked("ept");
    struct paging_regs pae = vcpu_paging(v);
    pae.efer = 0;
    vmcs_write(GUEST_CS_ACCESS_RIGHTS, RIGHTS_CODE_32);
    paging_start(v, &pae);
    refused(
        "trace",
        "mmu=shadow runs guests with 4-level paging or none, not with two-level or PAE paging: use mmu=ept");
}

static void test_off(void **state)
{
    (void)state;
    start(false, 0);
    refused(
        "trace",
        "The mode cannot change: boot with mmu.switch=on, so that the guest has only what all modes have.");
}

// The guest goes on in the mode that it has.
static void test_no_memory(void **state)
{
    (void)state;
    start(true, 0);
    const struct p2m *p = &v->vm->p2m;
    u64 large = p->leaves[P2M_LEVEL_2M], tables = p->tables;
    mfn_t frame, one;
    assert_int_equal(frames_alloc(v->vm->frames, ORDER_4K, FRAME_MONITOR, &one), 0);
    while (!frames_alloc(v->vm->frames, ORDER_4K, FRAME_MONITOR, &frame))
        continue;
    frames_free(v->vm->frames, one, ORDER_4K); // for one table of many
    assert_null(mode_ask(v, "p2m.max=4k"));
    mode_exit();
    assert_int_equal(p->leaves[P2M_LEVEL_2M], large);
    assert_int_equal(p->tables, tables);
    assert_int_equal(frames_alloc(v->vm->frames, ORDER_4K, FRAME_MONITOR, &one), 0);
    assert_int_equal(v->vm->params->p2m_max, P2M_LEVEL_2M);
    assert_int_equal(v->vm->p2m.max_level, P2M_LEVEL_2M);
    assert_non_null(strstr(machine_log, "the mode does not change: no memory"));
    machine_log[0] = 0;
    assert_null(mode_ask(v, "trace"));
    mode_exit();
    assert_null(v->unsupported);
    assert_ptr_equal(v->mmu->ops, &ept_ops);
    assert_int_equal(v->vm->params->mmu, MMU_EPT);
    assert_non_null(strstr(machine_log, "the mode does not change: no memory"));
    fake_entry_check();
}

static void test_next(void **state)
{
    (void)state;
    static const char *const order[] = {"adaptive", "trace", "lazy", "eager"};
    start(true, 0);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
            assert_null(mode_ask_next(v));
            mode_exit();
            assert_ptr_equal(v->mmu->ops, &shadow_ops);
            char text[40];
            params_format(v->vm->params, PARAM_INDEX_shadow, text, sizeof(text));
            assert_string_equal(text + strlen("shadow="), order[i]);
        }
        assert_null(mode_ask_next(v));
        mode_exit();
        assert_ptr_equal(v->mmu->ops, &ept_ops);
    }
}

static void test_churn(void **state)
{
    (void)state;
    enum { PERIOD = 3, ROUNDS = 300 };
    start(true, PERIOD);
    assert_int_equal(v->vm->modes.count, MODES_CHURNED);
    u64 seen[MMU_MODES] = {0};
    for (unsigned i = 0; i < ROUNDS * PERIOD; i++) {
        v->cr3_unseen = true; // as after an exit
        mode_exit();
        assert_int_equal(v->vm->modes.changes, (i + 1) / PERIOD);
        if (v->refresh_controls)
            paging_refresh(v);
        fake_entry_check();
        reads(4 * MIB + i % 7 * PAGE_SIZE);
        seen[v->vm->params->mmu]++;
    }
    assert_true(seen[MMU_EPT] > 100 && seen[MMU_SHADOW] > 100);
}

static s64 call_of(u64 number, const char *words, u64 room)
{
    char text[200] = "";
    snprintf(text, sizeof(text), "%s", words);
    assert_int_equal(vm_ram_write(v->vm, BUFFER, text, sizeof(text)), 0);
    *vcpu_reg(v, GPR_RAX) = number;
    *vcpu_reg(v, GPR_RDI) = BUFFER;
    *vcpu_reg(v, GPR_RSI) = room;
    assert_int_equal(exit_vmcall(v), VERDICT_SKIP);
    return (s64)*vcpu_reg(v, GPR_RAX);
}

static s64 call(const char *words, u64 room)
{
    return call_of(PENUMBRA_SWITCH, words, room);
}

static void answered(const char *sentence)
{
    char text[200];
    assert_int_equal(vm_ram_read(v->vm, BUFFER, text, sizeof(text)), 0);
    assert_string_equal(text, sentence);
}

static void test_vmcall(void **state)
{
    (void)state;
    char long_words[100] = "vpid=on";
    start(true, 0);
    assert_int_equal(call("adaptive,vpid=off", 160), 0);
    assert_true(v->vm->modes.asked);
    mode_exit();
    assert_int_equal(v->vm->params->shadow, SHADOW_ADAPTIVE);
    assert_int_equal(call("audit=on", 160), PENUMBRA_ARGUMENT);
    answered("audit= cannot change while the guest runs: boot with it.");
    assert_int_equal(call("audit=on", 9), PENUMBRA_ARGUMENT); // no more room than it had
    answered("audit= c");
    while (strlen(long_words) < 64)
        strcat(long_words, ",vpid=on");
    assert_int_equal(call(long_words, 160), PENUMBRA_ARGUMENT);
    answered("A mode has at most 63 characters.");
    assert_int_equal(call("", 0), PENUMBRA_ARGUMENT);
    *vcpu_reg(v, GPR_RDI) = GIB - 1;
    assert_false(v->vm->modes.asked);
    v->vm->modes.now.now.mmu_switch = false;
    assert_int_equal(call("ept", 160), PENUMBRA_OFF);
}

// Asked for by a guest that may be too slow to leave it.
static void test_lasts(void **state)
{
    (void)state;
    enum { HZ = 1000000 };
    start(true, 0);
    v->vm->tsc_hz = HZ;
    machine_caps.exit.may |= EXIT_SAVE_PREEMPTION_TIMER;
    due_set(v, fake_tsc);
    *vcpu_reg(v, GPR_RDX) = 3;
    assert_int_equal(call("eager", 160), 0);
    mode_exit();
    u64 asked_at = v->vm->modes.asked_at;
    assert_in_range(fake_tsc - asked_at, 0, 10000);
    assert_in_range(v->due_from + v->due_after - asked_at, 3 * HZ, 3 * HZ + 10000);
    assert_true(v->timer_runs);
    mode_due(v, asked_at + HZ);
    assert_false(v->vm->modes.asked);
    due_set(v, asked_at + HZ);
    assert_int_equal(v->due_after, 2 * HZ);
    mode_due(v, asked_at + 3 * HZ);
    mode_exit();
    assert_ptr_equal(v->mmu->ops, &ept_ops);
    due_set(v, asked_at + 3 * HZ);
    assert_int_equal(v->due_after, ~0ull);
    assert_int_equal(call("eager", 160), 0);
    mode_exit();
    *vcpu_reg(v, GPR_RDX) = 0;
    assert_int_equal(call("trace", 160), 0); // it has left it itself
    mode_exit();
    mode_due(v, fake_tsc + 9 * HZ);
    assert_false(v->vm->modes.asked);
    assert_int_equal(v->vm->params->shadow, SHADOW_TRACE);
    *vcpu_reg(v, GPR_RDX) = ~0ull;
    assert_int_equal(call("lazy", 160), 0);
    assert_int_equal(v->back_wait, (u64)MODE_SECONDS_MAX * HZ);
}

// What is measured by turns is what its name says, whatever the mode was before; other words change the
// present mode.
static void test_turns(void **state)
{
    (void)state;
    static struct configurations turns = {.count = 2};
    char all[PARAMS_TEXT];
    start(true, 0);
    assert_int_equal(call_of(PENUMBRA_MODES, "", 160), PENUMBRA_OFF);
    static const char *const names[] = {"ept,vpid=off", "trace"};
    for (unsigned i = 0; i < turns.count; i++) {
        struct configuration *c = &turns.list[i];
        snprintf(c->name, sizeof(c->name), "%s", names[i]);
        c->params = v->vm->modes.now.asked;
        assert_int_equal(mode_read(&c->params, names[i], all, sizeof(all)), 0);
    }
    v->vm->modes.turns = &turns;
    assert_int_equal(call_of(PENUMBRA_MODES, "", 160), strlen("ept,vpid=off/trace"));
    answered("ept,vpid=off/trace");
    assert_int_equal(call_of(PENUMBRA_MODES, "0123456789", 5), strlen("ept,vpid=off/trace"));
    answered("ept,");
    assert_int_equal(call_of(PENUMBRA_MODES, "", 0), strlen("ept,vpid=off/trace"));
    for (unsigned round = 0; round < 2; round++) {
        asked("ept,vpid=off");
        assert_int_equal(v->vm->params->vpid, VPID_OFF);
        asked("trace");
        assert_int_equal(v->vm->params->vpid, VPID_ON);
        asked("vpid=off");
        assert_int_equal(v->vm->params->shadow, SHADOW_TRACE);
        asked("trace");
        assert_int_equal(v->vm->params->vpid, VPID_ON);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MACHINE_TEST(machine_setup, test_changes),     MACHINE_TEST(machine_setup, test_returns),
        MACHINE_TEST(machine_setup, test_flushes),     MACHINE_TEST(machine_setup, test_options),
        MACHINE_TEST(machine_setup, test_asked_again), MACHINE_TEST(machine_setup, test_pages),
        MACHINE_TEST(machine_setup, test_refused),     MACHINE_TEST(machine_setup, test_off),
        MACHINE_TEST(machine_setup, test_no_memory),   MACHINE_TEST(machine_setup, test_next),
        MACHINE_TEST(machine_setup, test_churn),       MACHINE_TEST(machine_setup, test_vmcall),
        MACHINE_TEST(machine_setup, test_lasts),       MACHINE_TEST(machine_setup, test_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
