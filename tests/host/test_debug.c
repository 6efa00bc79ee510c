// Debug exceptions: what a #DB that exited leaves in the debug registers and in its frame, breakpoints that
// are hit by what the monitor carries out, and when MOV DR exits. SDM vol. 3, 18.2, 18.3 and 28.1.

// link: MACHINE hv/exits/nmi.c hv/exits/fault.c hv/insn/insn_cache.c
#include "fake_machine.h"

#include <arch/console.h>
#include <arch/cpu.h>

#include "hv/vcpu/debug.h"
#include "hv/vcpu/event.h"
#include "hv/exits/keys.h"

#define VALID      BIT(31)
#define ERROR_CODE BIT(11)

#define DR6_CLEAR 0xffff0ff0ull
#define DR6_BLD   BIT(11)
#define DR6_BD    BIT(13)
#define DR6_BS    BIT(14)
#define DR6_RTM   BIT(16)
#define DR7_FIXED 0x400ull
#define DR7_GD    BIT(13)
#define LBR       BIT(0)
#define BTF       BIT(1)

enum { EXECUTE, WRITE, PORT, ACCESS };
enum { BYTES_1, BYTES_2, BYTES_8, BYTES_4 };
#define WATCH(n, kind, bytes) (DR7_FIXED | 2ull << 2 * (n) | (u64)((bytes) << 2 | (kind)) << (16 + 4 * (n)))

static struct vcpu *v;

// nmi.c needs them; no test here has an NMI.
enum verdict keys_read(struct vcpu *vcpu, bool *any)
{
    (void)vcpu, (void)any;
    return VERDICT_RESUME;
}

void console_interrupt(bool on)
{
    (void)on;
}

u64 world_nmi_take(void)
{
    return 0;
}

void vmx_nmi_unblock(void)
{
}

static int setup(void **state)
{
    machine_setup(state);
    fake_dr6 = DR6_CLEAR;
    vmcs_write(GUEST_DR7, DR7_FIXED);
    return 0;
}

static void exception(u64 info, u64 qualification)
{
    v->exit_reason = EXIT_EXCEPTION_OR_NMI;
    fake_vmcs_set(EXIT_INTERRUPTION_INFO, VALID | info);
    fake_vmcs_set(EXIT_QUALIFICATION, qualification);
    v->delivering = event_redeliver(v);
    assert_int_equal(exit_exception(v), VERDICT_FAULT);
    fake_entry_check();
}

static void debug(u64 cause)
{
    exception(INFO_TYPE(TYPE_EXCEPTION) | VECTOR_DB, cause);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), VALID | INFO_TYPE(TYPE_EXCEPTION) | VECTOR_DB);
}

// In every mode: the guest cannot take the monitor's intercepts away.
static void intercepted(void **state)
{
    (void)state;
    assert_int_equal(vmcs_read(EXCEPTION_BITMAP), BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC));
    machine_start_32(v);
    assert_int_equal(vmcs_read(EXCEPTION_BITMAP), BIT(VECTOR_DB) | BIT(VECTOR_AC) | BIT(VECTOR_MC));
}

static void registers(void **state)
{
    (void)state;
    static const struct {
        u64 dr6, cause, after;
    } cases[] = {
        {DR6_CLEAR, DR6_BS, DR6_CLEAR | DR6_BS},
        {DR6_CLEAR | DR6_BS | 0xe, 1, DR6_CLEAR | DR6_BS | 1}, // BS stays, B1 to B3 are of another exception
        {DR6_CLEAR, 5 | BIT(12), DR6_CLEAR | 5},               // bit 12 is not of DR6
        {DR6_CLEAR, DR6_BD, DR6_CLEAR | DR6_BD},
        {DR6_CLEAR, DR6_RTM | 1, (DR6_CLEAR & ~DR6_RTM) | 1},
        {DR6_CLEAR & ~DR6_RTM, 1, DR6_CLEAR | 1},
        {DR6_CLEAR, DR6_BLD, DR6_CLEAR & ~DR6_BLD},
        {DR6_CLEAR & ~DR6_BLD, 2, (DR6_CLEAR & ~DR6_BLD) | 2},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fake_dr6 = cases[i].dr6;
        vmcs_write(GUEST_DR7, DR7_FIXED | DR7_GD | 0x3ff);
        vmcs_write(GUEST_IA32_DEBUGCTL, LBR | BTF | BIT(11));
        debug(cases[i].cause);
        if (fake_dr6 != cases[i].after)
            fail_msg("case %zu: DR6 %lx", i, fake_dr6);
        assert_int_equal(vmcs_read(GUEST_DR7), DR7_FIXED | 0x3ff);
        assert_int_equal(vmcs_read(GUEST_IA32_DEBUGCTL), BIT(11));
    }
}

