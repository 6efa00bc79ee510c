// Events for the guest: injection, delivery again after an exit that interrupted it, NMIs and their window.
// SDM vol. 3, 25.8.3, 25.9.3, 27.3.1.5.

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>

#include "hv/event.h"

#define VALID       BIT(31)
#define ERROR_CODE  BIT(11)
#define TYPE(t)     ((u64)(t) << 8)
#define UNDEFINED12 BIT(12)
enum { EXTERNAL, NMI = 2, HARDWARE_EXCEPTION, SOFTWARE_INTERRUPT, PRIVILEGED_EXCEPTION, SOFTWARE_EXCEPTION };

#define BLOCKING_NMI BIT(3)

static struct vcpu *v;

static int setup(void **state)
{
    (void)state;
    v = machine_make(MACHINE_UNRESTRICTED);
    machine_start_64(v);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    machine_gone();
    return 0;
}

static void exceptions(void **state)
{
    (void)state;
    for (unsigned vector = 0; vector < 32; vector++) {
        // SDM vol. 3, table 6-1
        bool has_code = vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
        vmcs_write(ENTRY_EXCEPTION_ERROR_CODE, 0);
        assert_int_equal(event_exception(v, vector, 0x18), VERDICT_FAULT);
        u64 code = has_code ? ERROR_CODE : 0;
        assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO),
                         VALID | TYPE(HARDWARE_EXCEPTION) | code | vector);
        assert_int_equal(vmcs_read(ENTRY_EXCEPTION_ERROR_CODE), has_code ? 0x18 : 0);
    }
    assert_int_equal(event_gp(v), VERDICT_FAULT);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO) & 0xff, 13);
    assert_int_equal(vmcs_read(ENTRY_EXCEPTION_ERROR_CODE), 0);
    assert_int_equal(event_pf(v, 0xffff800000001234, 2), VERDICT_FAULT);
    assert_int_equal(fake_cr2, 0xffff800000001234);
    assert_int_equal(vmcs_read(ENTRY_EXCEPTION_ERROR_CODE), 2);
    event_cancel(v);
    assert_false(vmcs_read(ENTRY_INTERRUPTION_INFO) & VALID);
}

// Whatever was being delivered comes again, with all that the entry wants to know of it.
static void redelivery(void **state)
{
    (void)state;
    static const u64 types[] = {
        EXTERNAL, NMI, HARDWARE_EXCEPTION, SOFTWARE_INTERRUPT, PRIVILEGED_EXCEPTION, SOFTWARE_EXCEPTION};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        bool has_code = types[i] == HARDWARE_EXCEPTION;
        bool has_length = types[i] >= SOFTWARE_INTERRUPT;
        u64 info = VALID | TYPE(types[i]) | (has_code ? ERROR_CODE : 0) | (types[i] == NMI ? 2 : 14);
        fake_vmcs_set(IDT_VECTORING_INFO, info | UNDEFINED12);
        fake_vmcs_set(IDT_VECTORING_ERROR_CODE, 0x1234);
        fake_vmcs_set(EXIT_INSTRUCTION_LENGTH, 2);
        vmcs_write(ENTRY_INSTRUCTION_LENGTH, 0);
        vmcs_write(ENTRY_EXCEPTION_ERROR_CODE, 0);
        vmcs_write(GUEST_INTERRUPTIBILITY, BLOCKING_NMI);
        assert_true(event_redeliver(v));
        assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), info);
        assert_int_equal(vmcs_read(ENTRY_EXCEPTION_ERROR_CODE), has_code ? 0x1234 : 0);
        assert_int_equal(vmcs_read(ENTRY_INSTRUCTION_LENGTH), has_length ? 2 : 0);
        // An NMI cannot be injected while NMIs are blocked.
        assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), types[i] == NMI ? 0 : BLOCKING_NMI);
    }
    vmcs_write(ENTRY_INTERRUPTION_INFO, 0);
    fake_vmcs_set(IDT_VECTORING_INFO, TYPE(HARDWARE_EXCEPTION) | 14); // not valid
    assert_false(event_redeliver(v));
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), 0);
}

static bool window_open(void)
{
    return vmcs_read(PROCESSOR_BASED_CONTROLS) & PROC_NMI_WINDOW_EXITING;
}

static void nmi_at_once(void **state)
{
    (void)state;
    event_nmi(v);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), VALID | TYPE(NMI) | 2);
    assert_false(window_open());
    assert_false(v->nmi_pending);
}

// Blocked in any way, or something else is to be delivered: the NMI waits for the window, once.
static void nmi_waits(void **state)
{
    (void)state;
    static const u64 blocking[] = {BLOCKING_STI, BLOCKING_MOV_SS, BLOCKING_NMI, 0};
    u64 controls = vmcs_read(PROCESSOR_BASED_CONTROLS);
    for (size_t i = 0; i < ARRAY_SIZE(blocking); i++) {
        u64 other = blocking[i] ? 0 : VALID | TYPE(EXTERNAL) | 0x30;
        vmcs_write(GUEST_INTERRUPTIBILITY, blocking[i]);
        vmcs_write(ENTRY_INTERRUPTION_INFO, other);
        event_nmi(v);
        event_nmi(v); // a second one while the first waits is the same one
        assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), other);
        assert_true(window_open());
        vmcs_write(GUEST_INTERRUPTIBILITY, 0);
        vmcs_write(ENTRY_INTERRUPTION_INFO, 0); // the processor clears the valid bit on each exit
        assert_int_equal(exit_nmi_window(v), VERDICT_RESUME);
        assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), VALID | TYPE(NMI) | 2);
        assert_false(window_open());
        assert_int_equal(vmcs_read(PROCESSOR_BASED_CONTROLS), controls);
        vmcs_write(ENTRY_INTERRUPTION_INFO, 0);
        assert_int_equal(exit_nmi_window(v), VERDICT_RESUME);
        assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), 0);
    }
}

static void after_an_instruction(void **state)
{
    (void)state;
    vmcs_write(GUEST_INTERRUPTIBILITY, BLOCKING_STI | BLOCKING_NMI);
    event_instruction_done(v, vmcs_read(GUEST_RFLAGS));
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), BLOCKING_NMI);
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_TF);
    vmcs_write(GUEST_INTERRUPTIBILITY, BLOCKING_MOV_SS);
    event_instruction_done(v, vmcs_read(GUEST_RFLAGS));
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), 0);
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), BIT(14));
}

// IA32_DEBUGCTL.BTF makes TF trap after branches only, which no completed instruction is (SDM vol.
// 3, 18.2.3.3).
static void no_single_step_with_btf(void **state)
{
    (void)state;
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_TF);
    vmcs_write(GUEST_IA32_DEBUGCTL, BIT(1));
    event_instruction_done(v, vmcs_read(GUEST_RFLAGS));
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exceptions), TEST(redelivery),           TEST(nmi_at_once),
        TEST(nmi_waits),  TEST(after_an_instruction), TEST(no_single_step_with_btf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
