// The shadow engine under a random guest, against what a processor without a monitor may do. The guest has
// tables that share subtrees and point at themselves and at each other at any level; it edits them by stores
// of its own, with and without the invalidation that the architecture requires, switches roots, changes what
// control registers decide, and the p2m changes under it. Its accesses go through the tables that the engine
// makes (model_cpu.h). Each result must be one that the present tables or something that a processor may
// still have cached gives (model_history.h); accessed and dirty bits are set exactly as by hardware; nothing
// leads to a frame that the p2m does not give. SEED and RUN in the environment repeat one run, VERBOSE=1
// tells its steps.

// link: ENGINE tests/host/model_walk.c tests/host/model_cpu.c tests/host/model_history.c
#include "support.h"

#include "model_cpu.h"
#include "model_history.h"

#include <arch/cpu.h>
#include <hv/walk.h>
#include "shadow/engine.h"

#include <stdio.h>

#define MACHINE      (64 * MIB)
#define BACKING      0x1000u // mfn of the guest's memory: more than the guest has, so that frames can move
#define BACKED       0x1000u
#define GUEST_FRAMES 0x600u
#define LINEAR       0x200u // 2M that the p2m maps in one piece
#define MIXED        0x400u // 2M with holes, a device and read-only frames
#define APIC         0xfee00u
#define TAKEN        BACKED // in owner_of: kept to be given back
#define TRIES        12u    // of one instruction
#define WINDOW       300u   // PML4 entry through which the guest's kernel sees its memory

#define RUNS  64u
#define STEPS 5000u // a tenth where the engine caches nothing: there it is slow

struct place {
    u64 mfn; // counted from BACKING
    enum p2m_type type;
};

// The guest's tables by the level that they are made for; roots first.
static const struct {
    u64 gfn;
    unsigned count, level;
} table_groups[] = {
    {0x10, 4, 4},  {0x14, 8, 3},  {0x1c, 14, 2}, {0x22a, 2, 2},
    {0x2c, 90, 1}, {0x250, 4, 1}, {0x410, 2, 1}, {0x8c, 1, 3}, // the window
    {0x8d, 1, 2},  {0x8e, 2, 1},
};
#define WINDOW_PDPT 0x8cu
#define WINDOW_PD   0x8du
#define WINDOW_PT   0x8eu

static const u16 indices[5][9] = {
    {0}, {8, 0, 1, 8, 9, 64, 65, 510, 511}, {4, 0, 1, 7, 511}, {3, 0, 1, 511}, {4, 0, 256, WINDOW, 511},
};

static struct frames frames;
static struct p2m p2m;
static struct place places[GUEST_FRAMES];
static u32 owner_of[BACKED]; // gfn + 1, 0: free
static u8 *expected;         // what the guest's memory must be, by gfn

static struct shadow shadow;
static struct model_cpu cpu;
static struct walk_context guest;
static u64 recent[16];
static u64 random_state, run_seed;
static unsigned run, step;
static bool verbose;
static u64 guest_time;

static struct {
    u64 accesses, stores, hidden, true_faults, direct, emulated, traced, released, stale, stale_faults,
        native_invlpg, p2m_changes, recycled, out_of_sync;
} happened;

__attribute__((format(printf, 1, 2), noreturn)) static void bad(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const struct shadow_config *c = &shadow.config;
    print_message("run %u step %u: %s directpf %d root_vpids %d prefetch %u pool %u physical_bits %u\n", run,
                  step, c->strategy.name, c->directpf, c->root_vpids, c->prefetch, c->pool, c->physical_bits);
    fail_msg("%s", text);
    abort();
}

#define say(...)                 \
    do {                         \
        if (verbose)             \
            printf(__VA_ARGS__); \
    } while (0)

static u64 rnd(u64 limit)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (random_state * 0x2545f4914f6cdd1dull >> 16) % limit;
}

static bool chance(unsigned percent)
{
    return rnd(100) < percent;
}

static u64 maybe(u64 value, unsigned percent)
{
    return chance(percent) ? value : 0;
}

// The machine and the guest's memory.
static u8 *backing(u64 frame)
{
    return mfn_ptr(mfn(BACKING + frame));
}

static u8 *guest_memory(u64 gpa, enum p2m_type *type)
{
    u64 g = gpa / PAGE_SIZE;
    *type = g == APIC ? P2M_DIRECT : P2M_HOLE;
    if (g >= GUEST_FRAMES)
        return NULL;
    *type = places[g].type;
    bool memory = *type == P2M_RAM || *type == P2M_RAM_RO;
    return memory ? backing(places[g].mfn) + gpa % PAGE_SIZE : NULL;
}

// What the processor may walk: the engine's tables only.
static u8 *machine_memory(u64 hpa, enum p2m_type *type)
{
    if (!frames_owned(&frames, hpa_mfn(hpa), 1, FRAME_MONITOR))
        bad("the processor walks a table at %lx, which is not the monitor's", hpa);
    *type = P2M_RAM;
    return phys_ptr(hpa);
}