// RF as the processor has saved it; what STI and MOV SS hold back is over, so that VM entry has nothing to
// refuse.
static void frame(void **state)
{
    (void)state;
    for (unsigned rf = 0; rf < 2; rf++) {
        u64 rflags = RFLAGS_FIXED | RFLAGS_IF | RFLAGS_TF | (rf ? RFLAGS_RF : 0);
        vmcs_write(GUEST_RFLAGS, rflags);
        vmcs_write(GUEST_INTERRUPTIBILITY, rf ? BLOCKING_STI : BLOCKING_MOV_SS);
        debug(DR6_BS);
        assert_int_equal(vmcs_read(GUEST_RFLAGS), rflags);
        assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), 0);
    }
}

static void int1(void **state)
{
    (void)state;
    vmcs_write(GUEST_DR7, DR7_FIXED | DR7_GD);
    fake_dr6 = DR6_CLEAR | DR6_BS;
    fake_vmcs_set(EXIT_INSTRUCTION_LENGTH, 1);
    exception(INFO_TYPE(TYPE_INT1) | VECTOR_DB, 0);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), VALID | INFO_TYPE(TYPE_INT1) | VECTOR_DB);
    assert_int_equal(vmcs_read(ENTRY_INSTRUCTION_LENGTH), 1);
    assert_int_equal(fake_dr6, DR6_CLEAR | DR6_BS);
}

// One #DB after the other, never a double fault; an interrupt that is being delivered is not lost to it.
static void in_delivery(void **state)
{
    (void)state;
    fake_vmcs_set(IDT_VECTORING_INFO, VALID | INFO_TYPE(TYPE_EXCEPTION) | VECTOR_DB);
    debug(1);
    fake_vmcs_set(IDT_VECTORING_INFO, VALID | INFO_TYPE(TYPE_EXCEPTION) | ERROR_CODE | VECTOR_GP);
    debug(1);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_IF);
    fake_vmcs_set(IDT_VECTORING_INFO, VALID | INFO_TYPE(TYPE_INTERRUPT) | 0x30);
    v->delivering = event_redeliver(v);
    assert_int_equal(exit_exception(v), VERDICT_RESUME);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), VALID | INFO_TYPE(TYPE_INTERRUPT) | 0x30);
    fake_entry_check();
}

static void alignment_check(void **state)
{
    (void)state;
    u64 info = INFO_TYPE(TYPE_EXCEPTION) | ERROR_CODE | VECTOR_AC;
    exception(info, 0);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), VALID | info);
    assert_int_equal(vmcs_read(ENTRY_EXCEPTION_ERROR_CODE), 0);
    fake_vmcs_set(IDT_VECTORING_INFO, VALID | info); // its own delivery: again, and no double fault
    exception(info, 0);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), VALID | info);
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), 0);
    fake_vmcs_set(IDT_VECTORING_INFO,
                  VALID | INFO_TYPE(TYPE_NMI) | VECTOR_NMI); // it blocks others all the same
    vmcs_write(GUEST_INTERRUPTIBILITY, BIT(3));
    exception(info, 0);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), VALID | info);
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), BIT(3));
}

