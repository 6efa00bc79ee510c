// VMCALL as a guest makes it: each call, what it leaves alone, whom it refuses, and arguments that cannot be:
// bad numbers, counts of 2^64 - 1, memory that is not there, not the caller's, or ends in the middle. No call
// raises an exception.

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>
#include <hv/vmcall.h>

#define BUFFER       (4 * MIB) // RAM of the caller's, in a page of 2M
#define TABLE        (2 * MIB) // a page table that the test puts in place of the page of 2M at WINDOW
#define WINDOW       (6 * MIB) // its pages: one by one as below
#define USER_PAGE    (WINDOW)
#define KERNEL_PAGE  (WINDOW + PAGE_SIZE)
#define READ_ONLY    (WINDOW + 2 * PAGE_SIZE)
#define UNMAPPED     (WINDOW + 3 * PAGE_SIZE)
#define DIRECTORY    (MIB + 2 * PAGE_SIZE) // of machine_start_64
#define HOLE         (3 * GIB)
#define PATTERN      0x5a5a5a5a5a5a5a5aull
#define RIGHTS_RING3 0xc0f3ull

static struct vcpu *v;

static void entry_write(u64 gpa, u64 entry)
{
    assert_int_equal(vm_ram_write(v->vm, gpa, &entry, 8), 0);
}

static int setup(void **state)
{
    machine_setup(state);
    entry_write(DIRECTORY + WINDOW / (2 * MIB) * 8, TABLE | 7);
    entry_write(TABLE + 0, USER_PAGE | 7);
    entry_write(TABLE + 8, KERNEL_PAGE | 3);
    entry_write(TABLE + 16, READ_ONLY | 5);
    fake_vmcs_set(EXIT_INSTRUCTION_LENGTH, 3);
    v->exit_reason = EXIT_VMCALL;
    v->exits[EXIT_VMCALL].count = 1;
    return 0;
}

static void ring_3(void)
{
    vmcs_write(GUEST_SS_ACCESS_RIGHTS, RIGHTS_RING3);
}

// Makes the call; nothing but RAX may change, and nothing is injected.
static s64 call(u64 number, u64 first, u64 second, u64 third)
{
    for (unsigned i = 0; i < 16; i++)
        *vcpu_reg(v, i) = PATTERN + i;
    *vcpu_reg(v, GPR_RAX) = number;
    *vcpu_reg(v, GPR_RDI) = first;
    *vcpu_reg(v, GPR_RSI) = second;
    *vcpu_reg(v, GPR_RDX) = third;
    struct gprs before = v->world.regs;
    enum verdict verdict = exit_vmcall(v);
    assert_int_equal(verdict, number == PENUMBRA_STOP && v->vm->status_given ? VERDICT_STOP : VERDICT_SKIP);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), 0);
    s64 result = (s64)*vcpu_reg(v, GPR_RAX);
    *vcpu_reg(v, GPR_RAX) = number;
    assert_memory_equal(&before, &v->world.regs, sizeof(before));
    return result;
}

static void guest_fill(u64 gpa, u8 byte, unsigned bytes)
{
    u8 data[8192];
    memset(data, byte, sizeof(data));
    assert_int_equal(vm_ram_write(v->vm, gpa, data, bytes), 0);
}

static u64 guest_u64(u64 gpa)
{
    u64 value;
    assert_int_equal(vm_ram_read(v->vm, gpa, &value, 8), 0);
    return value;
}

static void test_numbers(void **state)
{
    (void)state;
    static const u64 bad[] = {0, 12, 0x7eadbeef, 0xffffffff, 1ull << 32 | 1, ~0ull};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(call(bad[i], BUFFER, 1, 0), PENUMBRA_UNKNOWN);
}

// By default no call of user mode is answered, not even one that there is not.
static void test_denied(void **state)
{
    (void)state;
    ring_3();
    guest_fill(USER_PAGE, 0x11, 64);
    for (u64 number = 0; number < 12; number++)
        assert_int_equal(call(number, USER_PAGE, 1, 0), PENUMBRA_DENIED);
    assert_int_equal(guest_u64(USER_PAGE), 0x1111111111111111);
    assert_false(v->vm->status_given);
    machine_params.vmcall = VMCALL_USER;
    assert_int_equal(call(0, 0, 0, 0), PENUMBRA_UNKNOWN);
    assert_true(call(PENUMBRA_COUNTERS, USER_PAGE, 1, 0) > 0);
    assert_int_equal(call(PENUMBRA_RESET, 0, 0, 0), 0);
}

