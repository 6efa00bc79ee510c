// Events for the guest: injection, delivery again after an exit that interrupted it, NMIs and their window.
// SDM vol. 3, 25.8.3, 25.9.3, 27.3.1.5.

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>

#include "hv/devices/legacy.h"
#include "hv/vcpu/event.h"

#define VALID       BIT(31)
#define ERROR_CODE  BIT(11)
#define TYPE(t)     ((u64)(t) << 8)
#define UNDEFINED12 BIT(12)
enum { EXTERNAL, NMI = 2, HARDWARE_EXCEPTION, SOFTWARE_INTERRUPT, PRIVILEGED_EXCEPTION, SOFTWARE_EXCEPTION };

#define BLOCKING_NMI BIT(3)

static struct vcpu *v;

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
}

// A fault's frame has RF; without CR0.PE there is no error code; what STI, MOV SS and HLT would make VM entry
// refuse is over.
static void what_entry_wants(void **state)
{
    (void)state;
    static const u64 blocking[] = {BLOCKING_STI, BLOCKING_MOV_SS, BLOCKING_NMI};
    for (size_t i = 0; i < ARRAY_SIZE(blocking); i++) {
        vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF | RFLAGS_TF);
        vmcs_write(GUEST_INTERRUPTIBILITY, blocking[i]);
        event_gp(v);
        fake_entry_check();
        assert_int_equal(vmcs_read(GUEST_RFLAGS), RFLAGS_FIXED | RFLAGS_IF | RFLAGS_TF | RFLAGS_RF);
        assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), blocking[i] & BLOCKING_NMI);
    }
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED);
    vmcs_write(GUEST_ACTIVITY_STATE, 1); // an interrupt ends HLT, and its delivery faults
    v->delivering = true;
    event_pf(v, 0, 0);
    fake_entry_check();
    vmcs_write(GUEST_CR0, vmcs_read(GUEST_CR0) & ~(CR0_PE | CR0_PG));
    for (unsigned vector = 0; vector < 32; vector++) {
        event_exception(v, vector, 0x18);
        assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), VALID | TYPE(HARDWARE_EXCEPTION) | vector);
        fake_entry_check();
    }
}

// After a #PF exit RF is that of the #PF's frame; after an EPT violation it is right already.
static void rf_of_what_comes_again(void **state)
{
    (void)state;
    static const struct {
        u64 info;
        bool fault;
    } events[] = {{TYPE(EXTERNAL) | 0x30, false},         {TYPE(NMI) | 2, false},
                  {TYPE(HARDWARE_EXCEPTION) | 1, false},  {TYPE(HARDWARE_EXCEPTION) | 6, true},
                  {TYPE(SOFTWARE_INTERRUPT) | 14, false}, {TYPE(SOFTWARE_EXCEPTION) | 3, false}};
    fake_vmcs_set(EXIT_INSTRUCTION_LENGTH, 2);
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        fake_vmcs_set(IDT_VECTORING_INFO, VALID | events[i].info);
        vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF | RFLAGS_RF);
        v->exit_reason = EXIT_EPT_VIOLATION;
        event_redeliver(v);
        assert_true(vmcs_read(GUEST_RFLAGS) & RFLAGS_RF);
        v->exit_reason = EXIT_EXCEPTION_OR_NMI;
        event_redeliver(v);
        assert_int_equal(!!(vmcs_read(GUEST_RFLAGS) & RFLAGS_RF), events[i].fault);
        fake_entry_check();
    }
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

// The window of a processor that opens it behind STI; it may still refuse an NMI while STI blocks.
static void window_behind_sti(void **state)
{
    (void)state;
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
    vmcs_write(GUEST_INTERRUPTIBILITY, BLOCKING_STI);
    event_nmi(v);
    assert_int_equal(exit_nmi_window(v), VERDICT_RESUME);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), VALID | TYPE(NMI) | 2);
    fake_entry_check();
}

static bool interrupt_window_open(void)
{
    return vmcs_read(PROCESSOR_BASED_CONTROLS) & PROC_INTERRUPT_WINDOW_EXITING;
}

// As the processor leaves it when it has delivered an NMI without virtual NMIs: only the monitor unblocks
// them.
static void nmi_delivered(void)
{
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), VALID | TYPE(NMI) | 2);
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY) & BLOCKING_NMI, 0);
    fake_entry_check();
    vmcs_write(ENTRY_INTERRUPTION_INFO, 0);
    vmcs_write(GUEST_INTERRUPTIBILITY, BLOCKING_NMI);
}