static u8 machine_memtype(mfn_t first, u64 count)
{
    (void)first;
    (void)count;
    return 6;
}

static void place_apply(u64 g)
{
    struct place *p = &places[g];
    if (p->type == P2M_RAM || p->type == P2M_RAM_RO) {
        owner_of[p->mfn] = (u32)g + 1;
        assert_int_equal(p2m_map(&p2m, gfn(g), mfn(BACKING + p->mfn), 1, p->type), 0);
    } else {
        assert_int_equal(p2m_clear(&p2m, gfn(g), 1, p->type), 0);
    }
}

static void machine_make(void)
{
    memory_make(MACHINE, &frames);
    assert_int_equal(frames_alloc_at(&frames, mfn(BACKING), 12, FRAME_GUEST), 0);
    assert_int_equal(p2m_init(&p2m, &frames, chance(50) ? P2M_LEVEL_2M : P2M_LEVEL_4K, machine_memtype), 0);
    memset(owner_of, 0, sizeof(owner_of));
    for (u64 g = 0; g < GUEST_FRAMES; g++) {
        bool linear = g >= LINEAR && g < MIXED;
        places[g] =
            (struct place){linear ? g : g * 3 % 0x200 + (g & ~0x1ffull) + 0x800 * (g < LINEAR), P2M_RAM};
        if (g >= MIXED && g % 16 >= 12)
            places[g].type = (enum p2m_type[]){P2M_RAM_RO, P2M_HOLE, P2M_DEVICE, P2M_RAM}[g % 4];
        if (g == 0x411)
            places[g].type = P2M_RAM_RO;
        place_apply(g);
    }
    assert_int_equal(p2m_map(&p2m, gfn(APIC), mfn(MACHINE / PAGE_SIZE + 5), 1, P2M_DIRECT), 0);
    expected = calloc(GUEST_FRAMES, PAGE_SIZE);
}

static void machine_gone(void)
{
    p2m_destroy(&p2m);
    free(expected);
    memory_gone();
}

static u64 expected_entry(u64 gpa)
{
    u64 value;
    memcpy(&value, expected + gpa, sizeof(value));
    return value;
}

// One store of the guest's to its memory, as the machine would do it. Within one page.
static void memory_store(u64 gpa, const void *data, unsigned bytes)
{
    enum p2m_type type;
    u8 *memory = guest_memory(gpa, &type);
    if (type != P2M_RAM)
        return;
    for (u64 slot = align_down(gpa, 8); slot < gpa + bytes; slot += 8)
        history_store(slot, expected_entry(slot));
    memcpy(memory, data, bytes);
    memcpy(expected + gpa, data, bytes);
}

static void memory_check(u64 gpa)
{
    enum p2m_type type;
    const u8 *memory = guest_memory(gpa, &type);
    if (memory && memcmp(memory, expected + gpa, 8))
        bad("the entry at gpa %lx is %lx, expected %lx", gpa, *(const u64 *)(const void *)memory,
            expected_entry(gpa));
}

// All entries of the guest's tables that it uses; some of them each time, as it takes long.
static void memory_check_tables(void)
{
    static unsigned turn;
    for (unsigned i = turn++ % 4; i < ARRAY_SIZE(table_groups); i += 4) {
        for (u64 g = table_groups[i].gfn; g < table_groups[i].gfn + table_groups[i].count; g++) {
            const u16 *list = indices[table_groups[i].level];
            for (unsigned j = 1; j <= list[0]; j++)
                memory_check(g * PAGE_SIZE + list[j] * 8);
        }
    }
}

static void memory_check_all(void)
{
    for (u64 gpa = 0; gpa < GUEST_FRAMES * PAGE_SIZE; gpa += PAGE_SIZE) {
        enum p2m_type type;
        const u8 *memory = guest_memory(gpa, &type);
        if (memory && memcmp(memory, expected + gpa, PAGE_SIZE))
            bad("the guest's page at %lx is not what it should be", gpa);
    }
}

// Random addresses and entries.
static u64 table_of(unsigned level)
{
    for (;;) {
        unsigned i = (unsigned)rnd(ARRAY_SIZE(table_groups));
        if (table_groups[i].level == level && (table_groups[i].count > 2 || chance(20)))
            return table_groups[i].gfn + rnd(table_groups[i].count);
    }
}

static unsigned random_index(unsigned level)
{
    return indices[level][1 + rnd(indices[level][0])];
}

static u64 canonical(u64 gva)
{
    return gva & BIT(47) ? gva | ~(BIT(48) - 1) : gva & (BIT(48) - 1);
}

static u64 fresh_gva(void)
{
    u64 gva = 0;
    for (unsigned level = 1; level <= 4; level++)
        gva |= (u64)random_index(level) << (3 + 9 * level);
    return canonical(gva);
}

