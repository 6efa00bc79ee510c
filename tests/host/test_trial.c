// What the guest of a few instructions tells of a machine (hv/trial.c): on machines that deliver an interrupt
// and on those that lose it, in xAPIC and x2APIC mode, with NMIs and an INIT in between; and what an exit
// costs where it is cheap, dear, or disturbed. The guest itself, in arch/world.asm, runs in emulators only:
// here its exits are made up.

// link: MACHINE hv/trial.c hv/own_guest.c tests/host/fake_own_guest.c
#include "fake_own_guest.h"

#include <arch/cpu.h>
#include <arch/world.h>

#include "hv/exits/vmcs_setup.h"
#include "hv/own_guest.h"
#include "hv/trial.h"
#include "hv/vcpu/event.h"

#define SVR_ENABLED  BIT(8)
#define ICR_SELF     (1ull << 18)
#define REG_EOI      0xb0
#define REG_SVR      0xf0
#define REG_ICR      0x300
#define DELIVERED(n) (INFO_VALID | BIT(12) | INFO_TYPE(TYPE_INTERRUPT) | (n)) // bit 12 is undefined

// What is on the way to the guest: one for each entry, from the first on.
enum disturbance { NOTHING, NMI_IN_MONITOR, NMI_IN_GUEST, INIT, INTERRUPT };

static struct vcpu *v;
static struct {
    bool loses;      // the interrupt, for good
    u64 exit_cycles; // of an entry and the exit
    u64 disturbed;   // one entry in so many takes a million more; 0: none
    const u8 *disturbances;
    unsigned entries; // how many there were
    u8 vector;        // pending
} machine;

void vmcs_start_own(const u8 *code, u64 rflags)
{
    assert_int_equal(rflags & RFLAGS_IF, 0);
    vmcs_write(GUEST_RIP, (u64)code);
}

void vmx_nmi_unblock(void)
{
}

// Its registers send an interrupt to itself by the local APIC's page or its MSR.
static u8 sent_by(const struct gprs *regs)
{
    bool x2apic = v->vm->apic.hardware_x2apic;
    if (x2apic)
        assert_int_equal(regs->r[GPR_RCX], X2APIC_MSR(REG_ICR));
    assert_ptr_equal(regs->r[GPR_RDI], x2apic ? 0 : (u64)phys_ptr(GUEST_LAPIC_GPA + REG_ICR));
    assert_int_equal(regs->r[GPR_RAX] & ~0xffull, ICR_SELF);
    assert_int_equal(regs->r[GPR_RDX], 0);
    return (u8)regs->r[GPR_RAX];
}

// In service until the EOI is written; until then no other one comes.
static void exit_by_delivery(u8 vector)
{
    fake_exit(EXIT_EXCEPTION_OR_NMI);
    fake_vmcs_set(IDT_VECTORING_INFO, DELIVERED(vector));
    fake_apic_register_set(v, REG_EOI, 1);
}

// A machine that loses it runs on to the VMCALL.
static void guest_runs(const struct gprs *regs)
{
    u64 at = vmcs_read(GUEST_RIP);
    if (at == (u64)world_trial) {
        machine.vector = sent_by(regs);
        fake_exit(EXIT_CPUID);
    } else if (at == (u64)world_open && !machine.loses && !fake_apic_register(v, REG_EOI)) {
        exit_by_delivery(machine.vector);
        machine.vector = 0;
    } else {
        fake_exit(EXIT_VMCALL);
    }
}

enum world_result world_switch(struct world *w)
{
    enum disturbance disturbance = machine.disturbances ? machine.disturbances[machine.entries] : NOTHING;
    machine.entries++;
    if (fake_own_guest.nmis || disturbance == NMI_IN_MONITOR) {
        fake_own_guest.nmis = 1;
        return WORLD_NMI;
    }
    fake_tsc += machine.exit_cycles;
    if (machine.disturbed && machine.entries % machine.disturbed == 0)
        fake_tsc += 1000000;
    if (disturbance == NMI_IN_GUEST)
        fake_exit(EXIT_EXCEPTION_OR_NMI);
    else if (disturbance == INIT)
        fake_exit(EXIT_INIT_SIGNAL);
    else if (disturbance == INTERRUPT)
        exit_by_delivery(0xf1);
    else
        guest_runs(&w->regs);
    return WORLD_EXIT;
}

static void make(unsigned flags)
{
    v = machine_make(MACHINE_UNRESTRICTED | flags);
    memset(&machine, 0, sizeof(machine));
    fake_own_guest_reset();
    fake_msr_write_count = 0;
}

