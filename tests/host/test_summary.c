// The exit summary: its table and its line of JSON say the same, of all counters that this run has and of no
// others; histograms as a person reads them; a sentence that the guest had a hand in cannot break the JSON.
// The trace of exits.

// link: MACHINE
#include "fake_machine.h"

#include "hv/report/json.h"
#include "hv/report/summary.h"

#include <stdio.h>

static struct vcpu *v;

static int setup(void **state)
{
    machine_setup(state);
    v->account = &v->outside;
    strcpy(v->vm->end, "guest powered off");
    return 0;
}

static void printed_has(const char *text)
{
    if (!strstr(machine_console, text))
        fail_msg("`%s' is not in:\n%s", text, machine_console);
}

static void printed_has_not(const char *text)
{
    if (strstr(machine_console, text))
        fail_msg("`%s' is in:\n%s", text, machine_console);
}

static void exits_make(void)
{
    v->exits[EXIT_CPUID] = (struct exit_account){.count = 10, .cycles = 4321};
    v->exits[EXIT_CPUID].log2[6] = 8;
    v->exits[EXIT_CPUID].log2[8] = 1;
    v->exits[EXIT_VMCALL] = (struct exit_account){.count = 1}; // the first exit of its kind, being handled
    v->exits[EXIT_IO_INSTRUCTION] = (struct exit_account){.count = 200, .cycles = ~0ul};
    v->exits[EXIT_IO_INSTRUCTION].log2[0] = 1;
    v->exits[EXIT_IO_INSTRUCTION].log2[2] = 180;
    v->exits[EXIT_IO_INSTRUCTION].log2[63] = 19;
}

static void test_table(void **state)
{
    (void)state;
    exits_make();
    summary_table(v->vm);
    printed_has("\n  mmu=ept vpid=off\n  exits                                       211 \n");
    printed_has("\n    CPUID                        10               4321        432 2^6 8-1\n");
    printed_has("\n    VMCALL                        1                  0          0 2^0 -\n");
    printed_has(
        "\n    IO_INSTRUCTION              200 18446744073709551615 92233720368547758 2^0 .-9------------------------------------------------------------.\n");
    printed_has("\n  invept ");
    printed_has_not("hidden_faults");
    printed_has_not("churn_moved");
    printed_has_not("by itself");
    v->vm->empty_exit_cycles = 1234;
    summary_table(v->vm);
    printed_has("\n  switch_cycles                            260374 TSC cycles\n");
    printed_has("-.\n  each exit takes 1234 cycles more by itself: switch_cycles\n\n");
    v->vm->churn.period = 1;
    summary_table(v->vm);
    printed_has("\n  churn_moved ");
}

static void test_json(void **state)
{
    (void)state;
    exits_make();
    v->vm->compare = true; // else its parameters are there
    v->vm->configuration = "ept";
    summary_json(v->vm);
    printed_has("{\"penumbra\":\"summary\",\"word\":\"0123456789ab\",\"run\":0,\"round\":0,"
                "\"configuration\":\"ept\",\"mmu\":\"ept\",\"vpid\":false,"
                "\"failed\":false,\"end\":\"guest powered off\","
                "\"exits\":211,");
    printed_has("\"exit_reasons\":{\"CPUID\":{\"count\":10,\"cycles\":4321,\"log2\":{\"6\":8,\"8\":1}},"
                "\"VMCALL\":{\"count\":1,\"cycles\":0,\"log2\":{}},\"IO_INSTRUCTION\":{");
    printed_has_not("hidden_faults");
    assert_string_equal(machine_console + machine_console_length - 3, "}}\n");
}

// A run without a comparison has no line "begin" that tells what takes effect.
static void test_json_alone(void **state)
{
    (void)state;
    machine_params.p2m_max = P2M_LEVEL_2M;
    summary_json(v->vm);
    printed_has("\"word\":\"0123456789ab\",\"parameters\":\"mmu=ept ");
    printed_has(" p2m.max=2m ");
    printed_has_not("seed=");
}

// A row of each kind; the report tells them apart by `by`.
static void test_json_effects(void **state)
{
    (void)state;
    char message[80];
    struct effect e;
    const struct effect_machine machine = {.caps = v->caps, .physical_bits = 52, .pcid = true, .pku = true};
    assert_int_equal(params_parse(&e.asked, "shadow.cr3=exit", message, sizeof(message)), 0);
    machine_caps.ept_vpid = 0;
    effect_choose(&e, v->mmu->ops, &machine);
    json_effects(&e);
    assert_string_equal(
        machine_console,
        ",\"without_effect\":["
        "{\"asked\":\"p2m.max=1g\",\"instead\":\"p2m.max=4k\",\"by\":\"machine\",\"why\":\"its EPT has no larger pages\"},"
        "{\"asked\":\"shadow.cr3=exit\",\"by\":\"configuration\",\"why\":\"mmu=ept has no shadow tables\"}]");
}