static u64 random_gva(void)
{
    if (chance(55))
        return recent[rnd(ARRAY_SIZE(recent))];
    return recent[rnd(ARRAY_SIZE(recent))] = fresh_gva();
}

static u64 random_page(unsigned level)
{
    static const u64 odd[] = {0x411, 0x40c, 0x40d, 0x40e, 0x40f, APIC, 0x100000, BIT(40), 0x7ffffffffull};
    if (level == 3)
        return rnd(2) * GIB;
    if (level == 2)
        return chance(90) ? rnd(3) * 2 * MIB : GIB;
    if (chance(15))
        return odd[rnd(ARRAY_SIZE(odd))] * PAGE_SIZE;
    return chance(25) ? table_of(1 + (unsigned)rnd(4)) * PAGE_SIZE
                      : (0x100 + rnd(8) + rnd(3) * 0x200) * PAGE_SIZE;
}

static u64 random_entry(unsigned level)
{
    u64 entry = maybe(BIT(0), 97) | maybe(BIT(1), 92) | maybe(BIT(2), 88) | maybe(BIT(5), 70);
    entry |= maybe(BIT(6), 55) | maybe(BIT(8), 25) | maybe(BIT(63), 4) | maybe(BIT(3), 5) | maybe(BIT(4), 5);
    entry |= rnd(8) << 9 | maybe(rnd(16) << 59, 5);
    if (level == 1 || (level < 4 && chance(15))) {
        entry |= random_page(level) | (level > 1 ? BIT(7) : 0) | maybe(level == 1 ? BIT(7) : BIT(12), 5);
    } else {
        unsigned child = chance(92) ? level - 1 : 1 + (unsigned)rnd(4);
        entry |= (chance(98) ? table_of(child) : 0x40c + rnd(8)) * PAGE_SIZE;
    }
    return entry ^ maybe(BIT(rnd(64)), 1);
}

static void entry_init(u64 g, unsigned index, u64 entry)
{
    u64 gpa = g * PAGE_SIZE + index * 8;
    memcpy(expected + gpa, &entry, sizeof(entry));
    if (places[g].type == P2M_RAM || places[g].type == P2M_RAM_RO)
        memcpy(backing(places[g].mfn) + gpa % PAGE_SIZE, &entry, sizeof(entry));
}

#define KERNEL (BIT(0) | BIT(1) | BIT(5) | BIT(6))

static void tables_make(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(table_groups); i++) {
        unsigned level = table_groups[i].level;
        for (u64 g = table_groups[i].gfn; g < table_groups[i].gfn + table_groups[i].count; g++) {
            for (unsigned j = 1; j <= indices[level][0]; j++)
                entry_init(g, indices[level][j], random_entry(level));
            if (level == 4) {
                entry_init(g, 511, g * PAGE_SIZE | KERNEL | BIT(2));
                entry_init(g, WINDOW, WINDOW_PDPT * PAGE_SIZE | KERNEL);
            }
        }
    }
    u64 global = maybe(BIT(8), 50);
    entry_init(WINDOW_PDPT, 0, WINDOW_PD * PAGE_SIZE | KERNEL);
    entry_init(WINDOW_PD, 0, KERNEL | BIT(7) | global);
    entry_init(WINDOW_PD, 1, 2 * MIB | KERNEL | BIT(7) | global);
    entry_init(WINDOW_PD, 2, WINDOW_PT * PAGE_SIZE | KERNEL);
    for (unsigned i = 0; i < 512; i++)
        entry_init(WINDOW_PT, i, i * PAGE_SIZE | KERNEL | global);
}

static u64 window_gva(u64 gpa)
{
    u64 area = gpa < 2 * MIB && chance(60) ? 4 * MIB : 0;
    return canonical((u64)WINDOW << 39 | (area + gpa));
}

// The monitored machine.
static void hw_flush_vpid(void *context, u16 vpid)
{
    (void)context;
    cpu_flush_vpid(&cpu, vpid);
}

static void hw_flush_all(void *context)
{
    (void)context;
    cpu_flush_all(&cpu);
}

// Bursts come from steps that follow closely.
static u64 hw_now(void *context)
{
    (void)context;
    return guest_time += chance(70) ? 100 : 5000;
}

// CR0.WP is always set while the guest runs: what CR0.WP = 0 allows is emulated.
static void cpu_load_context(void)
{
    unsigned physical_bits = cpu.context.physical_bits;
    cpu.context = guest;
    cpu.context.regs.cr0 |= CR0_WP;
    cpu.context.physical_bits = physical_bits;
    cpu.context.has_1g_pages = true;
}

static void root_load(void)
{
    cpu.cr3 = shadow_load_root(&shadow, &guest, &cpu.vpid);
    cpu_load_context();
}