static void test_counters(void **state)
{
    (void)state;
    s64 count = call(PENUMBRA_COUNTERS, 0, 0, 0);
    assert_in_range(count, 50, COUNTERS_LISTED);
    static const u64 wanted[] = {0, 1, 7, 50, COUNTERS_LISTED, 1ull << 61, ~0ull};
    for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++) {
        u64 written = wanted[i] < (u64)count ? wanted[i] : (u64)count;
        guest_fill(BUFFER, 0x5a, 8192);
        assert_int_equal(call(PENUMBRA_COUNTERS, BUFFER, wanted[i], 0), count);
        assert_int_equal(guest_u64(BUFFER + written * 8), PATTERN);
        if (written)
            assert_int_equal(guest_u64(BUFFER), 1); // exits
        if (written > 1)
            assert_int_not_equal(guest_u64(BUFFER + written * 8 - 8), PATTERN);
    }
}

static void counter_get(u64 index, struct penumbra_counter *counter)
{
    guest_fill(BUFFER, 0x5a, 128);
    assert_int_equal(call(PENUMBRA_COUNTER, index, BUFFER, 0), 0);
    assert_int_equal(vm_ram_read(v->vm, BUFFER, counter, sizeof(*counter)), 0);
    assert_int_equal(guest_u64(BUFFER + sizeof(*counter)), PATTERN);
}

// As many as the list has, each with a name of its own, and values in the same order.
static void test_counter(void **state)
{
    (void)state;
    static struct penumbra_counter all[COUNTERS_LISTED];
    s64 count = call(PENUMBRA_COUNTERS, 0, 0, 0);
    s64 vmcall = -1;
    for (s64 i = 0; i < count; i++) {
        counter_get((u64)i, &all[i]);
        assert_true(all[i].kind == PENUMBRA_COUNT || all[i].kind == PENUMBRA_GAUGE);
        assert_int_equal(all[i].reserved, 0);
        assert_true(strlen(all[i].name) > 2 && strlen(all[i].name) < sizeof(all[i].name));
        for (s64 j = 0; j < i; j++)
            assert_string_not_equal(all[i].name, all[j].name);
        if (!strcmp(all[i].name, "exit.VMCALL"))
            vmcall = i;
    }
    assert_string_equal(all[0].name, "exits");
    assert_string_equal(all[vmcall + 1].name, "cycles.VMCALL");
    assert_string_equal(all[vmcall + 1].unit, "TSC cycles");
    v->exits[EXIT_VMCALL] = (struct exit_account){.count = 77, .cycles = 7700};
    call(PENUMBRA_COUNTERS, BUFFER, ~0ull, 0);
    assert_int_equal(guest_u64(BUFFER + (u64)vmcall * 8), 77);
    assert_int_equal(guest_u64(BUFFER + (u64)vmcall * 8 + 8), 7700);
    u64 bad[] = {(u64)count, (u64)count + 1, 1ull << 32, ~0ull};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(call(PENUMBRA_COUNTER, bad[i], BUFFER, 0), PENUMBRA_ARGUMENT);
}

// The rows of the other back end, and of what is off, are not listed.
static void test_listed(void **state)
{
    (void)state;
    s64 count = call(PENUMBRA_COUNTERS, 0, 0, 0);
    v->vm->churn.period = 1;
    assert_int_equal(call(PENUMBRA_COUNTERS, 0, 0, 0), count + 4);
    for (u64 i = 0; i < (u64)count; i++) {
        struct penumbra_counter counter;
        counter_get(i, &counter);
        assert_string_not_equal(counter.name, "hidden_faults");
    }
}

// Memory that the caller cannot write, in the first piece or a later one.
static void test_faults(void **state)
{
    (void)state;
    static const u64 bad[] = {UNMAPPED, READ_ONLY, 1ull << 47, ~0ull, ~0ull - 6, 0x8000000000000000, 5 * GIB};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(call(PENUMBRA_COUNTERS, bad[i], ~0ull, 0), PENUMBRA_FAULT);
        assert_int_equal(call(PENUMBRA_COUNTER, 0, bad[i], 0), PENUMBRA_FAULT);
        assert_int_equal(call(PENUMBRA_MODE, bad[i], ~0ull, 0), PENUMBRA_FAULT);
    }
    assert_int_equal(call(PENUMBRA_RESULT, UNMAPPED, 0, 0), PENUMBRA_FAULT);
    assert_int_equal(call(PENUMBRA_RESULT, (1ull << 47) - 8, 0, 0), PENUMBRA_FAULT);
    assert_int_equal(call(PENUMBRA_COUNTERS, (1ull << 47) - 4, 1, 0), PENUMBRA_FAULT);
}