static void test_json_sentence(void **state)
{
    (void)state;
    strcpy(v->vm->end, "a \"b\" \\ \x01\xff\n");
    v->vm->status = 3;
    v->vm->status_given = v->vm->failed = true;
    summary_json(v->vm);
    printed_has(
        "\"failed\":true,\"end\":\"a \\u0022b\\u0022 \\u005c \\u0001\\u00ff\\u000a\",\"status\":3,\"exits\":0,");
    v->vm->machine_check = true;
    summary_json(v->vm);
    printed_has("\\u000a\",\"machine_check\":true,\"status\":3,");
}

// Each counter that the table shows is in the JSON with the same value.
static void test_same(void **state)
{
    (void)state;
    exits_make();
    v->vm->churn.period = 1;
    v->vm->churn.counts.churn_taken = 17;
    v->cr3_writes = 5;
    summary_table(v->vm);
    char *table = strdup(machine_console);
    machine_console_length = 0;
    summary_json(v->vm);
    unsigned shown = 0;
    char name[32], pair[64];
    u64 value;
    for (char *line = strtok(strstr(table, "\n  exits "), "\n");
         sscanf(line, "  %31[a-z0-9_] %lu", name, &value) == 2; line = strtok(NULL, "\n"), shown++) {
        snprintf(pair, sizeof(pair), "\"%s\":%lu,", name, value);
        printed_has(pair);
    }
    assert_int_equal(shown, 15 + 4 + 3 + 2);
    free(table);
}

// After a reset counts are 0 and gauges are not; the exit that asked for it is in no account.
static void test_reset(void **state)
{
    (void)state;
    exits_make();
    v->account = &v->exits[EXIT_VMCALL];
    tally_reset(v->vm);
    v->account->cycles += 100;
    assert_int_equal(v->exits[EXIT_VMCALL].cycles, 0);
    summary_table(v->vm);
    printed_has("\n  exits                                         0 \n");
    printed_has("\n  vpids                                         1 \n");
    printed_has_not("\n    VMCALL");
}

static void exit_happens(unsigned reason, u64 tsc, u64 spent_before, enum verdict verdict)
{
    v->exit_reason = reason;
    v->last_exit = tsc;
    v->monitor_cycles = spent_before;
    trace_exit(v, verdict);
}

// The last exits only, each with what was spent until the next entry.
static void test_trace(void **state)
{
    (void)state;
    assert_int_equal(trace_init(&v->vm->trace, v->vm->frames, 3), 0);
    fake_vmcs_set(EXIT_QUALIFICATION, 0x1e);
    vmcs_write(GUEST_RIP, 0x1000);
    exit_happens(EXIT_CPUID, 100, 0, VERDICT_SKIP);
    assert_int_equal(trace_print(&v->vm->trace), 1);
    printed_has("the last 1 of 1 exits");
    printed_has("100        - CPUID                rip 0x1000 qualification 0x1e skip\n");
    vmcs_write(GUEST_RIP, 0x1002);
    exit_happens(EXIT_CR_ACCESS, 300, 70, VERDICT_FAULT);
    v->monitor_cycles = 90; // the mark is a call of the next exit's
    trace_mark(v, 42);
    exit_happens(EXIT_VMCALL, 500, 90, VERDICT_RESUME);
    machine_console_length = 0;
    assert_int_equal(trace_print(&v->vm->trace), 3);
    printed_has("the last 3 of 4 exits");
    printed_has_not("CPUID");
    printed_has("300       20 CR_ACCESS            rip 0x1002 qualification 0x1e fault\n");
    printed_has("          mark 42 rip 0x1002\n");
    printed_has("500        - VMCALL               rip 0x1002 qualification 0x1e resume\n");
}

// Off, it takes no memory and nothing is remembered; without memory it is refused.
static void test_trace_off(void **state)
{
    (void)state;
    struct trace none;
    u64 before = v->vm->frames->count[FRAME_MONITOR];
    assert_int_equal(trace_init(&v->vm->trace, v->vm->frames, 0), 0);
    assert_int_equal(v->vm->frames->count[FRAME_MONITOR], before);
    exit_happens(EXIT_CPUID, 1, 1, VERDICT_SKIP);
    assert_int_equal(v->vm->trace.count, 0);
    assert_false(trace_on(&v->vm->trace));
    assert_int_equal(trace_print(&v->vm->trace), 0);
    assert_int_equal(trace_init(&none, v->vm->frames, 16 * MIB), ERR_NOMEM);
    assert_false(trace_on(&none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MACHINE_TEST(setup, test_table),        MACHINE_TEST(setup, test_json),
        MACHINE_TEST(setup, test_json_effects), MACHINE_TEST(setup, test_json_sentence),
        MACHINE_TEST(setup, test_same),         MACHINE_TEST(setup, test_reset),
        MACHINE_TEST(setup, test_trace),        MACHINE_TEST(setup, test_trace_off),
        MACHINE_TEST(setup, test_json_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