static struct model model_of(u64 gva, struct walk_access access)
{
    return (struct model){.context = &guest,
                          .mode = PAGING_4LEVEL,
                          .gva = gva,
                          .access = access,
                          .by_user = guest.cpl == 3 && !access.implicit,
                          .memory = guest_memory};
}

static u64 hpa_of(u64 gpa)
{
    return mfn_hpa(p2m_lookup(&p2m, gpa_gfn(gpa)).mfn) | (gpa & (PAGE_SIZE - 1));
}

// One access of the guest's on its way.
struct attempt {
    struct walk_access access;
    u64 gva;
    const void *data; // of a write
    unsigned bytes;
    bool release;   // traced writes: drop the table and try again
    unsigned fixed; // hidden faults so far
    struct walk present;
    int result; // of the walk of the present tables
};

static const char *attempt_text(const struct attempt *a)
{
    static char text[200];
    snprintf(text, sizeof(text), "gva %lx %s%s cpl %u cr3 %lx cr0 %lx cr4 %lx efer %lx", a->gva,
             (const char *[]){"read", "write", "fetch"}[a->access.kind],
             a->access.implicit ? " implicit" : "", guest.cpl, guest.regs.cr3, guest.regs.cr0, guest.regs.cr4,
             guest.regs.efer);
    return text;
}

// 4.8: what a walk of the present tables sets.
static void expect_marks(const struct attempt *a)
{
    struct model m = model_of(a->gva, a->access);
    model_list(&m);
    for (unsigned i = 0; i < m.count; i++) {
        const struct model_entry *e = &m.list[i];
        if (!e->memory || e->type != P2M_RAM)
            continue;
        u64 old = expected_entry(e->gpa), value = old | BIT(5);
        if (i == m.count - 1 && a->access.kind == ACCESS_WRITE)
            value |= BIT(6);
        if (value == old)
            continue;
        history_store(e->gpa, old);
        memcpy(expected + e->gpa, &value, sizeof(value));
    }
}

// The machine frame that gpa is to lead to.
static u64 gpa_hpa(u64 gpa)
{
    enum p2m_type type;
    const u8 *memory = guest_memory(gpa, &type);
    if (type == P2M_DIRECT)
        return MACHINE + 5 * PAGE_SIZE + gpa % PAGE_SIZE;
    return memory ? ptr_hpa(memory) : ~0ull;
}

static u64 hpa_gpa(const struct attempt *a, u64 hpa)
{
    u64 frame = hpa / PAGE_SIZE - BACKING;
    if (hpa / PAGE_SIZE == MACHINE / PAGE_SIZE + 5)
        return APIC * PAGE_SIZE + hpa % PAGE_SIZE;
    if (frame >= BACKED || !owner_of[frame] || owner_of[frame] > GUEST_FRAMES)
        bad("%s leads to machine address %lx, which is not the guest's", attempt_text(a), hpa);
    return (owner_of[frame] - 1ull) * PAGE_SIZE + hpa % PAGE_SIZE;
}

static void check_success(const struct attempt *a, u64 hpa)
{
    u64 gpa = hpa_gpa(a, hpa);
    enum p2m_type type;
    guest_memory(gpa, &type);
    if (a->access.kind == ACCESS_WRITE && type != P2M_RAM && type != P2M_DIRECT)
        bad("%s writes gpa %lx, whose type is %d", attempt_text(a), gpa, type);
    bool as_present = !a->result && gpa_hpa(a->present.gpa) == hpa;
    if (a->fixed && !as_present)
        bad("%s after a hidden fault goes to gpa %lx; tables say %d, gpa %lx", attempt_text(a), gpa,
            a->result, a->present.gpa);
    struct model m = model_of(a->gva, a->access);
    if (!a->fixed && !history_allows(&m, gpa))
        bad("%s goes to gpa %lx without a fault; tables say %d, gpa %lx ec %x", attempt_text(a), gpa,
            a->result, a->present.gpa, a->present.error_code);
    happened.stale += !as_present;
    if (a->access.kind == ACCESS_WRITE && type == P2M_RAM)
        memory_store(gpa, a->data, a->bytes);
}

static void check_direct(const struct attempt *a, u32 error_code)
{
    struct model m = model_of(a->gva, a->access);
    bool as_present = a->result && a->present.error_code == error_code;
    if (!as_present && !history_allows_absent(&m, error_code))
        bad("%s faults without an exit with %x; tables say %d, ec %x gpa %lx", attempt_text(a), error_code,
            a->result, a->present.error_code, a->present.gpa);
    if (a->fixed)
        bad("%s faults without an exit after a hidden fault", attempt_text(a));
    happened.direct++;
    happened.stale_faults += !as_present;
    history_event(HISTORY_FAULT, a->gva);
}

// Whether the processor, with CR0.WP set, denies what the guest's registers allow.
static bool needs_wp_clear(const struct attempt *a)
{
    struct walk_context strict = guest;
    struct walk out;
    strict.regs.cr0 |= CR0_WP;
    struct model m = model_of(a->gva, a->access);
    m.context = &strict;
    return model_judge(&m, &out);
}