// A buffer that ends at a page that is not there is written up to it, and not into it.
static void test_crossing(void **state)
{
    (void)state;
    s64 count = call(PENUMBRA_COUNTERS, 0, 0, 0);
    guest_fill(READ_ONLY - PAGE_SIZE, 0x5a, PAGE_SIZE);
    guest_fill(READ_ONLY, 0x5a, PAGE_SIZE);
    assert_int_equal(call(PENUMBRA_COUNTERS, READ_ONLY - 12, ~0ull, 0), PENUMBRA_FAULT);
    assert_int_equal(guest_u64(READ_ONLY - 12), 1);
    assert_int_equal((u32)guest_u64(READ_ONLY - 4), 0x5a5a5a5a); // the piece that crosses is not begun
    assert_int_equal(guest_u64(READ_ONLY), PATTERN);
    assert_int_equal(call(PENUMBRA_COUNTERS, READ_ONLY - 16, 2, 0), count);
    assert_int_equal(call(PENUMBRA_COUNTERS, KERNEL_PAGE - 3, 1, 0), count); // two pages that are there
    assert_int_equal(guest_u64(KERNEL_PAGE - 3), 1);
}

// With the caller's rights: a page of the kernel's is not user mode's, SMAP is the kernel's own.
static void test_rights(void **state)
{
    (void)state;
    machine_params.vmcall = VMCALL_USER;
    assert_true(call(PENUMBRA_COUNTERS, KERNEL_PAGE, 1, 0) > 0);
    ring_3();
    assert_true(call(PENUMBRA_COUNTERS, USER_PAGE, 1, 0) > 0);
    assert_int_equal(call(PENUMBRA_COUNTERS, KERNEL_PAGE, 1, 0), PENUMBRA_FAULT);
    assert_int_equal(call(PENUMBRA_COUNTERS, KERNEL_PAGE - 4, 1, 0), PENUMBRA_FAULT);
    assert_int_equal(call(PENUMBRA_RESULT, KERNEL_PAGE - 64, 0, 0), PENUMBRA_FAULT);
}

// A hole swallows what is written; a device is none that a buffer could be.
static void test_holes(void **state)
{
    (void)state;
    assert_true(call(PENUMBRA_COUNTERS, HOLE, ~0ull, 0) > 0);
    assert_true(call(PENUMBRA_COUNTERS, GUEST_IOAPIC_GPA, ~0ull, 0) > 0);
    v->vm->compare = true;
    assert_int_equal(call(PENUMBRA_RESULT, HOLE, 0, 0), PENUMBRA_ARGUMENT); // reads as ones
    assert_int_equal(call(PENUMBRA_RESULT, GUEST_IOAPIC_GPA, 0, 0), PENUMBRA_ARGUMENT);
}

static u64 counter_value(const char *name)
{
    s64 count = call(PENUMBRA_COUNTERS, BUFFER + MIB, ~0ull, 0);
    for (u64 i = 0; i < (u64)count; i++) {
        struct penumbra_counter counter;
        counter_get(i, &counter);
        if (!strcmp(counter.name, name))
            return guest_u64(BUFFER + MIB + i * 8);
    }
    fail_msg("no counter %s", name);
    return 0;
}

// Counts begin again, gauges stay, and the accounts of cycles behind them go on.
static void test_reset(void **state)
{
    (void)state;
    v->started = 1000;
    v->last_exit = 5000001000;
    v->monitor_cycles = 2000000000;
    v->exits[EXIT_CPUID] = (struct exit_account){.count = 10, .cycles = 100};
    v->exits[EXIT_CPUID].log2[3] = 10;
    v->vm->empty_exit_cycles = 1000;
    assert_int_equal(counter_value("exits"), 11);
    assert_int_equal(counter_value("switch_cycles"), 11000);
    assert_int_equal(counter_value("milliseconds"), 5000);
    assert_int_equal(counter_value("exits_per_second"), 2);
    u64 p2m = counter_value("p2m_2m");
    assert_true(p2m > 0 && counter_value("vpids") == 1 && counter_value("vmreads") > 100);
    assert_int_equal(call(PENUMBRA_RESET, 0, 0, 0), 0);
    static const char *const zeros[] = {"exits",          "exits_per_second", "guest_cycles",
                                        "monitor_cycles", "switch_cycles",    "milliseconds",
                                        "exit.CPUID",     "cycles.CPUID",     "violations"};
    for (unsigned i = 0; i < ARRAY_SIZE(zeros); i++)
        assert_int_equal(counter_value(zeros[i]), 0);
    assert_int_equal(v->exits[EXIT_CPUID].log2[3], 0);
    assert_true(counter_value("vmwrites") < 10);
    assert_int_equal(counter_value("p2m_2m"), p2m);
    assert_int_equal(counter_value("vpids"), 1);
    assert_int_equal(vcpu_guest_cycles(v), 3000000000);
    v->last_exit += 3000000000;
    v->monitor_cycles += 1000000000;
    v->exits[EXIT_CPUID].count = 9;
    assert_int_equal(counter_value("guest_cycles"), 2000000000);
    assert_int_equal(counter_value("monitor_cycles"), 1000000000);
    assert_int_equal(counter_value("switch_cycles"), 9000);
    assert_int_equal(counter_value("exits_per_second"), 3);
}

