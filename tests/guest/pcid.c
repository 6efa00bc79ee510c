// Process-context identifiers: what CR4.PCIDE, CR3 and INVPCID refuse, and that what the architecture flushes
// is flushed, of another address space too (SDM vol. 3, 4.10.1, 4.10.4.1; vol. 2, INVPCID). Where a processor
// may keep a translation nothing is expected of it. Without PCIDs most of this is left out.
// Neighbours: cr.c (CR3 without PCIDs), torture.c.
#include "cpu.h"

#define PAGES    12u
#define PCID     5ull
#define KEEP     BIT(63)
#define RESERVED BIT(12) // of a descriptor

enum { ADDRESS, SINGLE, ALL_GLOBAL, ALL };

static u64 space_root[512] __attribute__((aligned(4096)));
static u64 space[3][512] __attribute__((aligned(4096)));

struct descriptor {
    u64 pcid, gva;
};

static bool has_pcid(void)
{
    return cpuid_read(1, 0).ecx >> 17 & 1;
}

static bool has_invpcid(void)
{
    return cpuid7_ebx() >> 10 & 1;
}

static volatile u64 *page_at(unsigned n)
{
    return (u64 *)(BIT(39) + n * 4096);
}

// The other address space: its pages are those of the window, and elsewhere.
static void space_map(const u8 *frame, u64 flags)
{
    for (unsigned n = 0; n < PAGES; n++)
        space[2][n] = (u64)frame | 7 | flags;
}

static void space_make(void)
{
    memcpy(space_root, boot_pml4, sizeof(space_root));
    space_root[1] = (u64)space[0] | 7;
    space[0][0] = (u64)space[1] | 7;
    space[1][0] = (u64)space[2] | 7;
    space_map(frame_a, 0);
    *(u64 *)frame_a = 0xAAAA;
    *(u64 *)frame_b = 0xBBBB;
}

static void space_expect(const char *what, u64 value)
{
    for (unsigned n = 0; n < PAGES; n++)
        expect(what, *page_at(n), value);
}

static void invpcid(u64 type, u64 pcid, u64 gva)
{
    struct descriptor d = {pcid, gva};
    asm volatile("invpcid %1, %0" ::"r"(type), "m"(d) : "memory");
}

static struct trap invpcid_try(u64 type, u64 pcid, u64 gva)
{
    struct descriptor d = {pcid, gva};
    return TRAP("invpcid %1, %0", ::"r"(type), "m"(d) : "memory");
}

// PCIDE needs CR3[11:0] = 0; then CR3 keeps the PCID and drops bit 63.
static void test_rules(void)
{
    u64 cr4 = cr4_read(), root = (u64)boot_pml4;
    expect_trap("bit 63 without PCIDE", cr3_try(root | KEEP), GP, 0);
    if (!has_pcid())
        return;
    cr3_write(root | BIT(3));
    expect_trap("PCIDE with CR3 bits", cr4_try(cr4 | CR4_PCIDE), GP, 0);
    cr3_write(root);
    cr4_write(cr4 | CR4_PCIDE);
    expect("PCIDE", cr4_read(), cr4 | CR4_PCIDE);
    expect_trap("bit 62", cr3_try(root | BIT(62)), GP, 0);
    expect_trap("bits 63 and 62", cr3_try(root | KEEP | BIT(62)), GP, 0);
    expect_trap("PG off", cr0_try(cr0_read() & ~(u64)CR0_PG), GP, 0);
    cr3_write(root | 0xfff);
    expect("the highest PCID", cr3_read(), root | 0xfff);
    cr4_write(cr4);
    expect("CR3 after PCIDE", cr3_read(), root | 0xfff);
    expect_trap("PCIDE with what was one", cr4_try(cr4 | CR4_PCIDE), GP, 0);
}

// With CR4.PCIDE, the other space beside the first, of which the page is returned. NULL: no PCIDs here.
static volatile u64 *spaces_begin(void)
{
    if (!has_pcid())
        return NULL;
    volatile u64 *page = (u64 *)page_map(0, (u64)frame_b, 7);
    cr4_write(cr4_read() | CR4_PCIDE);
    space_make();
    return page;
}