static void check_emulate(const struct attempt *a, u64 gpa)
{
    enum p2m_type type;
    guest_memory(gpa, &type);
    bool write = a->access.kind == ACCESS_WRITE;
    bool device = type == P2M_HOLE || type == P2M_DEVICE || (write && type == P2M_RAM_RO);
    if (!device && !needs_wp_clear(a))
        bad("%s is to be emulated at gpa %lx of type %d", attempt_text(a), gpa, type);
    happened.emulated++;
    if (!write || type != P2M_RAM)
        return;
    memory_store(gpa, a->data, a->bytes);
    shadow_written(&shadow, &guest, hpa_of(gpa), a->bytes);
}

// False: try again.
static bool traced_write(struct attempt *a, u64 gpa)
{
    enum p2m_type type;
    guest_memory(gpa, &type);
    if (a->access.kind != ACCESS_WRITE || type != P2M_RAM)
        bad("%s is called a write to a table", attempt_text(a));
    happened.traced++;
    if (a->release && a->fixed < TRIES / 2) {
        happened.released++;
        shadow_release(&shadow, hpa_of(gpa));
        return false;
    }
    memory_store(gpa, a->data, a->bytes);
    shadow_written(&shadow, &guest, hpa_of(gpa), a->bytes);
    return true;
}

// A #PF exit. False: the instruction is run again.
static bool fault_exit(struct attempt *a, u32 error_code)
{
    u64 gpa = a->present.gpa, hpa = 0;
    u32 ours = error_code;
    enum shadow_outcome outcome = shadow_fault(&shadow, &guest, a->gva, &ours, &hpa);
    say("    exit ec %x: outcome %d hpa %lx ec %x\n", error_code, outcome, hpa, ours);
    if ((outcome == SHADOW_GUEST_FAULT) != (a->result != 0))
        bad("%s is judged %d; tables say %d, ec %x", attempt_text(a), outcome, a->result,
            a->present.error_code);
    if (outcome == SHADOW_GUEST_FAULT) {
        if (ours != a->present.error_code)
            bad("%s faults with %x, not %x", attempt_text(a), ours, a->present.error_code);
        happened.true_faults++;
        history_event(HISTORY_FAULT, a->gva);
        memory_check_tables();
        return true;
    }
    if (!a->fixed++)
        expect_marks(a);
    memory_check_tables();
    if (outcome == SHADOW_TRACED_WRITE && hpa != hpa_of(gpa))
        bad("%s is found at hpa %lx, not %lx", attempt_text(a), hpa, hpa_of(gpa));
    if (outcome == SHADOW_TRACED_WRITE)
        return traced_write(a, gpa);
    if (outcome == SHADOW_EMULATE)
        check_emulate(a, gpa);
    else
        happened.hidden++;
    return outcome == SHADOW_EMULATE;
}

// One instruction.
static bool attempt_run(struct attempt *a)
{
    struct model m = model_of(a->gva, a->access);
    a->result = model_judge(&m, &a->present);
    cpu_load_context();
    happened.accesses++;
    say("  %s: tables say %d gpa %lx ec %x:", attempt_text(a), a->result, a->present.gpa,
        a->present.error_code);
    for (unsigned i = 0; i < m.count; i++)
        say(" %lx=%lx", m.list[i].gpa, m.list[i].value);
    say("\n");
    for (unsigned i = 0; i < TRIES; i++) {
        struct walk out;
        if (!cpu_access(&cpu, a->gva, a->access, &out)) {
            check_success(a, out.gpa);
            return true;
        }
        if (shadow_absent_is_true(&shadow) && !(out.error_code & PFEC_P)) {
            check_direct(a, out.error_code);
            return false;
        }
        if (fault_exit(a, out.error_code))
            return !a->result;
    }
    bad("%s makes no progress", attempt_text(a));
}

static void invlpg(u64 gva)
{
    say("  invlpg %lx\n", gva);
    history_event(HISTORY_INVLPG, gva);
    if (shadow_is_exact(&shadow) && chance(85))
        happened.native_invlpg++;
    else
        shadow_invlpg(&shadow, &guest, gva);
    cpu_invlpg(&cpu, gva);
}

static void cr3_load(u64 cr3)
{
    say("  cr3 %lx\n", cr3);
    history_event(HISTORY_CR3, cr3);
    guest.regs.cr3 = cr3;
    root_load();
}