static void test_mode(void **state)
{
    (void)state;
    s64 length = call(PENUMBRA_MODE, 0, 0, 0);
    assert_in_range(length, 100, 1000);
    for (unsigned bytes = 1; bytes < 2000; bytes += bytes < 20 ? 1 : 97) {
        char text[2000];
        guest_fill(BUFFER, 0x5a, 2048);
        assert_int_equal(call(PENUMBRA_MODE, BUFFER, bytes, 0), length);
        assert_int_equal(vm_ram_read(v->vm, BUFFER, text, sizeof(text)), 0);
        unsigned shown = bytes <= (u64)length ? bytes - 1 : (unsigned)length;
        assert_int_equal(strlen(text), shown);
        assert_int_equal(text[shown + 1], 0x5a);
        assert_int_equal(strncmp(text, "mmu=ept vpid=", shown < 13 ? shown : 13), 0);
    }
    assert_int_equal(call(PENUMBRA_MODE, BUFFER, ~0ull, 0), length);
}

static void test_stop(void **state)
{
    (void)state;
    call(PENUMBRA_STOP, 0x100000007, 0, 0);
    assert_true(v->vm->status_given);
    assert_int_equal(v->vm->status, 7);
    assert_string_equal(v->vm->end, "guest ended with status 7");
    assert_false(v->vm->failed);
}

static s64 result_call(const struct penumbra_result *result)
{
    assert_int_equal(vm_ram_write(v->vm, BUFFER + PAGE_SIZE - 20, result, sizeof(*result)), 0);
    return call(PENUMBRA_RESULT, BUFFER + PAGE_SIZE - 20, 0, 0);
}

static void test_result(void **state)
{
    (void)state;
    struct penumbra_result r = {"fork", 30, 5, 100, 90, 110, 1234};
    assert_int_equal(result_call(&r), PENUMBRA_OFF);
    v->vm->compare = true;
    assert_int_equal(result_call(&r), 0);
    assert_int_equal(v->vm->results.count, 1);
    assert_memory_equal(&v->vm->results.rows[0], &r, sizeof(r));
    static const char longest[] = "_-.+@67890123456789012345678901234567890123456789012345678901AZ";
    static const char bad[][sizeof(r.workload)] = {
        "",     "a\"b", "a\\b", "a\nb",
        "\x7f", "\xe9", "a b",  "[penumbra]",
        "a|b",  "`a",   "<a>",  "1234567890123456789012345678901234567890123456789012345678901234"};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        memcpy(r.workload, bad[i], sizeof(r.workload));
        assert_int_equal(result_call(&r), PENUMBRA_ARGUMENT);
        if (!i)
            assert_non_null(strstr(machine_log, "has other characters than letters, digits and _-.+@"));
        machine_log[0] = 0; // it is said once
    }
    assert_string_equal(machine_log, "");
    memcpy(r.workload, longest, sizeof(longest));
    for (unsigned i = 1; i < RESULTS; i++)
        assert_int_equal(result_call(&r), 0);
    assert_int_equal(result_call(&r), PENUMBRA_ARGUMENT);
    assert_int_equal(v->vm->results.count, RESULTS);
}

// A caller in 32-bit code has 32-bit registers and addresses, whatever is left in their upper halves.
static void test_32_bit(void **state)
{
    (void)state;
    machine_start_32(v);
    guest_fill(BUFFER, 0x5a, 64);
    assert_true(call(0xabcd00000000ull | PENUMBRA_COUNTERS, 0xffff00000000ull | BUFFER, 0x100000002, 0) > 2);
    assert_int_equal(guest_u64(BUFFER), 1);
    assert_int_equal(guest_u64(BUFFER + 16), PATTERN);
    assert_true(call(PENUMBRA_COUNTERS, 0xfffffff8, 1, 0) > 0);
    assert_int_equal(call(PENUMBRA_COUNTERS, 0xfffffffc, 1, 0), PENUMBRA_FAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MACHINE_TEST(setup, test_numbers),  MACHINE_TEST(setup, test_denied),
        MACHINE_TEST(setup, test_counters), MACHINE_TEST(setup, test_counter),
        MACHINE_TEST(setup, test_listed),   MACHINE_TEST(setup, test_faults),
        MACHINE_TEST(setup, test_crossing), MACHINE_TEST(setup, test_rights),
        MACHINE_TEST(setup, test_holes),    MACHINE_TEST(setup, test_reset),
        MACHINE_TEST(setup, test_mode),     MACHINE_TEST(setup, test_stop),
        MACHINE_TEST(setup, test_result),   MACHINE_TEST(setup, test_32_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
