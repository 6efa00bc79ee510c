// Who reads the host console, and when: by the clock where no interrupt announces input, else by NMIs. The
// run loop, the keys and the NMIs' handler as they are, and in place of the world switch a guest that halts:
// each entry ends when the VMX-preemption timer does.

// link: MACHINE hv/exits/exit.c hv/exits/fault.c hv/exits/keys.c hv/exits/nmi.c
// link: hv/insn/insn_cache.c hv/vcpu/dump_vmcs.c
#include "fake_machine.h"

#include <arch/console.h>
#include <arch/io.h>

#include "hv/vcpu/due.h"
#include "hv/vcpu/event.h"

#define HZ     1000000000ull
#define SECOND HZ
#define CTRL_A "\x01"

static struct vcpu *v;
static const char *typed; // what waits in the host's UART
static u64 typed_at;      // TSC: not before
static u64 read_at;       // of its last byte
static u64 end;           // of the test
static unsigned entries, interrupts;
static bool nmi;

int console_read(void)
{
    if (!*typed || fake_tsc < typed_at)
        return -1;
    read_at = fake_tsc;
    return (u8)*typed++;
}

void console_interrupt(bool on)
{
    (void)on;
    interrupts++;
}

void vmx_nmi_unblock(void)
{
}

u64 world_nmi_take(void)
{
    nmi = false;
    return 1;
}

enum world_result world_switch(struct world *world)
{
    (void)world;
    if (nmi)
        return WORLD_NMI;
    entries++;
    u64 timer = vmcs_read(PIN_BASED_CONTROLS) & PIN_PREEMPTION_TIMER ? vmcs_read(PREEMPTION_TIMER) : SECOND;
    fake_tsc += timer;
    if (fake_tsc > end)
        v->unsupported = "the test's end";
    v->observed = v->unsupported;
    fake_vmcs_set(PREEMPTION_TIMER, 0);
    fake_vmcs_set(EXIT_REASON, EXIT_PREEMPTION_TIMER);
    fake_vmcs_set(IDT_VECTORING_INFO, 0);
    return WORLD_EXIT;
}

static int setup(void **state)
{
    machine_setup(state);
    machine_caps.pin.may |= PIN_PREEMPTION_TIMER;
    machine_caps.exit.may |= EXIT_SAVE_PREEMPTION_TIMER;
    machine_caps.misc = 0;
    machine_params.limit = 0;
    v->vm->tsc_hz = HZ;
    typed = "";
    typed_at = read_at = 0;
    entries = interrupts = 0;
    nmi = false;
    return 0;
}

static void run(u64 cycles)
{
    end = fake_tsc + cycles;
    due_arm(v, ~0ull);
    vcpu_run(v);
}

static u8 guest_reads(void)
{
    return uart_read(&v->vm->uart, 0);
}

static void read_by_the_clock(void **state)
{
    (void)state;
    v->polled = true;
    typed = "ab";
    typed_at = fake_tsc + SECOND / 2;
    run(SECOND);
    assert_true(read_at >= typed_at && read_at - typed_at < SECOND / DUE_POLLS_PER_SECOND + SECOND / 1000);
    assert_int_equal(guest_reads(), 'a');
    assert_int_equal(guest_reads(), 'b');
    assert_int_equal(interrupts, 0);
    assert_in_range(entries, DUE_POLLS_PER_SECOND - 2, DUE_POLLS_PER_SECOND + 2);
}

static void keys_by_the_clock(void **state)
{
    (void)state;
    v->polled = true;
    typed = CTRL_A "x";
    run(SECOND);
    assert_string_equal(v->vm->end, "stopped from the console");
    assert_in_range(entries, 1, 2);
}

// The console's bytes are none of its business then.
static void nmi_is_the_guests(void **state)
{
    (void)state;
    v->polled = nmi = true;
    typed = "a";
    typed_at = fake_tsc + SECOND * 2;
    run(1);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), BIT(31) | INFO_TYPE(TYPE_NMI) | 2);
    assert_int_equal(interrupts, 0);
}

static void read_at_an_nmi(void **state)
{
    (void)state;
    nmi = true;
    typed = "a";
    run(1);
    assert_int_equal(guest_reads(), 'a');
    assert_int_equal(interrupts, 2);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), 0);
}

static void not_by_the_clock(void **state)
{
    (void)state;
    typed = "a";
    run(SECOND / 2);
    assert_int_equal(entries, 1);
    assert_int_equal(read_at, 0);
}

#define TEST(f) MACHINE_TEST(setup, f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(read_by_the_clock), TEST(keys_by_the_clock), TEST(nmi_is_the_guests),
        TEST(read_at_an_nmi),    TEST(not_by_the_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
