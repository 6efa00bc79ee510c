// Tables that point where nothing is, and tables, stacks and descriptors in one another's pages: what a guest
// can do to a monitor that keeps page tables for it. Nothing answers from where there is no RAM: reads and
// walks give ones, so a walk ends with a reserved bit. Neighbours: memory.c (addresses past RAM by 4K pages),
// hole.c (instructions), torture.c.
#include "paging_model.h"

#define ISOLATION (3ull << 39)

static u64 iso_tables[4][512] __attribute__((aligned(4096))); // by level; [0] is another page
static struct paging_features has;

// Everything in the window leads to frame_a.
static void isolation_start(void)
{
    has = paging_features();
    memset(iso_tables, 0, sizeof(iso_tables));
    boot_pml4[ISOLATION >> 39] = (u64)iso_tables[3] | 7;
    iso_tables[3][0] = (u64)iso_tables[2] | 7;
    iso_tables[2][0] = (u64)iso_tables[1] | 7;
    iso_tables[1][0] = (u64)frame_a | 7;
    cr3_write((u64)boot_pml4);
}

static void isolation_finish(void)
{
    boot_pml4[ISOLATION >> 39] = 0;
    cr3_write((u64)boot_pml4);
}

static u64 *slot_of(unsigned level)
{
    return level == 4 ? &boot_pml4[ISOLATION >> 39] : &iso_tables[level][0];
}

// The n-th place without RAM, 0 when there are no more: past RAM, where the monitor lies, between RAM and 4
// GiB, and to the end of what the processor can address.
static u64 nowhere(unsigned n)
{
    static const u64 low[] = {1 * GIB, 0xB0000000, HOLE_GPA, 5 * GIB};
    if (n < ARRAY_SIZE(low))
        return low[n];
    n -= ARRAY_SIZE(low);
    if (n < 16)
        return 128 * MIB + n * 4 * MIB;
    unsigned bit = 34 + n - 16;
    if (bit < has.physical_bits)
        return BIT(bit);
    return bit == has.physical_bits ? BIT(bit) - GIB : 0;
}

static void expect_ones(const char *what, u64 gva, u64 gpa)
{
    volatile u64 *at = (u64 *)gva;
    for (unsigned i = 0; i < 2; i++) {
        if (*at != ~0ull)
            fail("%s at %lx: expected ones, got %lx", what, gpa, *at);
        *at = 0x4141414141414141;
    }
}

// Pages of each size in places without RAM.
static void test_pages(void)
{
    isolation_start();
    for (unsigned level = 1; level <= (has.large_1g ? 3 : 2); level++) {
        u64 link = *slot_of(level), size = BIT(12 + 9 * (level - 1)), gpa;
        for (unsigned n = 0; (gpa = nowhere(n)); n++) {
            if (level == 3 && gpa < GIB)
                continue;
            *slot_of(level) = (gpa & ~(size - 1)) | 7 | (level > 1 ? PAGE_PS : 0);
            cr3_write((u64)boot_pml4);
            expect_ones("page", ISOLATION + (gpa & (size - 1)), gpa);
        }
        *slot_of(level) = link;
    }
    isolation_finish();
}

static void expect_fault(const char *what, u64 gva, u64 error)
{
    struct trap t = TRAP("movq (%0), %%rax", ::"r"(gva) : "memory", "rax");
    expect_trap(what, t, PF, error);
    expect("CR2", t.cr2, gva);
}

// Tables of each level in places without RAM, and bits that no address has.
static void test_tables(void)
{
    isolation_start();
    for (unsigned level = 4; level > 1; level--) {
        u64 link = *slot_of(level), gpa;
        for (unsigned n = 0; (gpa = nowhere(n)); n++) {
            *slot_of(level) = gpa | 7;
            cr3_write((u64)boot_pml4);
            expect_fault("table without RAM", ISOLATION, 9);
            expect_fault("its last entry", ISOLATION + (BIT(12 + 9 * (level - 1)) - 8), 9);
        }
        for (unsigned bit = has.physical_bits; bit < 52; bit++) {
            *slot_of(level) = link | BIT(bit);
            cr3_write((u64)boot_pml4);
            expect_fault("reserved bit", ISOLATION, 9);
        }
        *slot_of(level) = link;
        cr3_write((u64)boot_pml4);
        expect("after it", *(volatile u64 *)ISOLATION, *(u64 *)frame_a);
    }
    isolation_finish();
}