// The controls that belong to virtual NMIs are never used, or VM entry fails (SDM vol. 3, 27.2.1.1). The
// window is open from an NMI to the exit at which the guest takes interrupts.
static void without_virtual_nmis(void **state)
{
    (void)state;
    machine_caps.pin.may &= ~(u32)PIN_VIRTUAL_NMIS;
    u64 controls = vmcs_read(PROCESSOR_BASED_CONTROLS);
    event_nmi(v);
    assert_true(interrupt_window_open());
    nmi_delivered();
    event_nmi(v); // while the first is handled
    event_nmi(v);
    assert_false(vmcs_read(ENTRY_INTERRUPTION_INFO) & VALID);
    event_interrupt_window(v, false); // nobody else waits for it
    assert_true(interrupt_window_open());
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
    assert_int_equal(exit_interrupt_window(v), VERDICT_RESUME);
    assert_true(interrupt_window_open());
    nmi_delivered();
    assert_int_equal(exit_interrupt_window(v), VERDICT_RESUME);
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), 0); // the machine's own NMIs come through
    assert_false(vmcs_read(ENTRY_INTERRUPTION_INFO) & VALID);
    assert_int_equal(vmcs_read(PROCESSOR_BASED_CONTROLS), controls);
    assert_false(window_open());
    event_block_nmis(v); // bit 12 of the information on the exit means nothing
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), 0);
}

static void nmi_waits_without_virtual_nmis(void **state)
{
    (void)state;
    machine_caps.pin.may &= ~(u32)PIN_VIRTUAL_NMIS;
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
    vmcs_write(GUEST_INTERRUPTIBILITY, BLOCKING_STI);
    event_nmi(v);
    assert_true(interrupt_window_open());
    vmcs_write(GUEST_INTERRUPTIBILITY, 0);
    exit_interrupt_window(v);
    nmi_delivered();
    fake_vmcs_set(IDT_VECTORING_INFO, VALID | TYPE(NMI) | 2); // its delivery has faulted
    exit_interrupt_window(v);
    vmcs_write(GUEST_INTERRUPTIBILITY, BLOCKING_NMI);
    event_redeliver(v);
    assert_true(interrupt_window_open());
    nmi_delivered();
}

static void no_spurious_unblocking(void **state)
{
    (void)state;
    vmcs_write(GUEST_INTERRUPTIBILITY, BLOCKING_NMI);
    exit_interrupt_window(v); // of a processor with virtual NMIs: an 8259's
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), BLOCKING_NMI);
}

// An IRET that runs again finds NMIs blocked; a delivery that the exit interrupted has nothing to do with it.
static void iret_again(void **state)
{
    (void)state;
    v->delivering = true;
    event_block_nmis(v);
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), 0);
    v->delivering = false;
    event_block_nmis(v);
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), BLOCKING_NMI);
}

static void done(u64 rflags)
{
    vmcs_write(GUEST_RFLAGS, rflags);
    event_instruction_done(v, rflags, rflags);
    fake_entry_check();
}

static void after_an_instruction(void **state)
{
    (void)state;
    vmcs_write(GUEST_INTERRUPTIBILITY, BLOCKING_STI | BLOCKING_NMI);
    done(RFLAGS_FIXED | RFLAGS_IF);
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), BLOCKING_NMI);
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
    vmcs_write(GUEST_INTERRUPTIBILITY, BLOCKING_MOV_SS);
    done(RFLAGS_FIXED | RFLAGS_TF);
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), 0);
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), BIT(14));
}

// RF is clear after an instruction and set between the iterations of one.
static void rf_afterwards(void **state)
{
    (void)state;
    for (unsigned rf = 0; rf < 2; rf++) {
        u64 before = RFLAGS_FIXED | (rf ? RFLAGS_RF : 0), carry = BIT(0);
        vmcs_write(GUEST_RFLAGS, before);
        event_instruction_done(v, before, before | carry);
        assert_int_equal(vmcs_read(GUEST_RFLAGS), RFLAGS_FIXED | carry);
        vmcs_write(GUEST_RFLAGS, before);
        event_instruction_done(v, before, before);
        assert_int_equal(vmcs_read(GUEST_RFLAGS), RFLAGS_FIXED);
        vmcs_write(GUEST_RFLAGS, before);
        event_iteration_done(v, before, before);
        assert_int_equal(vmcs_read(GUEST_RFLAGS), RFLAGS_FIXED | RFLAGS_RF);
    }
}

// IA32_DEBUGCTL.BTF makes TF trap after branches only, which no completed instruction is (SDM vol.
// 3, 18.2.3.3).
static void no_single_step_with_btf(void **state)
{
    (void)state;
    vmcs_write(GUEST_IA32_DEBUGCTL, BIT(1));
    done(RFLAGS_FIXED | RFLAGS_TF);
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
}

#define TEST(f) MACHINE_TEST(machine_setup, f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exceptions),
        TEST(what_entry_wants),
        TEST(rf_of_what_comes_again),
        TEST(redelivery),
        TEST(nmi_at_once),
        TEST(nmi_waits),
        TEST(window_behind_sti),
        TEST(iret_again),
        TEST(after_an_instruction),
        TEST(rf_afterwards),
        TEST(no_single_step_with_btf),
        TEST(without_virtual_nmis),
        TEST(nmi_waits_without_virtual_nmis),
        TEST(no_spurious_unblocking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
