// limit=: the VMX-preemption timer is armed for a second of the guest's, and what it finds when it comes.

// link: MACHINE
#include "fake_machine.h"

#include <arch/io.h>

#include "hv/vcpu/limit.h"

#define RATE 5

static struct vcpu *v;

static void make(u64 limit, u32 pin, u32 exit)
{
    v = machine_make(MACHINE_UNRESTRICTED);
    machine_params.limit = limit;
    machine_caps.pin.may = pin;
    machine_caps.exit.may = exit;
    machine_caps.misc = RATE;
    v->vm->tsc_hz = 3200;
    machine_log[0] = 0;
}

static bool timer_on(void)
{
    bool on = vmcs_read(PIN_BASED_CONTROLS) & PIN_PREEMPTION_TIMER;
    assert_int_equal(on, !!(vmcs_read(EXIT_CONTROLS) & EXIT_SAVE_PREEMPTION_TIMER)); // SDM vol. 3, 27.2.1.2
    return on;
}

static void armed_for_a_second(void **state)
{
    (void)state;
    make(60, PIN_PREEMPTION_TIMER, EXIT_SAVE_PREEMPTION_TIMER);
    limit_arm(v, ~0ull);
    assert_true(timer_on());
    assert_int_equal(vmcs_read(PREEMPTION_TIMER), 3200 >> RATE);
    v->vm->tsc_hz = 1ull << 40; // more than the field holds
    limit_arm(v, ~0ull);
    assert_int_equal(vmcs_read(PREEMPTION_TIMER), 0xffffffff);
    assert_string_equal(machine_log, "");
    machine_gone();
}

static void the_end(void **state)
{
    (void)state;
    make(2, PIN_PREEMPTION_TIMER, EXIT_SAVE_PREEMPTION_TIMER);
    assert_int_equal(limit_allowed(v), 2 * 3200);
    fake_vmcs_set(PREEMPTION_TIMER, 0);
    assert_int_equal(exit_preemption_timer(v), VERDICT_RESUME);
    assert_int_equal(vmcs_read(PREEMPTION_TIMER), 3200 >> RATE);
    assert_false(v->vm->failed);
    assert_int_equal(limit_end(v), VERDICT_STOP);
    assert_true(v->vm->failed);
    assert_string_equal(v->vm->end, "guest ended by limit=: it has run for 2 s");
    machine_gone();
}

static void none(void **state)
{
    (void)state;
    make(0, PIN_PREEMPTION_TIMER, EXIT_SAVE_PREEMPTION_TIMER);
    assert_int_equal(limit_allowed(v), ~0ull);
    limit_arm(v, ~0ull);
    assert_false(timer_on());
    assert_string_equal(machine_log, "");
    machine_gone();
    for (unsigned half = 0; half < 2; half++) { // of what the timer needs
        make(60, half ? PIN_PREEMPTION_TIMER : 0, half ? 0 : EXIT_SAVE_PREEMPTION_TIMER);
        limit_arm(v, ~0ull);
        assert_false(timer_on());
        assert_non_null(strstr(machine_log, "no VMX-preemption timer"));
        machine_gone();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(armed_for_a_second),
        cmocka_unit_test(the_end),
        cmocka_unit_test(none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