// What the guest's kernel does on a page fault, mostly: the entry that denied the access is made one that
// permits it. Stores on behalf of the guest, so that a guest that has lost its window can go on.
static void repair(u64 gva)
{
    struct model m = model_of(gva, (struct walk_access){ACCESS_WRITE, false});
    struct walk out;
    unsigned percent = 100;
    while (model_judge(&m, &out) && chance(percent)) {
        const struct model_entry *e = &m.list[m.count - 1];
        for (unsigned i = 0; i < m.count; i++) {
            if (m.list[i].level == out.fault_level || (m.list[i].value & 7) != 7)
                e = &m.list[i];
        }
        if (e->type != P2M_RAM || !e->memory)
            return;
        u64 value = random_entry(e->level) | BIT(0) | BIT(1) | BIT(2);
        say("  repair %lx: %lx\n", e->gpa, value);
        memory_store(e->gpa, &value, sizeof(value));
        shadow_written(&shadow, &guest, hpa_of(e->gpa), sizeof(value));
        percent = 80;
    }
    if (chance(50))
        invlpg(gva);
}

static void window_repair(void)
{
    u64 root = guest.regs.cr3 & ~0xfffull;
    const u64 entries[][2] = {
        {root + WINDOW * 8ull, WINDOW_PDPT * PAGE_SIZE | KERNEL},
        {WINDOW_PDPT * PAGE_SIZE, WINDOW_PD * PAGE_SIZE | KERNEL},
        {WINDOW_PD * PAGE_SIZE, KERNEL | BIT(7)},
        {WINDOW_PD * PAGE_SIZE + 8, 2 * MIB | KERNEL | BIT(7)},
        {WINDOW_PD * PAGE_SIZE + 16, WINDOW_PT * PAGE_SIZE | KERNEL},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
        if (entries[i][0] >= GUEST_FRAMES * PAGE_SIZE || places[entries[i][0] / PAGE_SIZE].type != P2M_RAM)
            continue;
        memory_store(entries[i][0], &entries[i][1], 8);
        shadow_written(&shadow, &guest, hpa_of(entries[i][0]), 8);
    }
    cr3_load(guest.regs.cr3);
}

// The steps of the guest.
static bool touch(u64 gva)
{
    u64 value = random_entry(1 + (unsigned)rnd(4));
    guest.cpl = chance(50) ? 3 : 0;
    guest.rflags = maybe(RFLAGS_AC, 40);
    struct attempt a = {.access = {(enum access)rnd(3)}, .data = &value, .bytes = 8};
    // At CPL 0 the error code does not tell an implicit access, and nobody could tell the engine.
    a.access.implicit = guest.cpl == 3 && a.access.kind != ACCESS_FETCH && chance(6);
    // Nor does it tell a fetch without NXE and SMEP, which SMAP and keys do not deny as they deny a read.
    bool told = guest.regs.efer & EFER_NXE || guest.regs.cr4 & CR4_SMEP;
    if (a.access.kind == ACCESS_FETCH && !told && guest.regs.cr4 & (CR4_SMAP | CR4_PKE))
        a.access.kind = ACCESS_READ;
    a.gva = gva + random_index(1 + (unsigned)rnd(4)) * 8;
    a.release = chance(10);
    return attempt_run(&a);
}

static void step_access(void)
{
    u64 gva = random_gva();
    if (touch(gva))
        return;
    if (chance(60))
        repair(gva);
    if (chance(50))
        touch(gva);
}

// A store by the guest's kernel through its window.
static bool kernel_store(u64 gpa, const void *data, unsigned bytes)
{
    guest.cpl = 0;
    guest.rflags = 0;
    struct attempt a = {.access = {ACCESS_WRITE, false}, .data = data, .bytes = bytes, .release = chance(8)};
    a.gva = window_gva(gpa);
    happened.stores++;
    say("  store %u bytes to gpa %lx\n", bytes, gpa);
    return attempt_run(&a);
}

// An entry that gva uses, or any; with its level.
static u64 random_slot(u64 gva, unsigned *level)
{
    struct model m = model_of(gva, (struct walk_access){ACCESS_READ, false});
    if (chance(75)) {
        model_list(&m);
        const struct model_entry *e = &m.list[chance(60) ? m.count - 1 : rnd(m.count)];
        *level = e->level;
        return e->gpa;
    }
    *level = 1 + (unsigned)rnd(4);
    return table_of(*level) * PAGE_SIZE + random_index(*level) * 8;
}

static u64 edited(u64 gpa, unsigned level)
{
    static const u64 flags[] = {BIT(0), BIT(1),  BIT(2), BIT(5), BIT(6),
                                BIT(8), BIT(63), BIT(7), BIT(0), BIT(1)};
    u64 old = gpa < GUEST_FRAMES * PAGE_SIZE ? expected_entry(gpa) : 0;
    switch (rnd(10)) {
    case 0:
    case 1:
        return 0;
    case 2:
    case 3:
        return random_entry(level);
    case 4:
        return old | BIT(0) | BIT(1) | BIT(2);
    case 5:
        return old & ~(BIT(5) | maybe(BIT(6), 50));
    case 6:
        return expected_entry(table_of(level) * PAGE_SIZE + random_index(level) * 8);
    default:
        return old ^ flags[rnd(ARRAY_SIZE(flags))];
    }
}

