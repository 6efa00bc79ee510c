// Machine checks while a guest runs, from the entry to its end: the run loop and the dispatcher as they are,
// and in place of the world switch an entry that comes back with what a test wants.

// link: MACHINE hv/exits/exit.c hv/exits/fault.c hv/exits/nmi.c hv/insn/insn_cache.c hv/vcpu/dump_vmcs.c
#include "fake_machine.h"

#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/mca.h>
#include <arch/traps.h>

#include "hv/exits/keys.h"

#define STATUS  0xbe00000000010091ull // valid, uncorrected, enabled, with address and misc, state corrupt
#define MC_EXIT 0x80000312ull         // valid, hardware exception, #MC
#define FAILURE 0x80000029ull         // VM-entry failure due to a machine-check event
#define BANKS   8

static struct vcpu *v;
static unsigned entries;
static u64 reason, info;

enum world_result world_switch(struct world *world)
{
    (void)world;
    entries++;
    assert_true(vmcs_read(EXCEPTION_BITMAP) & BIT(VECTOR_MC));
    assert_true(vmcs_read(GUEST_CR4) & CR4_MCE);
    fake_vmcs_set(EXIT_REASON, reason);
    fake_vmcs_set(EXIT_INTERRUPTION_INFO, info);
    fake_vmcs_set(IDT_VECTORING_INFO, 0);
    return WORLD_EXIT;
}

u64 world_nmi_take(void)
{
    return 0;
}

void vmx_nmi_unblock(void)
{
    fail_msg("a machine check is no NMI");
}

void console_interrupt(bool on)
{
    (void)on;
    fail_msg("a machine check is no input");
}

enum verdict keys_read(struct vcpu *vcpu, bool *any)
{
    (void)vcpu;
    *any = false;
    return VERDICT_RESUME;
}

static struct cpuid with_mca(u32 leaf, u32 subleaf)
{
    (void)subleaf;
    return (struct cpuid){0, 0, 0, leaf == 1 ? BIT(14) : 0};
}

static int setup(void **state)
{
    machine_setup(state);
    fake_cpuid = with_mca;
    fake_msr_set(IA32_MCG_CAP, BANKS);
    fake_msr_set(IA32_MCG_STATUS, 5);
    for (u32 msr = IA32_MC0_CTL; msr < IA32_MC0_CTL + 4 * BANKS; msr++)
        fake_msr_set(msr, 0);
    entries = 0;
    return 0;
}

static void bank_7(void)
{
    fake_msr_set(IA32_MC0_CTL + 4 * 7 + 1, STATUS);
    fake_msr_set(IA32_MC0_CTL + 4 * 7 + 2, 0x12345000);
}

static void ends(const char *why)
{
    vcpu_run(v);
    assert_int_equal(entries, 1);
    assert_true(v->vm->failed && v->vm->machine_check && !v->vm->says_where);
    assert_string_equal(v->vm->end, why);
    assert_int_equal(fake_msr(IA32_MCG_STATUS), 0);
}

static void in_the_guest(void **state)
{
    (void)state;
    reason = EXIT_EXCEPTION_OR_NMI;
    info = MC_EXIT;
    bank_7();
    ends(
        "hardware: machine check (memory controller error, IA32_MCG_STATUS 0x5): no number of this run counts");
    assert_string_equal(
        machine_log,
        "hardware: machine check, processor with local APIC ID 7, bank 7: memory controller error, uncorrected, processor state corrupt; status 0xbe00000000010091, address 0x12345000, misc 0x0");
}

static void on_the_way_in(void **state)
{
    (void)state;
    reason = FAILURE;
    info = 0;
    bank_7();
    ends(
        "hardware: machine check (memory controller error, IA32_MCG_STATUS 0x5): no number of this run counts");
}

// It came from another processor.
static void without_a_reason(void **state)
{
    (void)state;
    reason = EXIT_EXCEPTION_OR_NMI;
    info = MC_EXIT;
    ends(
        "hardware: machine check (no bank of this processor says why, IA32_MCG_STATUS 0x5): no number of this run counts");
}

// The guest's own architecture has no banks, and its writes of CR4.MCE stay what it sees.
static void what_the_guest_sees(void **state)
{
    (void)state;
    static const u32 msrs[] = {IA32_MCG_CAP, IA32_MCG_STATUS};
    bank_7();
    for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
        *vcpu_reg(v, GPR_RCX) = msrs[i];
        *vcpu_reg(v, GPR_RAX) = 1;
        assert_int_equal(exit_rdmsr(v), VERDICT_SKIP);
        assert_int_equal(*vcpu_reg(v, GPR_RAX), 0);
    }
    *vcpu_reg(v, GPR_RCX) = IA32_MC0_CTL;
    assert_int_equal(exit_rdmsr(v), VERDICT_FAULT);
    vmcs_write(ENTRY_INTERRUPTION_INFO, 0);
    for (unsigned on = 0; on < 2; on++) {
        *vcpu_reg(v, GPR_RAX) = CR4_PAE | (on ? CR4_MCE : 0);
        fake_vmcs_set(EXIT_QUALIFICATION, 4);
        assert_int_equal(exit_cr_access(v), VERDICT_SKIP);
        assert_int_equal(vmcs_read(CR4_READ_SHADOW) & CR4_MCE, on ? CR4_MCE : 0);
        assert_true(vmcs_read(CR4_MASK) & vmcs_read(GUEST_CR4) & CR4_MCE);
    }
}

#define TEST(f) MACHINE_TEST(setup, f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(in_the_guest),
        TEST(on_the_way_in),
        TEST(without_a_reason),
        TEST(what_the_guest_sees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
