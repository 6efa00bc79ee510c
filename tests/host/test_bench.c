// What bench of the guest makes of its measurements: JSON text, medians, differences of the monitor's
// counters, the lines that it prints and what it tells the monitor. The monitor is a fake: each reading of
// its counters is an exit, as VMCALL is.
//
// link: guest-images/bench/json.c guest-images/bench/statistics.c guest-images/bench/meter.c
//
// link: guest-images/bench/native.c guest-images/bench/facts.c guest-images/bench/report.c
//
// link: guest-images/bench/proc.c guest-images/bench/support.c guest-images/bench/modes.c
//
// link: guest-images/bench/sizes.c guest-images/bench/host.c
#include "guest-images/bench/json.h"
#include "guest-images/bench/modes.h"
#include "guest-images/bench/native.h"
#include "guest-images/bench/proc.h"
#include "guest-images/bench/report.h"
#include "guest-images/bench/sizes.h"
#include "guest-images/bench/statistics.h"
#include "guest-images/penumbra/monitor.h"
#include "support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXITS, EXITS_CPUID, EXITS_VMCALL, TABLES_USED, NEVER, FAKE_COUNTERS };

static const struct penumbra_counter fake_table[FAKE_COUNTERS] = {
    [EXITS] = {.name = "exits"},
    [EXITS_CPUID] = {.name = "exit.CPUID"},
    [EXITS_VMCALL] = {.name = "exit.VMCALL"},
    [TABLES_USED] = {.name = "tables_used", .kind = PENUMBRA_GAUGE},
    [NEVER] = {.name = "never"},
};
static uint64_t fake_values[FAKE_COUNTERS];
static bool fake_there;
static int64_t fake_refusal;
static struct penumbra_result fake_told;
static unsigned fake_tellings;

const char *monitor_signature(void)
{
    return fake_there ? PENUMBRA_SIGNATURE : "KVMKVMKVM";
}

uint32_t monitor_interface(void)
{
    return fake_there ? PENUMBRA_INTERFACE : 0;
}

const char *monitor_error_words(int64_t error)
{
    return error == PENUMBRA_DENIED ? "refused" : "other";
}

int64_t monitor_counters_learn(struct penumbra_counter *table, size_t room)
{
    if (fake_refusal)
        return fake_refusal;
    assert_true(room >= FAKE_COUNTERS);
    memcpy(table, fake_table, sizeof fake_table);
    return FAKE_COUNTERS;
}

int64_t monitor_counters_read(uint64_t *values, size_t count)
{
    fake_values[EXITS]++;
    fake_values[EXITS_VMCALL]++;
    memcpy(values, fake_values, count * sizeof *values);
    return FAKE_COUNTERS;
}

int64_t monitor_result_tell(const struct penumbra_result *result)
{
    fake_told = *result;
    fake_tellings++;
    return 0;
}