static void matches(void **state)
{
    (void)state;
    static const struct {
        u64 dr7, breakpoint, gva;
        unsigned bytes;
        enum watches kinds;
        u64 hits;
    } cases[] = {
        {WATCH(2, WRITE, BYTES_4), 0x1000, 0x1003, 1, WATCHES_WRITE, 4},
        {WATCH(2, WRITE, BYTES_4), 0x1000, 0x1004, 1, WATCHES_WRITE, 0},
        {WATCH(2, WRITE, BYTES_4), 0x1000, 0xffd, 4, WATCHES_WRITE, 4},
        {WATCH(2, WRITE, BYTES_4), 0x1000, 0xffc, 4, WATCHES_WRITE, 0},
        {WATCH(2, WRITE, BYTES_4), 0x1003, 0x1000, 1, WATCHES_WRITE, 4}, // begins at a multiple of 4
        {WATCH(2, WRITE, BYTES_8), 0x1000, 0x1007, 1, WATCHES_WRITE, 4},
        {WATCH(2, WRITE, BYTES_2), 0x1000, 0x1002, 8, WATCHES_WRITE, 0},
        {WATCH(2, WRITE, BYTES_1), 0x1000, 0x1000, 8, WATCHES_READ, 0},
        {WATCH(2, ACCESS, BYTES_1), 0x1000, 0x1000, 8, WATCHES_READ, 4},
        {WATCH(2, ACCESS, BYTES_1), 0x1000, 0x1000, 8, WATCHES_WRITE, 4},
        {WATCH(2, EXECUTE, BYTES_1), 0x1000, 0x1000, 8, WATCHES_WRITE, 0},
        {WATCH(2, PORT, BYTES_1), 0x1000, 0x1000, 8, WATCHES_WRITE, 0},
        {WATCH(2, PORT, BYTES_1), 0x1000, 0x1000, 1, WATCHES_IO, 4},
        {WATCH(2, WRITE, BYTES_1) & ~0xffull, 0x1000, 0x1000, 1, WATCHES_WRITE, 0}, // not enabled
        {WATCH(2, WRITE, BYTES_8), ~0ull, ~0ull, 1, WATCHES_WRITE, 4},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fake_breakpoints[2] = cases[i].breakpoint;
        fake_breakpoints[0] = fake_breakpoints[1] = fake_breakpoints[3] = 0x800;
        u64 hits = debug_match(cases[i].dr7, cases[i].gva, cases[i].bytes, cases[i].kinds);
        if (hits != cases[i].hits)
            fail_msg("case %zu: %lx", i, hits);
    }
}

static bool moves_exit(void)
{
    return v->base_proc & PROC_MOV_DR_EXITING;
}

// MOV DR exits once, and again after the monitor has seen that no breakpoint is enabled.
static void moves(void **state)
{
    (void)state;
    v->base_proc |= PROC_MOV_DR_EXITING;
    vmcs_write(GUEST_DR7, WATCH(0, WRITE, BYTES_1));
    assert_int_equal(debug_enabled(v), 0); // cannot be: the guest has not moved to it
    assert_int_equal(exit_mov_dr(v), VERDICT_RESUME);
    assert_true(v->refresh_controls);
    assert_false(moves_exit());
    assert_int_equal(debug_enabled(v), WATCH(0, WRITE, BYTES_1));
    assert_false(moves_exit());
    vmcs_write(GUEST_DR7, DR7_FIXED);
    v->refresh_controls = false;
    assert_int_equal(debug_enabled(v), 0);
    assert_true(moves_exit());
    assert_true(v->refresh_controls);
}

static void hits_become_pending(void **state)
{
    (void)state;
    debug_hit(v, 0);
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
    debug_hit(v, 2);
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), BIT(12) | 2);
    v->debugged = true;
    fake_breakpoints[1] = 0x3f9;
    vmcs_write(GUEST_DR7, WATCH(1, PORT, BYTES_1));
    assert_int_equal(debug_match_port(debug_enabled(v), 0x3f8, 2), 0); // without CR4.DE
    vmcs_write(GUEST_CR4, vmcs_read(GUEST_CR4) | CR4_DE);
    assert_int_equal(debug_match_port(debug_enabled(v), 0x3f8, 2), 2);
    assert_int_equal(debug_match_port(debug_enabled(v), 0x3f8, 1), 0);
}

#define TEST(f) MACHINE_TEST(setup, f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(intercepted),         TEST(registers), TEST(frame),           TEST(int1),
        TEST(in_delivery),         TEST(matches),   TEST(alignment_check), TEST(moves),
        TEST(hits_become_pending),
    };
    return cmocka_run_group_tests_name("debug", tests, NULL, NULL);
}
