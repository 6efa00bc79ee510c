// All RAM of the memory map: every page written with a word of its own, then verified, to the last page; and
// addresses past it, where reads must give ones and writes must not reach any RAM. Sizes are not printed.
// Neighbours: info.c (map, ranges in use), hole.c (kinds of access to nothing).
#include "cpu.h"

#define MAPPED (8 * GIB) // what boot.asm maps

static bool page_is_used(u64 gpa)
{
    for (unsigned i = 0; i < info.used_count; i++) {
        if (gpa < info.used[i].end && info.used[i].start < gpa + PAGE_SIZE)
            return true;
    }
    return false;
}

static u64 pattern(u64 gpa)
{
    return gpa * 0x9E3779B97F4A7C15ull ^ 0x5A5A5A5A00000000ull;
}

// The word of a page is at an offset that differs from page to page.
static volatile u64 *word_of(u64 gpa)
{
    return (u64 *)(gpa + (gpa >> PAGE_SHIFT & 0x1FF) * 8);
}

static void for_each_page(void (*visit)(u64 gpa))
{
    for (unsigned i = 0; i < info.ram_count; i++) {
        u64 end = info.ram[i].end < MAPPED ? info.ram[i].end : MAPPED;
        for (u64 gpa = align_up(info.ram[i].start, PAGE_SIZE); gpa + PAGE_SIZE <= end; gpa += PAGE_SIZE) {
            if (!page_is_used(gpa))
                visit(gpa);
        }
    }
}

static void write_page(u64 gpa)
{
    *word_of(gpa) = pattern(gpa);
}

static unsigned bad_pages;
static void verify_page(u64 gpa)
{
    if (*word_of(gpa) != pattern(gpa) && !bad_pages++)
        fail("page %lx: expected %lx, got %lx", gpa, pattern(gpa), *word_of(gpa));
}

static void test_every_page(void)
{
    bad_pages = 0;
    for_each_page(write_page);
    for_each_page(verify_page);
    expect("bad pages", bad_pages, 0);
}

static void test_last_pages(void)
{
    for (unsigned i = 0; i < info.ram_count; i++) {
        u64 last = align_down(info.ram[i].end, PAGE_SIZE) - PAGE_SIZE;
        if (info.ram[i].end > MAPPED || page_is_used(last))
            continue;
        volatile u64 *page = (u64 *)last;
        for (unsigned word = 0; word < 512; word++)
            page[word] = last + word;
        for (unsigned word = 0; word < 512; word++)
            expect("last page", page[word], last + word);
    }
}

static u64 top_below_4g(void)
{
    u64 top = MIB;
    for (unsigned i = 0; i < info.ram_count; i++) {
        if (info.ram[i].end > top && info.ram[i].end <= 4 * GIB)
            top = info.ram[i].end;
    }
    return align_up(top, 2 * MIB) + 2 * MIB; // firmware keeps tables behind the last RAM it reports
}

static void expect_nothing(u64 gpa)
{
    volatile u64 *page = (u64 *)page_map(7, gpa, 3);
    if (page[0] != ~0ull || page[511] != ~0ull)
        fail("gpa past RAM + %lx: expected ones, got %lx", gpa - top_below_4g(), page[0]);
    page[0] = 0x4141414141414141;
    page[511] = 0;
    if (page[0] != ~0ull || page[511] != ~0ull)
        fail("gpa past RAM + %lx, written: expected ones, got %lx", gpa - top_below_4g(), page[0]);
}

static void test_beyond(void)
{
    u64 top = top_below_4g(), bits = cpuid_read(0x80000008, 0).eax & 0xFF;
    for (u64 gpa = top; gpa < top + 16 * PAGE_SIZE; gpa += PAGE_SIZE)
        expect_nothing(gpa);
    for (u64 gpa = top + MIB; gpa < 0xC0000000; gpa += 64 * MIB + 5 * PAGE_SIZE)
        expect_nothing(gpa);
    for (unsigned bit = 34; bit < bits; bit++)
        expect_nothing(BIT(bit) + bit * PAGE_SIZE);
    expect_nothing(BIT(bits) - PAGE_SIZE);
    bad_pages = 0;
    for_each_page(write_page);
    for (u64 gpa = top; gpa < 0xC0000000; gpa += 16 * MIB)
        expect_nothing(gpa);
    for_each_page(verify_page);
    expect("pages hit by writes past RAM", bad_pages, 0);
}

// Accesses that cross 4K, 2M boundaries in RAM.
static void test_crossing(void)
{
    for (u64 at = 4 * MIB; at < 32 * MIB; at += 2 * MIB) {
        if (page_is_used(at) || page_is_used(at - PAGE_SIZE))
            continue;
        for (unsigned back = 1; back < 8; back++) {
            volatile u64 *word = (u64 *)(at - back);
            *word = 0x0102030405060708 * back;
            expect("crossing", *word, 0x0102030405060708 * back);
        }
    }
}

static const struct test tests[] = {
    {"every_page", test_every_page},
    {"last_pages", test_last_pages},
    {"beyond", test_beyond},
    {"crossing", test_crossing},
};
GROUP(group_memory, "memory", tests, true);