// A mapping moves between RAM and nothing, by every invalidation.
static void test_moves(void)
{
    isolation_start();
    volatile u64 *page = (u64 *)ISOLATION;
    *(u64 *)frame_a = 0x1111;
    for (unsigned n = 0; n < 20; n++) {
        *slot_of(1) = (u64)frame_a | 7;
        asm volatile("invlpg (%0)" ::"r"(page) : "memory");
        expect("RAM", *page, 0x1111);
        *slot_of(1) = nowhere(n % 4) | 7;
        if (n & 1)
            cr3_write(cr3_read());
        else
            asm volatile("invlpg (%0)" ::"r"(page) : "memory");
        expect_ones("page", ISOLATION, nowhere(n % 4));
    }
    expect("RAM unharmed", *(u64 *)frame_a, 0x1111);
    isolation_finish();
}

// An access over the end of a page: the fault is that of the second page, and nothing is written to the
// first.
static void test_crossing(void)
{
    static const struct {
        const char *what;
        u64 entry, read, write; // NO_TRAP or the error code
    } rows[] = {
        {"absent", 0, 0, 2},
        {"read-only", PAGE_P | PAGE_U, NO_TRAP, 3},
        {"all", PAGE_P | PAGE_W | PAGE_U, NO_TRAP, NO_TRAP},
    };
    isolation_start();
    u64 gva = ISOLATION + PAGE_SIZE - 3;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        *(u64 *)(frame_a + 4088) = 0x1122334455667788;
        iso_tables[1][1] = rows[i].entry ? (u64)frame_b | rows[i].entry : 0;
        cr3_write((u64)boot_pml4);
        struct trap t = TRAP("movq (%0), %%rax", ::"r"(gva) : "memory", "rax");
        expect_trap(rows[i].what, t, rows[i].read == NO_TRAP ? NO_TRAP : PF, rows[i].read);
        t = TRAP("movq $-1, (%0)", ::"r"(gva) : "memory");
        expect_trap(rows[i].what, t, rows[i].write == NO_TRAP ? NO_TRAP : PF, rows[i].write);
        if (t.vector == PF)
            expect("CR2", t.cr2, ISOLATION + PAGE_SIZE);
        expect("first page", *(u64 *)(frame_a + 4088),
               t.vector == PF ? 0x1122334455667788 : 0xFFFFFF4455667788);
    }
    isolation_finish();
}

// An instruction over the end of a page: MOV EAX, imm32 and RET. It faults with the second page as CR2.
static void test_code_crossing(void)
{
    static const u8 code[] = {0xB8, 0x44, 0x33, 0x22, 0x11, 0xC3};
    isolation_start();
    memcpy(frame_a + PAGE_SIZE - 3, code, 3);
    memcpy(frame_b, code + 3, 3);
    u64 gva = ISOLATION + PAGE_SIZE - 3, value = 0;
    struct trap t = TRAP("callq *%1", : "+a"(value) : "r"(gva) : "memory");
    expect_trap("absent", t, PF, msr_read(IA32_EFER) & EFER_NXE ? 0x10 : 0);
    expect("CR2", t.cr2, ISOLATION + PAGE_SIZE);
    expect("RIP", t.rip, gva);
    iso_tables[1][1] = (u64)frame_b | 7;
    t = TRAP("callq *%1", : "+a"(value) : "r"(gva) : "memory");
    expect_trap("present", t, NO_TRAP, 0);
    expect("value", value, 0x11223344);
    isolation_finish();
}

// The kernel's stack in a page that is also a page table: what delivery of an event writes there is no
// instruction.
static void test_stack_in_table(void)
{
    isolation_start();
    u64 stack = tss.rsp[0];
    for (unsigned level = 1; level <= 3; level++) {
        tss.rsp[0] = (u64)&iso_tables[level][480];
        expect("before", *(volatile u64 *)ISOLATION, *(u64 *)frame_a);
        for (unsigned i = 0; i < 3; i++) {
            struct controls c = {.wp = true};
            access_code(frame_a, 0x4321);
            struct outcome o = access_do(&c, (struct access){ISOLATION, ACCESS_FETCH, true}, 0);
            expect("fault", o.fault, false);
            expect("value", o.value, 0x4321);
            o = access_do(&c, (struct access){ISOLATION + PAGE_SIZE, ACCESS_WRITE, true}, 0);
            expect("fault of an absent page", o.fault, true);
            expect("error code", o.error, 6);
            expect("CR2", o.cr2, ISOLATION + PAGE_SIZE);
            cr3_write((u64)boot_pml4);
        }
    }
    tss.rsp[0] = stack;
    isolation_finish();
}

