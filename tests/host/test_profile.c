// Exits by address of the guest's code and by root of its page tables (profile=): the tables against a slow
// model, also where they are too small; and the run loop as it is, with a guest in place of the world switch
// whose exits happen where the test says, and take what it says.

// link: MACHINE hv/exits/exit.c hv/exits/fault.c hv/exits/keys.c hv/exits/nmi.c
// link: hv/insn/insn_cache.c hv/vcpu/dump_vmcs.c
#include "fake_machine.h"

#include <arch/console.h>

#include "hv/report/summary.h"

#include <stdio.h>

#define CODE   (2 * MIB)
#define ROOT   (1 * MIB)
#define DEVICE GUEST_IOAPIC_GPA
#define STORE  "\x89\x06" // mov [rsi], eax
#define MODEL  512

static struct vcpu *v;

struct step {
    u32 reason;
    u64 rip, cr3;
    u64 takes;   // cycles in the monitor beyond what it always takes
    bool resets; // a program in the guest has the counts set back in this exit
};
static const struct step *step, *steps_end;
static u64 cost; // of the exit that is being handled
static bool resets;

int console_read(void)
{
    return -1;
}

void console_interrupt(bool on)
{
    (void)on;
}

void vmx_nmi_unblock(void)
{
}

u64 world_nmi_take(void)
{
    return 0;
}

static void takes_long(struct vcpu *vcpu, u64 gva)
{
    (void)vcpu, (void)gva;
    fake_tsc += cost;
    if (resets)
        tally_reset(v->vm);
}

enum world_result world_switch(struct world *world)
{
    (void)world;
    if (step == steps_end) {
        v->unsupported = "the test's end";
        step--; // the last exit is as the one before it
    }
    fake_vmcs_set(EXIT_REASON, step->reason);
    fake_vmcs_set(IDT_VECTORING_INFO, 0);
    fake_vmcs_set(EXIT_INSTRUCTION_LENGTH, 2);
    fake_vmcs_set(EXIT_QUALIFICATION, 0x182);
    fake_vmcs_set(GUEST_PHYSICAL_ADDRESS, DEVICE);
    vmcs_write(GUEST_RIP, step->rip);
    vmcs_write(GUEST_CR3, step->cr3);
    cost = step->takes;
    resets = step->resets;
    step++;
    return WORLD_EXIT;
}

static int setup(void **state)
{
    machine_setup(state);
    assert_int_equal(profile_init(&v->vm->profile, v->vm->frames, 64), 0);
    assert_int_equal(vm_ram_write(v->vm, CODE, STORE, 2), 0);
    *vcpu_reg(v, GPR_RSI) = DEVICE;
    v->observed = true;
    v->vm->tsc_hz = 1000000000;
    static struct mmu_ops ops;
    ops = *v->mmu->ops;
    ops.invlpg = takes_long;
    machine_set_ops(v, &ops);
    strcpy(v->vm->end, "e");
    return 0;
}

static void run(const struct step *steps, size_t count)
{
    step = steps;
    steps_end = steps + count;
    vcpu_run(v);
}

static const struct place *place(enum profile_by by, u64 key, u32 reason)
{
    return places_find(&v->vm->profile.by[by], key, reason);
}

// What the tables hold together is what the accounts of the reasons hold.
static void sums_agree(void)
{
    profile_settle(&v->vm->profile);
    for (unsigned by = 0; by < PROFILES; by++) {
        const struct places *p = &v->vm->profile.by[by];
        struct place sum, accounts = {.count = 0};
        places_rest(p, NULL, &sum);
        for (unsigned i = 0; i < EXIT_REASONS; i++) {
            accounts.count += v->exits[i].count;
            accounts.cycles += v->exits[i].cycles;
        }
        assert_int_equal(sum.count + p->elsewhere.count, accounts.count);
        assert_int_equal(sum.cycles + p->elsewhere.cycles, accounts.cycles);
    }
}

// Each kind of handler leaves RIP elsewhere, and the exit is where it was before.
static void where_it_happened(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {EXIT_CPUID, CODE, ROOT, 0, false},          {EXIT_EPT_VIOLATION, CODE, ROOT | 7, 0, false},
        {EXIT_CPUID, CODE + 16, 2 * ROOT, 0, false}, {EXIT_CPUID, CODE, ROOT, 0, false},
        {EXIT_EPT_VIOLATION, CODE, ROOT, 0, false},
    };
    run(steps, ARRAY_SIZE(steps));
    assert_int_equal(place(PROFILE_RIP, CODE, EXIT_CPUID)->count, 2);
    assert_int_equal(place(PROFILE_RIP, CODE, EXIT_EPT_VIOLATION)->count, 3);
    assert_int_equal(place(PROFILE_RIP, CODE + 16, EXIT_CPUID)->count, 1);
    assert_int_equal(v->vm->profile.by[PROFILE_RIP].used, 3);
    assert_int_equal(place(PROFILE_ROOT, ROOT, EXIT_CPUID)->count, 2);
    assert_int_equal(place(PROFILE_ROOT, ROOT, EXIT_EPT_VIOLATION)->count, 3);
    assert_int_equal(place(PROFILE_ROOT, 2 * ROOT, EXIT_CPUID)->count, 1);
    assert_int_equal(v->vm->profile.by[PROFILE_ROOT].used, 3);
    sums_agree();
}

