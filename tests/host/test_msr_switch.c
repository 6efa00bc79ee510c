// The MSRs that are switched at VM entry and exit, for every combination of the controls that switch them:
// each by its controls or by the lists, never by neither or half. The processor's part is played from the
// SDM's text (vol. 3, 27.4 and 28.4 to 28.6): what guest and monitor find in their MSRs is what counts.

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>
#include <arch/io.h>

#include "hv/vcpu/event.h"
#include "hv/vcpu/msr_bitmap.h"

#define MONITOR_EFER (EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE)
#define MONITOR_PAT  0x0007040600070406ull
#define POISON       0xdeadull
#define COUNTERS     0x700000003ull

static const u32 exit_bits[] = {EXIT_SAVE_PAT, EXIT_LOAD_PAT, EXIT_SAVE_EFER, EXIT_LOAD_EFER,
                                EXIT_LOAD_PERF_CTRL};
static const u32 entry_bits[] = {ENTRY_LOAD_PAT, ENTRY_LOAD_EFER, ENTRY_LOAD_PERF_CTRL};
#define COMBINATIONS 256u // of these eight

static struct vmx_caps processor_caps(unsigned combination)
{
    struct vmx_caps caps = {.entry = {0, ENTRY_IA32E_GUEST}, .exit = {0, EXIT_HOST_64BIT}};
    for (unsigned i = 0; i < ARRAY_SIZE(exit_bits); i++)
        caps.exit.may |= combination & 1 << i ? exit_bits[i] : 0;
    for (unsigned i = 0; i < ARRAY_SIZE(entry_bits); i++)
        caps.entry.may |= combination & 32 << i ? entry_bits[i] : 0;
    return caps;
}

static bool has_field(const struct vmx_caps *caps, enum vmcs_field field)
{
    switch (field) { // SDM vol. 3, appendix B.2
    case GUEST_IA32_PAT:
        return caps->entry.may & ENTRY_LOAD_PAT || caps->exit.may & EXIT_SAVE_PAT;
    case GUEST_IA32_EFER:
        return caps->entry.may & ENTRY_LOAD_EFER || caps->exit.may & EXIT_SAVE_EFER;
    case GUEST_IA32_PERF_GLOBAL_CTRL:
        return caps->entry.may & ENTRY_LOAD_PERF_CTRL;
    case HOST_IA32_PERF_GLOBAL_CTRL:
        return caps->exit.may & EXIT_LOAD_PERF_CTRL;
    case HOST_IA32_PAT:
        return caps->exit.may & EXIT_LOAD_PAT;
    default:
        return caps->exit.may & EXIT_LOAD_EFER;
    }
}

static const enum vmcs_field fields[] = {GUEST_IA32_PAT,
                                         GUEST_IA32_EFER,
                                         HOST_IA32_PAT,
                                         HOST_IA32_EFER,
                                         GUEST_IA32_PERF_GLOBAL_CTRL,
                                         HOST_IA32_PERF_GLOBAL_CTRL};

static void load_list(u64 hpa, u64 count)
{
    assert_int_equal(hpa % 16, 0);
    const struct msr_entry *list = phys_ptr(hpa);
    for (u64 i = 0; i < count; i++) {
        assert_int_equal(list[i].reserved, 0);
        wrmsr(list[i].index, list[i].value);
    }
}

static void vm_entry(u32 controls)
{
    if (controls & ENTRY_LOAD_PAT)
        wrmsr(IA32_PAT, vmcs_read(GUEST_IA32_PAT));
    if (controls & ENTRY_LOAD_EFER)
        wrmsr(IA32_EFER, vmcs_read(GUEST_IA32_EFER));
    if (controls & ENTRY_LOAD_PERF_CTRL)
        wrmsr(IA32_PERF_GLOBAL_CTRL, vmcs_read(GUEST_IA32_PERF_GLOBAL_CTRL));
    load_list(vmcs_read(ENTRY_MSR_LOAD_ADDRESS), vmcs_read(ENTRY_MSR_LOAD_COUNT));
}

static void vm_exit(u32 controls)
{
    if (controls & EXIT_SAVE_PAT)
        vmcs_write(GUEST_IA32_PAT, rdmsr(IA32_PAT));
    if (controls & EXIT_SAVE_EFER)
        vmcs_write(GUEST_IA32_EFER, rdmsr(IA32_EFER));
    assert_int_equal(vmcs_read(EXIT_MSR_STORE_COUNT), 0);
    if (controls & EXIT_LOAD_PAT)
        wrmsr(IA32_PAT, vmcs_read(HOST_IA32_PAT));
    if (controls & EXIT_LOAD_EFER)
        wrmsr(IA32_EFER, vmcs_read(HOST_IA32_EFER));
    if (controls & EXIT_LOAD_PERF_CTRL)
        wrmsr(IA32_PERF_GLOBAL_CTRL, vmcs_read(HOST_IA32_PERF_GLOBAL_CTRL));
    load_list(vmcs_read(EXIT_MSR_LOAD_ADDRESS), vmcs_read(EXIT_MSR_LOAD_COUNT));
}

