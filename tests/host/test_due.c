// What is due by the clock: the time until it, and the VMX-preemption timer, which is armed for it.

// link: MACHINE
#include "fake_machine.h"

#include <arch/io.h>

#include "hv/vcpu/due.h"

#define RATE    5
#define HZ      320000ull
#define FOREVER (~0ull)

static struct vcpu *v;

static void make(u64 limit, u32 pin, u32 exit)
{
    v = machine_make(MACHINE_UNRESTRICTED);
    machine_params.limit = limit;
    machine_caps.pin.may = pin;
    machine_caps.exit.may = exit;
    machine_caps.misc = RATE;
    v->vm->tsc_hz = HZ;
    machine_log[0] = 0;
}

static void make_able(u64 limit)
{
    make(limit, PIN_PREEMPTION_TIMER, EXIT_SAVE_PREEMPTION_TIMER);
    assert_true(due_has_timer(v));
}

static bool timer_on(void)
{
    bool on = vmcs_read(PIN_BASED_CONTROLS) & PIN_PREEMPTION_TIMER;
    assert_int_equal(on, !!(vmcs_read(EXIT_CONTROLS) & EXIT_SAVE_PREEMPTION_TIMER)); // SDM vol. 3, 27.2.1.2
    return on;
}

// So many ticks of the timer are never fewer cycles, wherever in a tick they begin, and hardly more.
static void assert_armed(u64 cycles)
{
    assert_true(timer_on());
    u64 ticks = vmcs_read(PREEMPTION_TIMER);
    assert_true((ticks - 1) << RATE >= cycles);
    assert_true(ticks << RATE <= cycles + (2 << RATE));
}

static void armed_for_the_first(void **state)
{
    (void)state;
    make_able(60);
    due_arm(v, FOREVER);
    assert_armed(HZ); // limit=: once a second
    due_arm(v, HZ / 3);
    assert_armed(HZ / 3);
    v->behind = true;
    due_arm(v, HZ / 3);
    assert_armed(HZ / DUE_DRAWS_PER_SECOND);
    v->polled = true;
    due_arm(v, HZ / 3);
    assert_armed(HZ / DUE_POLLS_PER_SECOND);
    v->sending = true;
    due_arm(v, HZ / 3);
    assert_armed(HZ / DUE_SENDS_PER_SECOND);
    due_arm(v, 1);
    assert_armed(1);
    v->vm->tsc_hz = BIT(50); // more than the field holds
    due_arm(v, FOREVER);
    assert_int_equal(vmcs_read(PREEMPTION_TIMER), 0xffffffff);
    assert_string_equal(machine_log, "");
    machine_gone();
}

// Whatever is due first, from any time of the clock, also past its end.
static void due_by_the_clock(void **state)
{
    (void)state;
    static const u64 starts[] = {0, 12345, -HZ, -1ull};
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        make_able(0);
        v->started = starts[i];
        due_set(v, v->started + 7);
        assert_true(v->due_after == FOREVER && v->due_from == starts[i] + 7);
        v->behind = true;
        due_set(v, v->started);
        assert_int_equal(v->due_after, HZ / DUE_DRAWS_PER_SECOND);
        v->polled = true;
        due_set(v, v->started);
        assert_int_equal(v->due_after, HZ / DUE_POLLS_PER_SECOND);
        machine_params.limit = 2;
        due_set(v, v->started + 2 * HZ - 5);
        assert_int_equal(v->due_after, 5);
        v->behind = v->polled = false;
        due_set(v, v->started + HZ);
        assert_int_equal(v->due_after, HZ);
        assert_false(due_end_reached(v, v->started + 2 * HZ - 1));
        assert_true(due_end_reached(v, v->started + 2 * HZ));
        machine_gone();
    }
}

// A guest that prints on and on, in exits of any length, moves nothing that is due before, nor what limit=
// gives.
static void printing_on_and_on(void **state)
{
    (void)state;
    make_able(2);
    v->started = fake_tsc;
    due_set(v, fake_tsc);
    due_draw(v);
    u64 due = v->due_from + v->due_after;
    assert_in_range(v->due_after, HZ / DUE_DRAWS_PER_SECOND, HZ / DUE_DRAWS_PER_SECOND + 1000);
    fake_tsc += HZ / DUE_DRAWS_PER_SECOND / 2;
    due_draw(v);
    assert_int_equal(v->due_from + v->due_after, due);
    fake_tsc += 3 * HZ; // one exit, and the last byte of it makes the screen fall behind
    due_draw(v);
    assert_true(fake_tsc - v->due_from >= v->due_after);
    due_set(v, fake_tsc);
    due_send(v);
    assert_in_range(v->due_after, HZ / DUE_SENDS_PER_SECOND, HZ / DUE_SENDS_PER_SECOND + 1000);
    machine_gone();
}

static void the_end(void **state)
{
    (void)state;
    make_able(2);
    fake_vmcs_set(PREEMPTION_TIMER, 0);
    assert_int_equal(exit_preemption_timer(v), VERDICT_RESUME);
    assert_armed(HZ);
    assert_false(v->vm->failed);
    assert_int_equal(due_end(v), VERDICT_STOP);
    assert_true(v->vm->failed);
    assert_string_equal(v->vm->end, "guest ended by limit=: it has run for 2 s");
    machine_gone();
}

static void none(void **state)
{
    (void)state;
    make_able(0);
    assert_false(due_end_reached(v, v->started - 1));
    due_arm(v, FOREVER);
    assert_false(timer_on());
    assert_string_equal(machine_log, "");
    machine_gone();
    for (unsigned half = 0; half < 2; half++) { // of what the timer needs
        make(60, half ? PIN_PREEMPTION_TIMER : 0, half ? 0 : EXIT_SAVE_PREEMPTION_TIMER);
        assert_false(due_has_timer(v));
        due_arm(v, FOREVER);
        assert_false(timer_on());
        assert_non_null(strstr(machine_log, "no VMX-preemption timer"));
        machine_gone();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(armed_for_the_first),
        cmocka_unit_test(due_by_the_clock),
        cmocka_unit_test(printing_on_and_on),
        cmocka_unit_test(the_end),
        cmocka_unit_test(none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