// The exit that ends the run is counted, and has cost nothing yet; it is not the lowest.
static void what_it_took(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {EXIT_INVLPG, CODE, ROOT, 5000, false},
        {EXIT_INVLPG, CODE + 16, ROOT, 100, false},
        {EXIT_INVLPG, CODE, ROOT, 70000, false},
        {EXIT_INVLPG, CODE, ROOT, 300, false},
    };
    run(steps, ARRAY_SIZE(steps));
    sums_agree();
    const struct exit_account *e = &v->exits[EXIT_INVLPG];
    assert_int_equal(e->count, 5);
    assert_int_equal(place(PROFILE_RIP, CODE + 16, EXIT_INVLPG)->cycles, e->lowest);
    assert_int_equal(e->highest - e->lowest, 70000 - 100);
    assert_true(e->lowest >= 100 && e->lowest < 5000);
    assert_int_equal(e->cycles, 4 * (e->lowest - 100) + 5000 + 100 + 70000 + 300);
}

static void after_a_reset(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {EXIT_INVLPG, CODE, ROOT, 5000, false},
        {EXIT_INVLPG, CODE + 16, ROOT, 6000, true},
        {EXIT_INVLPG, CODE + 32, ROOT, 7000, false},
    };
    run(steps, ARRAY_SIZE(steps));
    sums_agree();
    assert_int_equal(place(PROFILE_RIP, CODE + 32, EXIT_INVLPG)->count, 2);
    assert_int_equal(v->vm->profile.by[PROFILE_RIP].used, 1);
    assert_in_range(v->exits[EXIT_INVLPG].lowest, 7000, 8000);
    assert_in_range(v->exits[EXIT_INVLPG].highest, 7000, 8000);
}

static void printed_has(const char *text)
{
    if (!strstr(machine_console, text))
        fail_msg("`%s' is not in:\n%s", text, machine_console);
}

static void printed(void **state)
{
    (void)state;
    static const struct step steps[] = {{EXIT_INVLPG, CODE, ROOT, 5000, false},
                                        {EXIT_INVLPG, CODE + 16, ROOT, 100, false}};
    assert_int_equal(profile_init(&v->vm->profile, v->vm->frames, 1), 0);
    run(steps, ARRAY_SIZE(steps));
    char expected[400];
    const struct exit_account *e = &v->exits[EXIT_INVLPG];
    summary_table(v->vm);
    snprintf(expected, sizeof(expected), "- from %lu to %lu\n", e->lowest, e->highest);
    printed_has(strchr(expected, 'f'));
    snprintf(expected, sizeof(expected),
             "  exits by address of the guest's code, the most first: number, cycles, reason\n"
             "    0x0000000000200000            1 %18lu INVLPG\n"
             "    elsewhere                     2 %18lu for which profile= has no row: give it more\n"
             "  exits by root of the guest's page tables, the most first: number, cycles, reason\n"
             "    0x0000000000100000            3 %18lu INVLPG\n\n",
             e->highest, e->lowest, e->cycles);
    printed_has(expected);
    summary_json(v->vm);
    snprintf(expected, sizeof(expected),
             "\"INVLPG\":{\"count\":3,\"cycles\":%lu,\"lowest\":%lu,\"highest\":%lu,\"log2\":{", e->cycles,
             e->lowest, e->highest);
    printed_has(expected);
    snprintf(
        expected, sizeof(expected),
        "}},\"places\":{"
        "\"rip\":{\"rows\":1,\"most\":[{\"at\":\"200000\",\"reason\":\"INVLPG\",\"count\":1,\"cycles\":%lu}],"
        "\"others\":{\"places\":0,\"count\":0,\"cycles\":0},\"elsewhere\":{\"places\":0,\"count\":2,\"cycles\":%lu}},"
        "\"root\":{\"rows\":1,\"most\":[{\"at\":\"100000\",\"reason\":\"INVLPG\",\"count\":3,\"cycles\":%lu}],"
        "\"others\":{\"places\":0,\"count\":0,\"cycles\":0},\"elsewhere\":{\"places\":0,\"count\":0,\"cycles\":0}}}}\n",
        e->highest, e->lowest, e->cycles);
    printed_has(expected);
}