static void test_switch(void)
{
    u64 root = (u64)boot_pml4, other = (u64)space_root | PCID;
    volatile u64 *page = spaces_begin();
    if (!page)
        return;
    for (unsigned i = 0; i < 12; i++) {
        cr3_write(other | (i & 1 ? KEEP : 0));
        expect("CR3 with PCID", cr3_read(), other);
        space_expect("other space", 0xAAAA);
        cr3_write(root | (i & 2 ? KEEP : 0));
        expect("CR3 without", cr3_read(), root);
        expect("first space", *page, 0xBBBB);
    }
}

// One root with several PCIDs, and one PCID of several roots, each flushed when it is loaded.
static void test_shared(void)
{
    u64 root = (u64)boot_pml4;
    volatile u64 *page = spaces_begin();
    if (!page)
        return;
    for (u64 pcid = 1; pcid < 8; pcid++) {
        cr3_write((u64)space_root | pcid);
        space_expect("other space", 0xAAAA);
        cr3_write((u64)space_root | KEEP | pcid);
        space_expect("the same", 0xAAAA);
        cr3_write(root | pcid);
        expect("first space", *page, 0xBBBB);
    }
}

// All that flushes the other space from here.
static const struct way {
    const char *name;
    bool global, invpcid;
    u64 type;
} ways[] = {
    {"INVPCID of an address", false, true, ADDRESS},
    {"INVPCID of a PCID", false, true, SINGLE},
    {"INVPCID of all", false, true, ALL},
    {"INVPCID of all and global", true, true, ALL_GLOBAL},
    {"MOV to CR3", false, false, 0},
    {"CR4.PGE", true, false, 1},
    {"CR4.PCIDE", true, false, 2},
};

static void flush_otherwise(u64 how)
{
    if (how == 0) {
        cr3_write((u64)space_root | PCID);
        cr3_write((u64)boot_pml4 | KEEP);
        return;
    }
    u64 bit = how == 1 ? CR4_PGE : CR4_PCIDE;
    cr4_write(cr4_read() ^ bit);
    cr4_write(cr4_read() ^ bit);
}

static void flush_by(const struct way *way)
{
    if (!way->invpcid)
        flush_otherwise(way->type);
    else if (way->type == ADDRESS)
        for (unsigned n = 0; n < PAGES; n++)
            invpcid(ADDRESS, PCID, (u64)page_at(n));
    else
        invpcid(way->type, PCID * (way->type == SINGLE), 0);
}

// The other space's pages are mapped elsewhere while it is not in use: some or all at once, which is a burst.
static void flush_one(const struct way *way, u64 flags)
{
    space_map(frame_a, flags);
    cr3_write((u64)space_root | PCID);
    space_expect("before", 0xAAAA);
    cr3_write((u64)boot_pml4 | KEEP);
    space_map(frame_b, flags);
    flush_by(way);
    cr3_write((u64)space_root | PCID | KEEP);
    space_expect(way->name, 0xBBBB);
    space_map(frame_a, flags);
    for (unsigned n = 0; n < PAGES; n++)
        asm volatile("invlpg (%0)" ::"r"(page_at(n)) : "memory");
    space_expect("INVLPG", 0xAAAA);
    cr3_write((u64)boot_pml4 | KEEP);
    flush_otherwise(1); // what was global
}

static void test_flush(void)
{
    if (!has_pcid())
        return;
    space_make();
    cr4_write(cr4_read() | CR4_PCIDE | CR4_PGE);
    for (unsigned i = 0; i < 3 * ARRAY_SIZE(ways); i++) {
        const struct way *way = &ways[i % ARRAY_SIZE(ways)];
        if (way->invpcid && !has_invpcid())
            continue;
        flush_one(way, 0);
        if (way->global)
            flush_one(way, PAGE_G);
    }
}

// With CR0.WP = 0 the guest has other tables under shadow paging.
static void test_flush_wp_clear(void)
{
    if (!has_pcid() || !has_invpcid())
        return;
    space_make();
    cr4_write(cr4_read() | CR4_PCIDE);
    cr0_write(cr0_read() | CR0_WP);
    for (unsigned i = 0; i < 4; i++) {
        cr3_write((u64)space_root | PCID);
        space_expect("before", 0xAAAA);
        cr3_write((u64)boot_pml4 | KEEP);
        cr0_write(cr0_read() & ~(u64)CR0_WP);
        space_map(frame_b, 0);
        invpcid(SINGLE, PCID, 0);
        if (i & 1)
            cr3_write((u64)space_root | PCID | KEEP);
        cr0_write(cr0_read() | CR0_WP);
        cr3_write((u64)space_root | PCID | KEEP);
        space_expect("after", 0xBBBB);
        cr3_write((u64)boot_pml4 | KEEP);
        space_map(frame_a, 0);
    }
}