// What the next frames held before.
static void frames_dirty(void)
{
    mfn_t block;
    assert_int_equal(frames_alloc(v->vm->frames, 1, FRAME_MONITOR, &block), 0);
    memset(mfn_ptr(block), 0xff, 2 * PAGE_SIZE);
    frames_free(v->vm->frames, block, 1);
}

static const char *interrupts(void)
{
    u64 free = v->vm->frames->count[FRAME_FREE];
    const char *why = trial_interrupts(&v->vm->apic, &machine_caps, v->vm->frames);
    assert_int_equal(fake_own_guest.pin, 0);
    assert_int_equal(fake_own_guest.vmcs, 0);
    assert_int_equal(v->vm->frames->count[FRAME_FREE], free);
    assert_int_equal(fake_apic_register(v, REG_SVR) & SVR_ENABLED, 0);
    return why;
}

static void arrive(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags <= MACHINE_X2APIC; flags += MACHINE_X2APIC) {
        make(flags);
        frames_dirty();
        assert_null(interrupts());
        assert_int_equal(machine.vector, 0);
        assert_int_equal(fake_apic_register(v, REG_EOI), 0);
        machine_gone();
    }
}

static void are_lost(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags <= MACHINE_X2APIC; flags += MACHINE_X2APIC) {
        make(flags);
        machine.loses = true;
        assert_non_null(strstr(interrupts(), "did not arrive"));
        machine_gone();
    }
}

// Whatever comes in between: the interrupt is waited for, and nothing else is taken for it.
static void between(void **state)
{
    static const u8 some[] = {NMI_IN_MONITOR, NMI_IN_GUEST, NOTHING, NMI_IN_GUEST, INTERRUPT,
                              NMI_IN_MONITOR, INIT,         NOTHING, NOTHING};
    static u8 endless[4096];
    (void)state;
    for (unsigned loses = 0; loses < 2; loses++) {
        make(0);
        machine.loses = loses;
        machine.disturbances = some;
        assert_int_equal(interrupts() == NULL, !loses);
        machine_gone();
    }
    memset(endless, INIT, sizeof(endless));
    make(0);
    machine.disturbances = endless;
    assert_non_null(interrupts());
    machine_gone();
}

static u32 cost(u64 exit_cycles, u64 disturbed)
{
    u32 cycles = 1;
    make(0);
    machine.exit_cycles = exit_cycles;
    machine.disturbed = disturbed;
    assert_int_equal(trial_exit_cost(&machine_caps, v->vm->frames, &cycles), 0);
    assert_int_equal(fake_own_guest.vmcs, 0);
    machine_gone();
    return cycles;
}

// Readings of the TSC take 100 here, some for 64 exits.
static void costs(void **state)
{
    static const u64 real[] = {400, 1234, 2000, 10000, 60000};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(real); i++) {
        assert_in_range(cost(real[i], 0), real[i], real[i] + 3);
        assert_in_range(cost(real[i], 100), real[i], real[i] + 3); // not each batch is disturbed
    }
    assert_int_equal(cost(1, 0), 0);
    assert_int_equal(cost(55, 0), 0); // Bochs, where the TSC counts instructions
}

// An entry that an NMI prevents is none.
static void costs_with_nmis(void **state)
{
    static u8 often[4096];
    u32 cycles;
    (void)state;
    for (unsigned i = 0; i < sizeof(often); i += 3)
        often[i] = NMI_IN_MONITOR;
    make(0);
    machine.exit_cycles = 1234;
    machine.disturbances = often;
    assert_int_equal(trial_exit_cost(&machine_caps, v->vm->frames, &cycles), 0);
    assert_in_range(cycles, 1234, 1237);
    machine_gone();
}

static void no_memory(void **state)
{
    mfn_t taken;
    u32 cycles;
    (void)state;
    make(0);
    while (!frames_alloc(v->vm->frames, ORDER_4K, FRAME_MONITOR, &taken))
        ;
    assert_int_equal(trial_exit_cost(&machine_caps, v->vm->frames, &cycles), ERR_NOMEM);
    assert_non_null(interrupts());
    frames_free(v->vm->frames, taken, ORDER_4K); // one of the two
    fake_own_guest.vmcs = 0;
    assert_int_equal(own_guest_make(&(struct own_guest){0}, &machine_caps, v->vm->frames, 0), ERR_NOMEM);
    assert_int_equal(v->vm->frames->count[FRAME_FREE], 1);
    machine_gone();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrive), cmocka_unit_test(are_lost),        cmocka_unit_test(between),
        cmocka_unit_test(costs),  cmocka_unit_test(costs_with_nmis), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
