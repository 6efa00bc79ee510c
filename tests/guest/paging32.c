// 32-bit protected mode without paging, with two-level paging and with PAE paging: the tables, and what every
// row that mode32.asm notes must be. Two groups: not every back end runs the paging modes. 4-level paging is
// exceptions.c and cr.c.
#include "cpu.h"

#define WINDOW 0x40000000u
#define ANY    0xFFFFFFFFu // in `value`: not compared

struct row {
    u32 vector, error, cr2, value;
};
struct want {
    const char *what;
    struct row row;
};
extern struct row mode32_rows[64];
extern u32 mode32_count;
extern u32 mode32_target, mode32_value; // of mode32_store
void mode32_run(u32 routine);
void mode32_unpaged(void);
void mode32_store(void);
void mode32_two_level(void);
void mode32_pae(void);

u32 pd32[1024] __attribute__((aligned(4096)));
u32 pt32[1024] __attribute__((aligned(4096)));
u64 pdpt_pae[4] __attribute__((aligned(4096)));
u64 pt_pae[512] __attribute__((aligned(4096)));
static u64 pd_pae_low[512] __attribute__((aligned(4096)));
static u64 pd_pae_window[512] __attribute__((aligned(4096)));
static u64 pd_pae_high[512] __attribute__((aligned(4096)));

#define VALUE(v)         \
    {                    \
        NO_TRAP, 0, 0, v \
    }
#define TRAPS(vector, error)  \
    {                         \
        vector, error, 0, ANY \
    }
#define FAULTS(error, gva)  \
    {                       \
        PF, error, gva, ANY \
    }
#define EXITS(paging)                                                                                \
    {"local APIC", VALUE(0x10)}, {"IOAPIC entries", VALUE(23)}, {"IOAPIC write", VALUE(0x47000000)}, \
        {"hole", VALUE(0xFFFFFFFF)}, {"REP INSB", VALUE(0x6B6B6B)}, {"CPUID", VALUE(0x756E6547)},    \
        {"EFER", VALUE(0)}, {"RDMSR", TRAPS(GP, 0)},                                                 \
    {                                                                                                \
        "CR0.PG", VALUE(paging)                                                                      \
    }
#define PAGES                                                                                         \
    {"window", VALUE(0x2468)}, {"written", VALUE(0x1357)}, {"read-only", FAULTS(3, WINDOW + 0x1008)}, \
        {"absent, read", FAULTS(0, WINDOW + 0x2010)},                                                 \
    {                                                                                                 \
        "absent, write", FAULTS(2, WINDOW + 0x2014)                                                   \
    }

static const struct want unpaged_rows[] = {
    EXITS(0),
    {"memory", VALUE(0x2468)},
    {"UD2", TRAPS(UD, 0)},
    {"INTO", TRAPS(OF, 0)},
    {"BOUND", TRAPS(BR, 0)},
    {"IRET with NT", TRAPS(TS, DATA)},
    {"PG with LME without PAE", TRAPS(GP, 0)},
    {"PG without PE", TRAPS(GP, 0)},
};
static const struct want two_level_rows[] = {
    EXITS(1),
    PAGES,
    {"page 3", {NO_TRAP, 0, 0, 0x2468}},
    {"reserved bit", FAULTS(9, WINDOW + 0x800000)},
    {"accessed and dirty", VALUE(0x63)},
    {"not dirty", VALUE(0x01)},
    {"after INVLPG", VALUE(0x8642)},
    {"after CR3", VALUE(0x2468)},
    {"LME with paging", TRAPS(GP, 0)},
};
static const struct want pae_rows[] = {
    EXITS(1),
    PAGES,
    {"reserved bit", FAULTS(9, WINDOW + 0x3000)},
    {"no execute", FAULTS(0x11, WINDOW + 0x4000)},
    {"accessed and dirty", VALUE(0x63)},
    {"PDPTE kept until CR3", VALUE(0x2468)},
    {"PDPTE absent", FAULTS(0, WINDOW)},
    {"PDPTE present", VALUE(0x2468)},
    {"CR3 with a bad PDPTE", TRAPS(GP, 0)},
    {"old PDPTEs", VALUE(0x2468)},
    {"PG with a bad PDPTE", TRAPS(GP, 0)},
    {"CR0.PG after it", VALUE(0)},
};