// One store that edits an entry. False: the guest could not make it.
static bool edit(u64 gpa, unsigned level)
{
    static const u8 sizes[] = {8, 8, 8, 8, 8, 8, 4, 1, 2, 16};
    u64 values[2] = {edited(gpa, level), random_entry(level)};
    unsigned bytes = sizes[rnd(ARRAY_SIZE(sizes))];
    unsigned offset = bytes < 8 ? (unsigned)rnd(8 / bytes) * bytes : 0;
    if (bytes == 16 && gpa % PAGE_SIZE > PAGE_SIZE - 16)
        bytes = 8;
    if (gpa < MIXED * PAGE_SIZE && kernel_store(gpa + offset, (const u8 *)values + offset, bytes))
        return true;
    window_repair();
    return false;
}

static void step_edit(void)
{
    u64 gva = random_gva();
    unsigned level;
    u64 gpa = random_slot(gva, &level);
    if (edit(gpa, level) && chance(60))
        invlpg(gva);
    else if (chance(15))
        cr3_load(guest.regs.cr3);
    recent[rnd(ARRAY_SIZE(recent))] = gva;
}

// Several entries of one leaf table, as in mprotect or munmap, then the addresses that they map.
static void step_burst(void)
{
    u64 gva = random_gva();
    struct model m = model_of(gva, (struct walk_access){ACCESS_READ, false});
    model_list(&m);
    const struct model_entry leaf = m.list[m.count - 1];
    if (leaf.level != 1)
        return;
    bool flush = chance(60);
    for (unsigned i = 0; i < 8; i++) {
        u64 index = random_index(1);
        u64 address = (gva & ~(0x1ffull << 12)) | index << 12;
        if (chance(50) && !edit(align_down(leaf.gpa, PAGE_SIZE) + index * 8, 1))
            return;
        if (flush && chance(70))
            invlpg(address);
        if (chance(40))
            touch(address);
    }
}

// Many addresses, one after the other: more tables than a small pool has.
static void step_sweep(void)
{
    guest.cpl = 0;
    guest.rflags = RFLAGS_AC;
    for (unsigned i = 0; i < 120; i++) {
        struct attempt a = {.access = {ACCESS_READ, false}, .gva = fresh_gva()};
        if (!attempt_run(&a) && i < 80)
            repair(a.gva);
    }
}

static void step_invlpg(void)
{
    invlpg(random_gva());
}

static void step_root(void)
{
    u64 root = chance(25) ? guest.regs.cr3 / PAGE_SIZE : 0x10 + rnd(chance(70) ? 2 : 4);
    if (chance(2))
        root = 0x40c + rnd(8); // a hole, a device or no table
    cr3_load(root * PAGE_SIZE | (chance(50) ? BIT(3) | BIT(4) : 0));
}

// Changes that need nothing of the engine: the processor judges cached rights anew.
static void step_rights(void)
{
    guest.regs.cr0 ^= maybe(CR0_WP, 50);
    guest.regs.cr4 ^= maybe(CR4_SMEP, 40) | maybe(CR4_SMAP, 40) | maybe(CR4_PKE, 20);
    guest.pkru = (u32)(rnd(BIT(32)) & rnd(BIT(32)) & rnd(BIT(32)));
    say("  cr0 %lx cr4 %lx pkru %x\n", guest.regs.cr0, guest.regs.cr4, guest.pkru);
}

// MOV to CR4 that changes PGE flushes all.
static void step_pge(void)
{
    guest.regs.cr4 ^= CR4_PGE;
    say("  pge: cr4 %lx\n", guest.regs.cr4);
    history_start(guest.regs.cr3);
    root_load();
    cpu_flush_all(&cpu);
}

static void step_nxe(void)
{
    guest.regs.efer ^= EFER_NXE;
    say("  efer %lx\n", guest.regs.efer);
    history_start(guest.regs.cr3);
    shadow_drop_all(&shadow);
    root_load();
}

static void place_move(struct place *p)
{
    u64 target = rnd(BACKED);
    while (owner_of[target])
        target = (target + 1) % BACKED;
    memcpy(backing(target), backing(p->mfn), PAGE_SIZE);
    memset(backing(p->mfn), 0x5a, PAGE_SIZE); // somebody else's now
    owner_of[p->mfn] = 0;
    p->mfn = target;
}

static void step_p2m(void)
{
    u64 g = chance(60) ? table_of(1 + (unsigned)rnd(4)) : 0x100 + rnd(8) + rnd(3) * 0x200;
    struct place *p = &places[g];
    shadow_p2m_changing(&shadow, gfn(g), 1);
    switch (rnd(4)) {
    case 0:
        p->type = chance(50) ? P2M_HOLE : P2M_DEVICE;
        break;
    case 1:
        p->type = P2M_RAM_RO;
        break;
    case 2:
        place_move(p);
        p->type = P2M_RAM;
        break;
    default:
        p->type = P2M_RAM;
    }
    owner_of[p->mfn] = p->type == P2M_RAM || p->type == P2M_RAM_RO ? (u32)g + 1 : TAKEN;
    say("  p2m: gfn %lx is now mfn %lx type %d\n", g, BACKING + p->mfn, p->type);
    happened.p2m_changes++;
    place_apply(g);
    history_start(guest.regs.cr3);
    root_load();
}