// What `print` leaves on stdout, in a file of its own.
static const char *printed(void (*print)(void))
{
    static char text[8192];
    FILE *file = tmpfile();
    fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    dup2(fileno(file), STDOUT_FILENO);
    print();
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void odd_text_print(void)
{
    json_string(stdout, "a \"quoted\" \\ word,\ttab\r\n\x1b[1m \xc3\xa4~");
}

static void test_json(void **state)
{
    (void)state;
    assert_string_equal(printed(odd_text_print),
                        "\"a \\\"quoted\\\" \\\\ word,\\u0009tab\\u000d\\u000a\\u001b[1m \\u00c3\\u00a4~\"");
}

static void test_statistics(void **state)
{
    (void)state;
    uint64_t values[] = {900, 100, 1ull << 63, 300, 200};
    values_sort(values, 5);
    assert_int_equal(values[0], 100);
    assert_true(values[4] == 1ull << 63);
    assert_true(values_median(values, 5) == 300);
    assert_true(values_median(values, 4) == 250);
    assert_true(values_median(values, 1) == 100);
    assert_int_equal(counted_between(10, 25, 4), 11);
    assert_int_equal(counted_between(10, 12, 4), 0);
    assert_int_equal(counted_between(10, 9, 0), 0);
}

static struct measurement measured;
static const struct workload workload = {.name = "a-workload-of-more-than-23-letters",
                                         .group = "base",
                                         .operation = "page",
                                         .bytes = 8192,
                                         .page = PAGE};

// Three repetitions, of which the monitor sees 6 exits by CPUID.
static void workload_fake(void)
{
    measured =
        (struct measurement){.iterations = 10, .operations = 2, .repetitions = 3, .cycles = {300, 100, 200}};
    meter_start();
    fake_values[EXITS] += 6;
    fake_values[EXITS_CPUID] += 6;
    fake_values[TABLES_USED] = 99;
    measured.faults = meter_stop(measured.counters);
    measured.faults = 7; // the kernel's own number is anybody's
}

static void result_print(void)
{
    static const struct plan plan;
    report_workload(&workload, &plan, &measured);
}

static void begin_print(void)
{
    static const struct plan plan = {.repetitions = 3};
    report_begin(&plan);
}

static void monitor_begin(bool there, int64_t refusal)
{
    fake_there = there;
    fake_refusal = refusal;
    fake_tellings = 0;
    meter_open(NULL);
}

static void test_native(void **state)
{
    (void)state;
    monitor_begin(false, 0);
    assert_non_null(strstr(
        printed(begin_print),
        "{\"bench\":\"begin\",\"monitor\":\"\",\"interface\":0,\"hypervisor\":\"KVMKVMKVM\",\"kernel\":"));
    workload_fake();
    const char *line = printed(result_print);
    assert_non_null(strstr(
        line, "{\"bench\":\"a-workload-of-more-than-23-letters\",\"iterations\":10,\"cycles\":[300,100,200],"
              "\"median_per_iteration\":20.0,\"guest_faults\":7"));
    assert_null(strstr(line, "exits"));
    assert_int_equal(fake_tellings, 0);
}

static void file_make(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

// A processor whose MPERF and SMIs are its TSC, as this machine's kernel has it, and which has no APERF.
static void test_native_counters(void **state)
{
    (void)state;
    static struct penumbra_counter table[METER_MAX];
    uint64_t before[3], after[3];
    char folder[] = "/tmp/test_bench.XXXXXX", events[64];
    char *type = strdup(proc_text(NATIVE_EVENTS "/type", ""));
    assert_non_null(mkdtemp(folder));
    snprintf(events, sizeof events, "%s/events", folder);
    mkdir(events, 0755);
    file_make(folder, "type", type);
    assert_int_equal(native_counters_learn("/nonexistent", table, METER_MAX), 0);
    file_make(events, "mperf", "event=0x00\n");
    file_make(events, "smi", "event=0x00\n");
    size_t count = native_counters_learn(folder, table, METER_MAX);
    unlink(strcat(strcpy(events, folder), "/type"));
    unlink(strcat(strcpy(events, folder), "/events/mperf"));
    unlink(strcat(strcpy(events, folder), "/events/smi"));
    rmdir(strcat(strcpy(events, folder), "/events"));
    rmdir(folder);
    free(type);
    if (count == 0)
        skip(); // perf is not for us here
    assert_int_equal(count, 2);
    assert_string_equal(table[0].name, "mperf");
    assert_string_equal(table[1].name, "smis");
    assert_int_equal(table[0].kind, PENUMBRA_COUNT);
    native_counters_read(before);
    native_counters_read(after);
    assert_true(after[0] > before[0] && after[1] > before[1]);
}

static void test_denied(void **state)
{
    (void)state;
    monitor_begin(true, PENUMBRA_DENIED);
    assert_non_null(
        strstr(printed(begin_print), "\"monitor\":\"PenumbraVMM\",\"interface\":2,\"counters\":\"denied\","));
    workload_fake();
    assert_null(strstr(printed(result_print), "counters"));
    assert_int_equal(fake_tellings, 0);
}

static void test_counters(void **state)
{
    (void)state;
    monitor_begin(true, 0);
    assert_null(strstr(printed(begin_print), "counters"));
    fake_values[EXITS_CPUID] = 1000; // of before
    workload_fake();
    const char *line = printed(result_print);
    assert_non_null(strstr(
        line, ",\"guest_faults\":7,\"counters\":{\"exits\":6,\"exit.CPUID\":6},"
              "\"gauges\":{\"tables_used\":99},\"group\":\"base\",\"operation\":\"page\",\"operations\":2,"
              "\"working_set\":8192,\"page\":4096}\n"));
    assert_int_equal(fake_told.repetitions, 3);
    assert_int_equal(fake_told.iterations, 10);
    assert_int_equal(fake_told.lowest, 100);
    assert_int_equal(fake_told.median, 200);
    assert_int_equal(fake_told.highest, 300);
    assert_int_equal(fake_told.exits, 6);
    assert_string_equal(fake_told.workload, workload.name);
}

static void test_failed(void **state)
{
    (void)state;
    monitor_begin(true, 0);
    workload_fake();
    strcpy(measured.failure, "over its \"limit\"");
    assert_string_equal(
        printed(result_print),
        "{\"bench\":\"a-workload-of-more-than-23-letters\",\"error\":\"over its \\\"limit\\\"\",\"group\":\"base\","
        "\"operation\":\"page\",\"operations\":2,\"working_set\":8192,\"page\":4096}\n");
    assert_int_equal(fake_tellings, 1);
    assert_int_equal(fake_told.repetitions, 0);
}

static void test_modes_order(void **state)
{
    (void)state;
    unsigned there[5], back[5], places[5][5] = {0};
    for (unsigned round = 0; round < 1000; round += 2) {
        unsigned seen = 0;
        modes_order(there, 5, round, 7);
        modes_order(back, 5, round + 1, 7);
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(there[i], back[4 - i]);
            seen |= 1u << there[i];
            places[there[i]][i]++;
        }
        assert_int_equal(seen, 31);
    }
    for (unsigned i = 0; i < 25; i++)
        assert_in_range(places[i / 5][i % 5], 70, 130); // 100 +- 3 times 9
    modes_order(back, 5, 0, 8);
    modes_order(there, 5, 0, 7);
    assert_memory_not_equal(there, back, sizeof there);
}

static void test_modes_iterations(void **state)
{
    (void)state;
    assert_int_equal(modes_iterations(100, 10, 10), 100);
    assert_int_equal(modes_iterations(100, 20, 10), 100);
    assert_int_equal(modes_iterations(100, 80, 10), 25);
    assert_int_equal(modes_iterations(100, 4001, 10), 1);
    assert_int_equal(modes_iterations(100, UINT64_MAX, 1), 1);
}

// A mode that is slow even with one iteration costs no more than another may, but for one round.
static void test_modes_rounds(void **state)
{
    (void)state;
    assert_int_equal(modes_rounds(6, 0, 10), 6);
    assert_int_equal(modes_rounds(6, 80, 10), 6);
    assert_int_equal(modes_rounds(6, 100, 10), 4);
    assert_int_equal(modes_rounds(6, 160, 10), 3);
    assert_int_equal(modes_rounds(6, 161, 10), 1);
    assert_int_equal(modes_rounds(6, UINT64_MAX, 1), 1);
    assert_int_equal(modes_rounds(2, 81, 10), 1);
    assert_int_equal(modes_rounds(100, 100, 10), 80);
}

static void test_sizes(void **state)
{
    (void)state;
    struct sizes sizes;
    char text[SIZE_BYTES];
    assert_true(sizes_parse("4K/1536K,64M/1G/2T", &sizes));
    assert_int_equal(sizes.count, 5);
    static const size_t bytes[] = {4096, 1536 << 10, 64 << 20, 1 << 30, (size_t)2 << 40};
    assert_memory_equal(sizes.bytes, bytes, sizeof bytes);
    static const char *const bad[] = {"",     "64",  "M",  "-4K", "+4K", " 4K",      "4K/",
                                      "/4K",  "4KB", "6K", "0K",  "4k",  "4194304T", "99999999999999999999K",
                                      "4K 8K"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(sizes_parse(bad[i], &sizes));
    assert_string_equal(size_words(4096, text), "4K");
    assert_string_equal(size_words(3 << 19, text), "1536K");
    assert_string_equal(size_words((size_t)3 << 30, text), "3G");
    assert_string_equal(size_words((size_t)4096 << 40, text), "4096T");
}

static void test_sizes_sweep(void **state)
{
    (void)state;
    struct sizes sizes;
    static const size_t bytes[] = {4096, 8192, 12288, 16384, 24576};
    sizes_sweep(32767, &sizes);
    assert_int_equal(sizes.count, 5);
    assert_memory_equal(sizes.bytes, bytes, sizeof bytes);
    sizes_sweep(4095, &sizes);
    assert_int_equal(sizes.count, 0);
    sizes_sweep(SIZE_MAX / 4, &sizes);
    assert_true(sizes.count > 90 && sizes.count <= SIZES_MAX);
    for (size_t available = 0; available < (size_t)1 << 40; available = available * 3 / 2 + 4097)
        assert_true(set_most(available) == 0 || set_needs(set_most(available)) <= available);
}

// In this order: what was found out about the monitor is kept.
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),         cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_modes_order),  cmocka_unit_test(test_modes_iterations),
        cmocka_unit_test(test_modes_rounds), cmocka_unit_test(test_native),
        cmocka_unit_test(test_denied),       cmocka_unit_test(test_counters),
        cmocka_unit_test(test_failed),       cmocka_unit_test(test_native_counters),
        cmocka_unit_test(test_sizes),        cmocka_unit_test(test_sizes_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