static void test_invpcid(void)
{
    for (u64 type = 0; type < 4; type++)
        expect_trap("INVPCID", invpcid_try(type, 0, 0), has_invpcid() ? NO_TRAP : UD, 0);
    if (!has_invpcid())
        return;
    for (u64 type = 0; type < 4; type++) {
        bool of_one = type <= SINGLE, address = type == ADDRESS;
        expect_trap("reserved bit", invpcid_try(type, RESERVED, 0), GP, 0);
        expect_trap("bit 63", invpcid_try(type, KEEP, 0), GP, 0);
        expect_trap("PCID without PCIDE", invpcid_try(type, PCID, 0), of_one ? GP : NO_TRAP, 0);
        expect_trap("not canonical", invpcid_try(type, 0, NON_CANONICAL), address ? GP : NO_TRAP, 0);
        expect_trap("canonical", invpcid_try(type, 0, ~0ull << 47), NO_TRAP, 0);
    }
    expect_trap("type 4", invpcid_try(4, 0, 0), GP, 0);
    if (!has_pcid())
        return;
    cr4_write(cr4_read() | CR4_PCIDE);
    for (u64 type = 0; type < 4; type++)
        expect_trap("PCID", invpcid_try(type, 0xfff, 0), NO_TRAP, 0);
}

// What lies around a descriptor is none.
static u64 around[6] = {~0ull, ~0ull, 0, 0, ~0ull, ~0ull};

static void test_operand(void)
{
    u64 page = page_map(1, (u64)frame_a, 7);
    page_map(2, 0, 0);
    memset(frame_a, 0, sizeof(frame_a));
    if (!has_invpcid())
        return;
    u64 at = (u64)around, type = SINGLE;
#define FORM(name, operand, ...) \
    expect_trap(name, TRAP("invpcid " operand ", %0", ::"r"(type), ##__VA_ARGS__ : "memory"), NO_TRAP, 0)
    FORM("RIP", "around+16(%%rip)");
    FORM("base", "(%1)", "r"(at + 16));
    FORM("displacement", "16(%1)", "r"(at));
    FORM("index", "-16(%1,%2,8)", "r"(at), "r"(4ull));
    expect_trap("R13 and R12",
                TRAP("movq %1, %%r13; movl $8, %%r12d; invpcid (%%r13,%%r12,2), %0", ::"r"(type), "r"(at)
                     : "r12", "r13", "memory"),
                NO_TRAP, 0);
    FORM("32-bit", "16(%k1)", "r"(at | BIT(40)));
    FORM("no base", "%a1", "i"(around + 2));
    expect_trap("RSP",
                TRAP("pushq $0; pushq $0; invpcid (%%rsp), %0; addq $16, %%rsp", ::"r"(type)
                     : "memory"),
                NO_TRAP, 0);
    expect_trap("not present", TRAP("invpcid (%1), %0", ::"r"(type), "r"(page + 4096) : "memory"), PF, 0);
    expect("CR2", cr2_read(), page + 4096);
    expect_trap("across", TRAP("invpcid (%1), %0", ::"r"(type), "r"(page + 4088) : "memory"), PF, 0);
    expect("CR2 across", cr2_read(), page + 4096);
    expect_trap("not canonical", TRAP("invpcid (%1), %0", ::"r"(type), "r"(NON_CANONICAL) : "memory"), GP, 0);
    page_map(2, (u64)frame_a, 7);
    expect_trap("across two pages",
                TRAP("invpcid (%1), %0", ::"r"(type), "r"(page + 4088)
                     : "memory"),
                NO_TRAP, 0);
}

static const struct test tests[] = {
    {"rules", test_rules},
    {"switch", test_switch},
    {"shared", test_shared},
    {"flush", test_flush},
    {"flush_wp_clear", test_flush_wp_clear},
    {"invpcid", test_invpcid},
    {"operand", test_operand},
};
GROUP(group_pcid, "pcid", tests, true);