// More places than are shown: 24 in the table, 128 in JSON, and what the others have together.
static void others(void **state)
{
    (void)state;
    assert_int_equal(profile_init(&v->vm->profile, v->vm->frames, 4096), 0);
    for (u64 i = 0; i < 200; i++) {
        struct place *row = places_find(&v->vm->profile.by[PROFILE_RIP], CODE + i, EXIT_CPUID);
        row->count = 1000 + i;
        row->cycles = 1;
    }
    profile_table(&v->vm->profile);
    printed_has(" cycles, reason\n    0x00000000002000c7         1199 ");
    printed_has(
        "    0x00000000002000b0         1176                  1 CPUID\n    176                      191400"
        "                176 others\n");
    profile_json(&v->vm->profile);
    printed_has("\"most\":[{\"at\":\"2000c7\",");
    printed_has("{\"at\":\"200048\",\"reason\":\"CPUID\",\"count\":1072,\"cycles\":1}],"
                "\"others\":{\"places\":72,\"count\":74556,\"cycles\":72},");
}

static void off(void **state)
{
    (void)state;
    static const struct step steps[] = {{EXIT_INVLPG, CODE, ROOT, 5000, false}};
    struct profile none;
    assert_int_equal(profile_init(&none, v->vm->frames, 16 * MIB), ERR_NOMEM);
    assert_false(profile_on(&none));
    u64 before = v->vm->frames->count[FRAME_MONITOR];
    assert_int_equal(profile_init(&v->vm->profile, v->vm->frames, 0), 0);
    assert_int_equal(v->vm->frames->count[FRAME_MONITOR], before);
    run(steps, 1);
    tally_reset(v->vm);
    summary_table(v->vm);
    summary_json(v->vm);
    assert_null(strstr(machine_console, "exits by address"));
    assert_null(strstr(machine_console, "places"));
    assert_null(strstr(machine_console, "lowest"));
}

// A slow table without a bound.
static struct place model[MODEL];

static struct place *model_find(u64 key, u32 reason)
{
    struct place *row = model;
    while (row->count && (row->key != key || row->reason != reason))
        row++;
    *row = (struct place){key, reason, row->count, row->cycles};
    return row;
}

static void exit_at_random(struct places *p, struct place *lost)
{
    u64 key = random_below(64) << random_below(4) * 12;
    u32 reason = (u32)random_below(2) * EXIT_VMCALL, cycles = (u32)random_below(1000);
    struct place *rows[] = {places_find(p, key, reason), model_find(key, reason)};
    if (rows[0] == &p->elsewhere)
        rows[1] = lost;
    for (unsigned i = 0; i < 2; i++) {
        rows[i]->count++;
        rows[i]->cycles += cycles;
    }
}

// Each place once, in order, with what the model has of it but for what found no row; nothing is lost.
static void check_against_model(const struct places *p, u64 exits)
{
    u64 count = 0, places = 0;
    const struct place *last = NULL;
    for (const struct place *row; (row = places_next(p, last)); last = row, places++) {
        const struct place *same = model_find(row->key, row->reason);
        assert_int_equal(same->count, row->count);
        assert_int_equal(same->cycles, row->cycles);
        assert_true(!last || last->count >= row->count);
        count += row->count;
    }
    assert_int_equal(places, p->used);
    assert_int_equal(count + p->elsewhere.count, exits);
}

static void tables(void **state)
{
    (void)state;
    static const u64 sizes[] = {1, 2, 15, 16, 17, 100, 1024};
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct places p;
        struct place lost = {.count = 0};
        memset(model, 0, sizeof(model));
        struct place *rows = malloc(sizes[i] * sizeof(*rows)); // so that the sanitizer knows its end
        memset(rows, 0xa5, sizes[i] * sizeof(*rows));
        places_init(&p, rows, sizes[i]);
        for (unsigned n = 0; n < 5000; n++)
            exit_at_random(&p, &lost);
        check_against_model(&p, 5000);
        assert_int_equal(lost.count, p.elsewhere.count);
        assert_int_equal(lost.cycles, p.elsewhere.cycles);
        assert_true(sizes[i] < 1024 || !lost.count); // some 450 places
        assert_true(p.used <= sizes[i] && (sizes[i] > 100 || p.used >= sizes[i] - sizes[i] / 8));
        free(rows);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MACHINE_TEST(setup, where_it_happened),
        MACHINE_TEST(setup, what_it_took),
        MACHINE_TEST(setup, after_a_reset),
        MACHINE_TEST(setup, printed),
        MACHINE_TEST(setup, others),
        MACHINE_TEST(setup, off),
        cmocka_unit_test(tables),
    };
    random_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