// A local descriptor table in a page; selector 4 is its first entry, a data segment not yet accessed.
#define LDT_DATA 4
static void load_ldt(u64 base, u64 *descriptor)
{
    *descriptor = 0x00CF92000000FFFF;
    u64 *entry = &gdt[LDT_SELECTOR / 8];
    entry[0] = 15 | (base & 0xFFFFFF) << 16 | 0x82ull << 40 | (base >> 24 & 0xFF) << 56;
    entry[1] = base >> 32;
    asm volatile("lldt %w0" ::"r"(LDT_SELECTOR) : "memory");
}

static void unload_ldt(void)
{
    asm volatile("mov %w0, %%fs; lldt %w0" ::"r"(0) : "memory");
    gdt[LDT_SELECTOR / 8] = 0x0000820000000000;
    gdt[LDT_SELECTOR / 8 + 1] = 0;
}

// Loading a segment sets the accessed flag in its descriptor: a write to a page table that no instruction
// makes.
static void test_descriptor_in_table(void)
{
    isolation_start();
    for (unsigned level = 1; level <= 3; level++) {
        u64 *descriptor = &iso_tables[level][256];
        expect("before", *(volatile u64 *)ISOLATION, *(u64 *)frame_a);
        for (unsigned i = 0; i < 3; i++) {
            load_ldt((u64)descriptor, descriptor);
            expect_trap("MOV FS", TRAP("mov %w0, %%fs", ::"r"(LDT_DATA) : "memory"), NO_TRAP, 0);
            expect("accessed", *(volatile u64 *)descriptor, 0x00CF93000000FFFF);
            cr3_write((u64)boot_pml4);
        }
        *descriptor = 0;
    }
    unload_ldt();
    isolation_finish();
}

// SMAP also denies what the processor reads by itself on a user page. Not with RFLAGS.AC, where Bochs 2.7
// permits it and the SDM does not (vol. 3, 4.6.1).
static void test_implicit(void)
{
    isolation_start();
    if (has.smap) {
        cr4_write(cr4_read() | CR4_SMAP);
        load_ldt(ISOLATION, (u64 *)frame_a);
        expect_trap("SMAP", TRAP("mov %w0, %%fs", ::"r"(LDT_DATA) : "memory"), PF, 1);
        cr4_write(cr4_read() & ~(u64)CR4_SMAP);
        expect_trap("without SMAP", TRAP("mov %w0, %%fs", ::"r"(LDT_DATA) : "memory"), NO_TRAP, 0);
        unload_ldt();
    }
    isolation_finish();
}

// Tables in the first pages of memory.
static void test_low_tables(void)
{
    isolation_start();
    static u64 saved[512];
    for (u64 gpa = 0x3000; gpa < 0x9000; gpa += 0x2000) {
        u64 *table = (u64 *)gpa;
        memcpy(saved, table, sizeof(saved));
        memset(table, 0, sizeof(saved));
        table[0] = (u64)frame_b | 7;
        *slot_of(2) = gpa | 7;
        asm volatile("invlpg (%0)" ::"r"(ISOLATION) : "memory");
        *(volatile u64 *)ISOLATION = gpa;
        expect("written through it", *(volatile u64 *)frame_b, gpa);
        expect("its entry", table[0], (u64)frame_b | 7 | PAGE_A | PAGE_D);
        *slot_of(2) = (u64)iso_tables[1] | 7;
        asm volatile("invlpg (%0)" ::"r"(ISOLATION) : "memory");
        memcpy(table, saved, sizeof(saved));
    }
    isolation_finish();
}

// A root in the first pages of memory, where the monitor can put no table of its own, and one elsewhere, in
// turn. Each sees what its own entry leads to.
static void test_low_root(void)
{
    static u64 saved[512];
    u64 *low = (u64 *)0x5000;
    isolation_start();
    memcpy(saved, low, sizeof(saved));
    memcpy(low, boot_pml4, sizeof(saved));
    low[ISOLATION >> 39] = 0;
    for (unsigned i = 0; i < 100; i++) {
        cr3_write((u64)low);
        expect("CR3", cr3_read(), (u64)low);
        expect_fault("under the low root", ISOLATION, 0);
        cr3_write((u64)boot_pml4);
        expect("under the other", *(volatile u64 *)ISOLATION, *(u64 *)frame_a);
    }
    memcpy(low, saved, sizeof(saved));
    isolation_finish();
}

static const struct test tests[] = {
    {"pages", test_pages},
    {"tables", test_tables},
    {"moves", test_moves},
    {"crossing", test_crossing},
    {"code_crossing", test_code_crossing},
    {"stack_in_table", test_stack_in_table},
    {"descriptor_in_table", test_descriptor_in_table},
    {"implicit", test_implicit},
    {"low_tables", test_low_tables},
    {"low_root", test_low_root},
};
GROUP(group_isolation, "isolation", tests, true);