// A round: the monitor finds its own values after every exit, the guest the last that were set for it. Where
// nothing is counted, IA32_PERF_GLOBAL_CTRL does not exist, and touching it fails.
static void switch_often(struct msr_switch *m, bool counting)
{
    u64 efer = EFER_LME | EFER_LMA, pat = 0;
    if (counting)
        msr_switch_set(m, SWITCHED_PERF_CTRL, COUNTERS);
    for (unsigned i = 0; i < 50; i++) {
        if (random_u64() & 1)
            msr_switch_set(m, SWITCHED_EFER, efer = EFER_LME | EFER_LMA | (random_u64() & EFER_NXE));
        if (random_u64() & 1 || !i)
            msr_switch_set(m, SWITCHED_PAT, pat = random_below(8) * 0x0101010101010101ull);
        if (!i)
            msr_switch_set(m, SWITCHED_EFER, efer);
        vm_entry(m->entry_controls);
        assert_int_equal(fake_msr(IA32_EFER), efer);
        assert_int_equal(fake_msr(IA32_PAT), pat);
        assert_true(!counting || fake_msr(IA32_PERF_GLOBAL_CTRL) == COUNTERS);
        if (!m->listed[SWITCHED_PAT] && random_u64() & 1)
            wrmsr(IA32_PAT, pat = random_below(8)); // without an exit
        fake_msr_write_count = 0;
        vm_exit(m->exit_controls);
        assert_int_equal(fake_msr(IA32_EFER), MONITOR_EFER);
        assert_int_equal(fake_msr(IA32_PAT), MONITOR_PAT);
        assert_true(!counting || fake_msr(IA32_PERF_GLOBAL_CTRL) == 0);
    }
}

static void every_combination(bool counting)
{
    for (unsigned combination = 0; combination < COMBINATIONS; combination++) {
        struct vmx_caps caps = processor_caps(combination);
        struct msr_switch m;
        for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
            vmcs_write(fields[i], POISON);
        fake_msr_set(IA32_EFER, MONITOR_EFER);
        fake_msr_set(IA32_PAT, MONITOR_PAT);
        if (counting)
            fake_msr_set(IA32_PERF_GLOBAL_CTRL, 0);
        msr_switch_make(&m, &caps, counting, phys_ptr(MIB));
        assert_int_equal(m.entry_controls & ~caps.entry.may, 0);
        assert_int_equal(m.exit_controls & ~caps.exit.may, 0);
        msr_switch_setup(&m);
        switch_often(&m, counting);
        for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
            assert_true(has_field(&caps, fields[i]) || vmcs_read(fields[i]) == POISON);
    }
}

static void every_processor(void **state)
{
    (void)state;
    random_start();
    machine_make(0); // for its memory
    every_combination(false);
    every_combination(true);
    machine_gone();
}

static enum verdict write_pat(struct vcpu *v, u64 value)
{
    *vcpu_reg(v, GPR_RCX) = IA32_PAT;
    *vcpu_reg(v, GPR_RAX) = (u32)value;
    *vcpu_reg(v, GPR_RDX) = value >> 32;
    return exit_wrmsr(v);
}

// The guest's write of a listed IA32_PAT: the values that the SDM allows (vol. 3, table 12-10), and no
// others.
static void guest_writes_pat(void **state)
{
    (void)state;
    struct vcpu *v = machine_make(0);
    struct msr_switch *m = &v->vm->msr_switch;
    struct vmx_caps caps = processor_caps(0);
    msr_switch_make(m, &caps, false, phys_ptr(MIB));
    machine_start_64(v);
    for (unsigned byte = 0; byte < 8; byte++) {
        for (u64 type = 0; type < 256; type++) {
            bool legal = type < 8 && type != 2 && type != 3;
            msr_switch_set(m, SWITCHED_PAT, MONITOR_PAT);
            u64 value = (MONITOR_PAT & ~(0xffull << 8 * byte)) | type << 8 * byte;
            assert_int_equal(write_pat(v, value), legal ? VERDICT_SKIP : VERDICT_FAULT);
            assert_int_equal(m->guest[1].value, legal ? value : MONITOR_PAT);
        }
    }
    machine_gone();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_processor),
        cmocka_unit_test(guest_writes_pat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