static const struct {
    void (*run)(void);
    unsigned weight;
} steps[] = {
    {step_access, 600}, {step_edit, 220}, {step_invlpg, 60}, {step_root, 90}, {step_rights, 40},
    {step_sweep, 3},    {step_burst, 30}, {step_pge, 3},     {step_nxe, 1},   {step_p2m, 3},
};

static void step_run(void)
{
    static unsigned total;
    if (!total) {
        for (unsigned i = 0; i < ARRAY_SIZE(steps); i++)
            total += steps[i].weight;
    }
    u64 at = rnd(total);
    unsigned i = 0;
    for (; at >= steps[i].weight; i++)
        at -= steps[i].weight;
    say("step %u\n", step);
    steps[i].run();
    if (history_full())
        step_pge();
    const char *wrong = step % 32 ? NULL : shadow_audit(&shadow, &guest);
    if (wrong)
        bad("audit: %s", wrong);
}

// The parameters of a run are the digits of its number.
static void engine_make(void)
{
    static const unsigned prefetches[] = {0, 8, 64};
    const struct shadow_hw hw = {hw_flush_vpid, hw_flush_all, hw_now, NULL};
    struct shadow_config config = {
        .strategy = shadow_strategies[run % SHADOW_STRATEGIES],
        .directpf = run / 4 % 2,
        .root_vpids = run / 8 % 2,
        .physical_bits = run / 16 % 4 == 3 ? 52 : 40,
        .large = run / 2 % 3,
        .prefetch = prefetches[run / 4 % 3],
        .pool = run / 32 % 2 ? 256 : SHADOW_POOL_MIN,
    };
    cpu.context.physical_bits = config.physical_bits;
    cpu.memory = machine_memory;
    cpu_reset(&cpu);
    assert_int_equal(shadow_init(&shadow, &p2m, &config, &hw), 0);
}

static void guest_make(void)
{
    guest = (struct walk_context){
        .p2m = &p2m,
        .regs = {.cr0 = CR0_PE | CR0_PG | CR0_WP,
                 .cr3 = 0x10 * PAGE_SIZE,
                 .cr4 = CR4_PAE | CR4_PGE,
                 .efer = EFER_LME | EFER_LMA | EFER_NXE},
        .physical_bits = cpu.context.physical_bits,
        .has_1g_pages = chance(50),
    };
    for (unsigned i = 0; i < ARRAY_SIZE(recent); i++)
        recent[i] = 0;
    tables_make();
    history_start(guest.regs.cr3);
    root_load();
}

static void run_one(unsigned number)
{
    run = number;
    random_state = (run_seed + run + 1) * 0x9e3779b97f4a7c15ull | 1;
    machine_make();
    engine_make();
    guest_make();
    unsigned steps_wanted = shadow.config.strategy.cache ? STEPS : STEPS / 10;
    for (step = 0; step < steps_wanted; step++)
        step_run();
    memory_check_all();
    happened.recycled += shadow.stats.tables_recycled;
    happened.out_of_sync += shadow.stats.out_of_sync;
    machine_gone();
}

static void test_random(void **unused)
{
    (void)unused;
    const char *only = getenv("RUN");
    verbose = getenv("VERBOSE");
    run_seed = random_u64();
    if (only) {
        run_one((unsigned)strtoul(only, NULL, 0));
        return;
    }
    for (unsigned i = 0; i < RUNS; i++)
        run_one(i);
    static const struct {
        const char *what;
        const u64 *count;
        u64 least;
    } counted[] = {
        {"accesses", &happened.accesses, 100000},
        {"stores to tables", &happened.stores, 20000},
        {"hidden faults", &happened.hidden, 20000},
        {"true faults", &happened.true_faults, 10000},
        {"true faults without an exit", &happened.direct, 300},
        {"emulated", &happened.emulated, 2000},
        {"traced writes", &happened.traced, 5000},
        {"released", &happened.released, 300},
        {"stale translations used", &happened.stale, 50},
        {"INVLPG without an exit", &happened.native_invlpg, 3000},
        {"p2m changes", &happened.p2m_changes, 200},
        {"tables recycled", &happened.recycled, 50},
        {"tables left out of sync", &happened.out_of_sync, 300},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(counted); i++)
        print_message("# %lu %s\n", *counted[i].count, counted[i].what);
    for (unsigned i = 0; i < ARRAY_SIZE(counted); i++)
        assert_true(*counted[i].count >= counted[i].least);
}

int main(void)
{
    random_start();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