static void expect_rows(const struct want *want, unsigned count)
{
    expect("rows", mode32_count, count);
    for (unsigned i = 0; i < count && i < mode32_count; i++) {
        const struct row *got = &mode32_rows[i], *row = &want[i].row;
        bool value = row->value == ANY && row->vector != NO_TRAP ? true : got->value == row->value;
        if (got->vector != row->vector || got->error != row->error || got->cr2 != row->cr2 || !value)
            fail("%s: expected trap %u error %x cr2 %x value %x, got trap %u error %x cr2 %x value %x",
                 want[i].what, row->vector, row->error, row->cr2, row->value, got->vector, got->error,
                 got->cr2, got->value);
    }
}

static void run(void (*routine)(void), const struct want *want, unsigned count)
{
    *(u32 *)frame_a = 0x2468;
    *(u32 *)frame_b = 0x8642;
    tss.reserved0 = DATA; // what IRET with NT takes for the back link
    mode32_run((u32)(u64)routine);
    tss.reserved0 = 0;
    expect_rows(want, count);
    expect("back in long mode", msr_read(IA32_EFER) & EFER_LMA, EFER_LMA);
}

static void test_unpaged(void)
{
    run(mode32_unpaged, unpaged_rows, ARRAY_SIZE(unpaged_rows));
}

// Without paging the guest writes to the very table that maps a page with paging: the next translation is the
// new one. `gpa` 0: to be a page that is absent.
static void store_entry(u64 gpa)
{
    mode32_target = (u32)(u64)page_entry(0);
    mode32_value = gpa ? (u32)gpa | 7 : 0;
    mode32_run((u32)(u64)mode32_store);
    expect("the entry", *page_entry(0), mode32_value);
}

static void test_tables(void)
{
    volatile u64 *page = (u64 *)page_map(0, (u64)frame_a, 7);
    for (unsigned i = 0; i < 20; i++) {
        *(u64 *)frame_a = 0xAAAA + i;
        *(u64 *)frame_b = 0xBBBB + i;
        expect("before", *page, 0xAAAA + i);
        store_entry((u64)frame_b);
        expect("another frame", *page, 0xBBBB + i);
        store_entry(0);
        expect_trap("absent", TRAP("movl (%0), %%eax", ::"r"(page) : "memory", "rax"), PF, 0);
        store_entry((u64)frame_a);
        *page = 0xCCCC + i;
        expect("written", *(u64 *)frame_a, 0xCCCC + i);
    }
}

// Identity by 4M pages except the window; the third 4M page of the window has bit 21 set, which is reserved.
static void test_two_level(void)
{
    u32 frame = (u32)(u64)frame_a;
    for (u32 i = 0; i < 1024; i++)
        pd32[i] = i << 22 | 0x83;
    memset(pt32, 0, sizeof(pt32));
    pt32[0] = frame | 3;
    pt32[1] = frame | 1;
    pt32[3] = frame | 3;
    pd32[WINDOW >> 22] = (u32)(u64)pt32 | 7;
    pd32[(WINDOW >> 22) + 2] |= 1 << 21;
    asm volatile("" ::: "memory");
    run(mode32_two_level, two_level_rows, ARRAY_SIZE(two_level_rows));
}

static void test_pae(void)
{
    u64 frame = (u64)frame_a;
    for (u64 i = 0; i < 512; i++) {
        pd_pae_low[i] = i << 21 | 0x83;
        pd_pae_high[i] = 3 * GIB + (i << 21) + 0x83;
    }
    pdpt_pae[0] = (u64)pd_pae_low | 1;
    pdpt_pae[1] = (u64)pd_pae_window | 1;
    pdpt_pae[2] = 0;
    pdpt_pae[3] = (u64)pd_pae_high | 1;
    pd_pae_window[0] = (u64)pt_pae | 7;
    memset(pt_pae, 0, sizeof(pt_pae));
    pt_pae[0] = frame | 3;
    pt_pae[1] = frame | 1;
    pt_pae[3] = frame | 3 | BIT(51);
    pt_pae[4] = frame | 3 | PAGE_NX;
    run(mode32_pae, pae_rows, ARRAY_SIZE(pae_rows));
}

static void test_repeated(void)
{
    for (unsigned i = 0; i < 10; i++) {
        test_two_level();
        test_pae();
    }
}

static const struct test unpaged_tests[] = {
    {"unpaged", test_unpaged},
    {"tables", test_tables},
};
GROUP(group_unpaged, "unpaged", unpaged_tests, true);

static const struct test tests[] = {
    {"two_level", test_two_level},
    {"pae", test_pae},
    {"repeated", test_repeated},
};
GROUP(group_paging32, "paging32", tests, true);
