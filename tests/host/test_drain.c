// What a guest has left pending does not reach the next one (hv/drain.c): interrupts, an INIT, NMIs, before
// the first entry of the monitor's own guest, between two, and after its last exit. The processor is a model
// of what is pending in it.

// link: MACHINE hv/drain.c hv/own_guest.c tests/host/fake_own_guest.c
#include "fake_own_guest.h"

#include <arch/console.h>
#include <arch/cpu.h>
#include <arch/world.h>

#include "hv/drain.h"
#include "hv/exits/vmcs_setup.h"
#include "hv/own_guest.h"
#include "hv/vcpu/event.h"

#define REG_EOI     0xb0
#define REG_SVR     0xf0
#define REG_ICR     0x300
#define SVR_ENABLED BIT(8)

static struct vcpu *v;
static struct {
    bool interrupt[256]; // pending; while another one is in service REG_EOI is 1
    bool init, nmi;      // pending
    bool nmis_blocked;   // in root mode, by an NMI exit
    bool init_stays, nmi_before_entry, nmi_in_root;
    unsigned entries;
    bool console_on, input; // the console's interrupt, and its reason
    bool looks;             // KVM: an interrupt came to the monitor, so that it looks for them at each entry
} machine;

static void nmi_arrives(void)
{
    if (machine.nmis_blocked)
        machine.nmi = true;
    else
        fake_own_guest.nmis++;
}

void vmcs_start_own(const u8 *code, u64 rflags)
{
    assert_ptr_equal(code, world_idle);
    assert_int_equal(rflags & RFLAGS_IF, RFLAGS_IF);
    if (machine.nmi_before_entry)
        nmi_arrives();
    machine.nmi_before_entry = false;
}

void vmx_nmi_unblock(void)
{
    machine.nmis_blocked = false;
    if (machine.nmi)
        fake_own_guest.nmis++;
    machine.nmi = false;
}

// One that is switched on with input there raises its interrupt, which is an NMI.
void console_interrupt(bool on)
{
    if (on && !machine.console_on && machine.input)
        nmi_arrives();
    machine.console_on = on;
}

// What the monitor has sent itself since the last entry.
static void take_own(void)
{
    u8 vector = (u8)fake_apic_register(v, REG_ICR);
    if (!vector || !(fake_apic_register(v, REG_SVR) & SVR_ENABLED))
        return;
    machine.interrupt[vector] = machine.looks = true;
    fake_apic_register_set(v, REG_ICR, 0);
}

static int next_interrupt(void)
{
    int vector = 255;
    take_own();
    if (!(fake_apic_register(v, REG_SVR) & SVR_ENABLED) || fake_apic_register(v, REG_EOI) || !machine.looks)
        return -1;
    while (vector >= 0 && !machine.interrupt[vector])
        vector--;
    return vector;
}

static u64 exit_now(void)
{
    int vector = next_interrupt();
    if (machine.init) {
        machine.init = machine.init_stays;
        return EXIT_INIT_SIGNAL;
    }
    if (machine.nmi) {
        machine.nmi = false;
        machine.nmis_blocked = true;
        return EXIT_EXCEPTION_OR_NMI;
    }
    if (vector < 0)
        return EXIT_VMCALL;
    machine.interrupt[vector] = false;
    fake_apic_register_set(v, REG_EOI, 1);
    return EXIT_EXTERNAL_INTERRUPT;
}

enum world_result world_switch(struct world *w)
{
    (void)w;
    if (fake_own_guest.nmis)
        return WORLD_NMI;
    assert_int_equal(fake_own_guest.pin, PIN_EXTERNAL_INTERRUPT_EXITING);
    machine.entries++;
    fake_msr_write_count = 0; // 256 EOIs an interrupt
    u64 reason = exit_now();
    fake_exit(reason);
    fake_vmcs_set(EXIT_INTERRUPTION_INFO, INFO_VALID | INFO_TYPE(TYPE_NMI) | VECTOR_NMI);
    if (machine.nmi_in_root)
        nmi_arrives();
    return WORLD_EXIT;
}

static void make(unsigned flags)
{
    v = machine_make(MACHINE_UNRESTRICTED | flags);
    memset(&machine, 0, sizeof(machine));
    fake_own_guest_reset();
    machine.console_on = true;
}

static const char *drain(void)
{
    u64 free = v->vm->frames->count[FRAME_FREE];
    const char *why = drain_pending(&v->vm->apic, &machine_caps, v->vm->frames);
    assert_int_equal(fake_own_guest.vmcs, 0);
    assert_int_equal(v->vm->frames->count[FRAME_FREE], free);
    assert_int_equal(fake_apic_register(v, REG_SVR) & SVR_ENABLED, 0);
    assert_true(machine.console_on);
    return why;
}

static void assert_clean(void)
{
    for (unsigned vector = 0; vector < 256; vector++)
        assert_false(machine.interrupt[vector]);
    assert_int_equal(fake_apic_register(v, REG_EOI), 0);
    assert_false(machine.init || machine.nmi || machine.nmis_blocked);
    assert_int_equal(fake_own_guest.nmis, 0);
}

static void nothing(void **state)
{
    (void)state;
    make(0);
    assert_null(drain());
    assert_int_equal(machine.entries, 2); // the monitor's own interrupt
    assert_clean();
    machine_gone();
}

static void everything(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags <= MACHINE_X2APIC; flags += MACHINE_X2APIC) {
        make(flags);
        for (unsigned vector = 16; vector < 256; vector++)
            machine.interrupt[vector] = true;
        machine.init = machine.nmi = machine.nmi_before_entry = true;
        fake_own_guest.nmis = 1;
        assert_null(drain());
        assert_clean();
        machine_gone();
    }
}

// NMIs in root mode, at each exit: the last one after the guest's VMCALL. One that comes while another one
// blocks it comes when that one ends.
static void nmis_in_root(void **state)
{
    (void)state;
    make(0);
    machine.init = machine.nmi = machine.interrupt[0x41] = true;
    machine.nmi_in_root = true;
    assert_null(drain());
    assert_clean();
    assert_int_equal(machine.entries, 5);
    machine_gone();
}

// The console's NMI is taken with the others; while it has input it has another one.
static void console(void **state)
{
    (void)state;
    make(0);
    fake_own_guest.nmis = 1;
    machine.input = true;
    assert_null(drain());
    assert_int_equal(fake_own_guest.nmis, 1);
    machine_gone();
}

// As in Bochs 2.7.
static void does_not_end(void **state)
{
    (void)state;
    make(0);
    machine.init = machine.init_stays = true;
    assert_non_null(strstr(drain(), "do not stop coming"));
    assert_in_range(machine.entries, 500, 5000);
    machine_gone();
}

static void no_memory(void **state)
{
    mfn_t taken;
    (void)state;
    make(0);
    while (!frames_alloc(v->vm->frames, ORDER_4K, FRAME_MONITOR, &taken))
        ;
    assert_ptr_equal(drain_pending(&v->vm->apic, &machine_caps, v->vm->frames), own_guest_no_memory);
    assert_int_equal(machine.entries, 0);
    machine_gone();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing), cmocka_unit_test(everything),   cmocka_unit_test(nmis_in_root),
        cmocka_unit_test(console), cmocka_unit_test(does_not_end), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
