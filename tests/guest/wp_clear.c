// CR0.WP = 0: whatever a supervisor stores to a read-only page arrives, by any instruction and by the
// processor itself; a page of users stays read-only for these. Each form is tried on a writable page first,
// so the test need not know what it stores. Neighbours: matrix.c (rights of all levels and situations, by a
// few forms of stores), isolation.c (what the processor itself writes to page tables).
#include "cpu.h"
#include "paging_model.h"

#define WP_PAGE 7u

void user_exit(void);
void user_write(void);
void user_read(void);

static void wp_clear(void)
{
    cr0_write(cr0_read() & ~(u64)CR0_WP);
}

static void wp_set(void)
{
    cr0_write(cr0_read() | CR0_WP);
}

static void expect_read_only(u64 gva)
{
    expect_trap("store with WP = 1", TRAP("movq $5, (%0)", ::"r"(gva) : "memory"), PF, 3);
}

// A store to `at` or above, in one page.
typedef struct trap (*store_form)(u64 at);

// What it stores to a writable page: in frame_b.
static void store_wanted(store_form store)
{
    memset(frame_b, 0, sizeof(frame_b));
    expect_trap("writable", store(page_map(WP_PAGE, (u64)frame_b, PAGE_P | PAGE_W)), NO_TRAP, 0);
}

static void store_with_wp_clear(store_form store, u64 flags)
{
    memset(frame_a, 0, sizeof(frame_a));
    u64 gva = page_map(WP_PAGE, (u64)frame_a, PAGE_P | flags);
    expect("read", *(volatile u64 *)gva, 0);
    expect_read_only(gva);
    expect("not dirty", *page_entry(WP_PAGE) & (PAGE_A | PAGE_D), PAGE_A);
    wp_clear();
    expect_trap(flags ? "user page" : "supervisor page", store(gva), NO_TRAP, 0);
    wp_set();
    expect("dirty", *page_entry(WP_PAGE) & (PAGE_A | PAGE_D), PAGE_A | PAGE_D);
    expect_read_only(gva);
    expect("as on a writable page", (u64)memcmp(frame_a, frame_b, sizeof(frame_a)), 0);
}

static void store_try(store_form store)
{
    cr4_write(cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    store_wanted(store);
    store_with_wp_clear(store, 0);
    store_with_wp_clear(store, PAGE_U);
}

#define FORM(name, code, ...)               \
    static struct trap store_##name(u64 at) \
    {                                       \
        return TRAP(code, __VA_ARGS__);     \
    }                                       \
    static void test_##name(void)           \
    {                                       \
        store_try(store_##name);            \
    }
#define AT             ::"r"(at)
#define TO_XMM1        "movl $0x1357, %%eax; movd %%eax, %%xmm1; "
#define ON_STACK(code) "movq %%rsp, %%rbx; lea 0x100(%0), %%rsp; " code "; movq %%rbx, %%rsp"

FORM(mov, "movq $0x1234, 8(%0)", AT : "memory")
FORM(push, ON_STACK("pushq $0x77"), AT : "memory", "rbx")
FORM(pushf, ON_STACK("xor %%eax, %%eax; pushfq"), AT : "memory", "rbx", "rax", "cc")
FORM(enter, "movq %%rbp, %%rcx; " ON_STACK("xor %%ebp, %%ebp; enter $8, $0") "; movq %%rcx, %%rbp", AT
     : "memory", "rbx", "rcx")
FORM(call, ON_STACK("call 95f; 95: add $8, %%rsp"), AT : "memory", "rbx", "cc")
FORM(pop, "pushq $0x99; popq 16(%0)", AT : "memory")
FORM(movaps, TO_XMM1 "movaps %%xmm1, 32(%0)", AT : "memory", "rax")
FORM(movntdq, TO_XMM1 "movntdq %%xmm1, 32(%0)", AT : "memory", "rax")
FORM(movq, TO_XMM1 "movq %%xmm1, 40(%0)", AT : "memory", "rax")
FORM(maskmovdqu, TO_XMM1 "pcmpeqb %%xmm2, %%xmm2; maskmovdqu %%xmm2, %%xmm1", ::"D"(at) : "memory", "rax")
FORM(fxsave, "fninit; fxsave64 (%0)", AT : "memory")
FORM(fnstcw, "fninit; fnstcw 4(%0)", AT : "memory")
FORM(fnsave, "fninit; fnsave 4(%0)", AT : "memory")
FORM(fist, "fninit; fld1; fistpll 24(%0)", AT : "memory")
FORM(stmxcsr, "stmxcsr 4(%0)", AT : "memory")
FORM(setcc, "xor %%eax, %%eax; sete 3(%0)", AT : "memory", "rax", "cc")
FORM(shl, "movq $3, 8(%0); shlq $4, 8(%0)", AT : "memory", "cc")
FORM(rol, "movq $3, 8(%0); rolq $61, 8(%0)", AT : "memory", "cc")
FORM(shld, "movl $0x1122, %%eax; shld $4, %%rax, 8(%0)", AT : "memory", "rax", "cc")
FORM(xadd, "movl $7, %%eax; lock xaddq %%rax, 8(%0)", AT : "memory", "rax", "cc")
FORM(cmpxchg16b, "xor %%eax, %%eax; xor %%edx, %%edx; movl $1, %%ebx; movl $2, %%ecx; lock cmpxchg16b 16(%0)",
     ::"D"(at)
     : "memory", "rax", "rbx", "rcx", "rdx", "cc")
FORM(stos, "movl $0x42, %%eax; movl $64, %%ecx; rep stosq", : "+D"(at)::"memory", "rax", "rcx")
FORM(movs, "movq %1, %%rsi; movl $100, %%ecx; rep movsb", : "+D"(at) : "i"(idt) : "memory", "rsi", "rcx")
FORM(ins, "movl $0x2ff0, %%edx; movl $9, %%ecx; rep insb", : "+D"(at)::"memory", "rdx", "rcx")
FORM(sgdt, "sgdt 8(%0)", AT : "memory")
FORM(sldt, "sldt 8(%0)", AT : "memory")
FORM(str, "str 8(%0)", AT : "memory")
FORM(smsw, "smsw 8(%0)", AT : "memory")

// Not every processor has these.
FORM(movbe_store, "movl $0x1122, %%eax; movbe %%eax, 8(%0)", AT : "memory", "rax")
FORM(xsave_store, "movl $3, %%eax; xor %%edx, %%edx; fninit; xsave64 (%0)", AT : "memory", "rax", "rdx")
FORM(vmovups_store, TO_XMM1 "vmovups %%ymm1, 33(%0)", AT : "memory", "rax")

static void test_movbe(void)
{
    if (cpuid_read(1, 0).ecx >> 22 & 1)
        test_movbe_store();
}

static void test_xsave(void)
{
    if (!(cpuid_read(1, 0).ecx >> 26 & 1))
        return;
    cr4_write(cr4_read() | CR4_OSXSAVE);
    test_xsave_store();
}

static void test_avx(void)
{
    if (!(cpuid_read(1, 0).ecx >> 28 & 1))
        return;
    cr4_write(cr4_read() | CR4_OSXSAVE);
    expect_trap("XSETBV", TRAP("xsetbv", ::"c"(0), "a"(7), "d"(0)), NO_TRAP, 0);
    test_vmovups_store();
    expect_trap("XSETBV", TRAP("xsetbv", ::"c"(0), "a"(1), "d"(0)), NO_TRAP, 0);
}

// A page that is read, but by a supervisor, and clean.
static u64 read_only_page(u64 flags)
{
    u64 gva = page_map(WP_PAGE, (u64)frame_a, PAGE_P | flags);
    expect_read_only(gva);
    return gva;
}

// The frame of an exception on a read-only stack, and its handler's own pushes.
static void test_exception_frame(void)
{
    u64 gva = read_only_page(0);
    wp_clear();
    struct trap t = TRAP("lea 0x800(%0), %%rsp; ud2", ::"r"(gva) : "memory");
    expect_trap("#UD", t, UD, 0);
    expect("RSP", t.rsp, gva + 0x800);
    expect("SS in the frame", *(u64 *)(frame_a + 0x7f8), DATA);
    wp_set();
    expect_read_only(gva);
}
#undef AT
#define AT ::"r"(gva)

// A frame that the processor writes as a supervisor while users run.
static void test_interrupt_frame_from_ring_3(void)
{
    u64 gva = read_only_page(0), stack = tss.rsp[0];
    tss.rsp[0] = gva + 0x800;
    wp_clear();
    struct trap t = user_run(user_exit, USER_CODE64, 0, 0);
    wp_set();
    tss.rsp[0] = stack;
    expect_trap("INT 80H", t, 0x80, 0);
    expect("CS in the frame", t.cs, USER_CODE64);
    expect_read_only(gva);
}

// The flags that the processor sets in descriptors: accessed, and busy.
static void test_descriptor_flags(void)
{
    struct descriptor_register there = gdt_register;
    memcpy(frame_a, gdt, gdt_register.limit + 1ul);
    u64 *copy = (u64 *)frame_a;
    copy[DATA_READONLY / 8] &= ~BIT(40);
    copy[TSS_SELECTOR / 8] &= ~BIT(41);
    there.base = read_only_page(0);
    wp_clear();
    asm volatile("lgdt %0" ::"m"(there) : "memory");
    struct trap segment = TRAP("mov %w0, %%fs", ::"r"(DATA_READONLY) : "memory");
    struct trap task = TRAP("ltr %w0", ::"r"(TSS_SELECTOR) : "memory");
    asm volatile("lgdt %0; mov %w1, %%fs" ::"m"(gdt_register), "r"(0) : "memory");
    wp_set();
    expect_trap("MOV FS", segment, NO_TRAP, 0);
    expect_trap("LTR", task, NO_TRAP, 0);
    expect("accessed", copy[DATA_READONLY / 8] >> 40 & 1, 1);
    expect("busy", copy[TSS_SELECTOR / 8] >> 41 & 1, 1);
    expect_read_only(there.base);
}

// After the supervisor's store a user may read and not write, before a supervisor's next access and after it.
static void test_users_stay_out(void)
{
    u64 gva = read_only_page(PAGE_U);
    wp_clear();
    for (u64 i = 1; i < 4; i++) {
        *(volatile u64 *)gva = i;
        expect_trap("user's store", user_run(user_write, USER_CODE64, gva, 0), PF, 7);
        expect("unharmed", *(volatile u64 *)gva, i);
        *(volatile u64 *)(gva + 8) = i;
        expect_trap("user's load", user_run(user_read, USER_CODE64, gva, 0), 0x80, 0);
        expect("read by the supervisor", *(volatile u64 *)(gva + 8), i);
    }
    wp_set();
    expect_read_only(gva);
    expect_trap("user's store with WP = 1", user_run(user_write, USER_CODE64, gva, 0), PF, 7);
}

// A page of users that the supervisor has written is theirs all the same, for SMEP
static void smep_try(u64 gva)
{
    cr4_write(cr4_read() | CR4_SMEP);
    wp_clear();
    *(volatile u8 *)gva = 0xC3; // RET
    expect_trap("SMEP", TRAP("callq *%0", ::"r"(gva) : "memory"), PF, 0x11);
    *(volatile u8 *)gva = 0xC3;
    cr4_write(cr4_read() & ~(u64)CR4_SMEP);
    expect_trap("without SMEP", TRAP("callq *%0", ::"r"(gva) : "memory"), NO_TRAP, 0);
    wp_set();
    expect_read_only(gva);
}

static void test_smep(void)
{
    struct paging_features has = paging_features();
    if (!has.smep)
        return;
    smep_try(read_only_page(PAGE_U));
    msr_write(IA32_EFER, msr_read(IA32_EFER) ^ EFER_NXE);
    smep_try(read_only_page(PAGE_U));
}

// and for SMAP.
static void test_smap(void)
{
    u64 gva = read_only_page(PAGE_U);
    if (!paging_features().smap)
        return;
    wp_clear();
    *(volatile u64 *)gva = 1;
    cr4_write(cr4_read() | CR4_SMAP);
    expect_trap("load", TRAP("movq (%0), %%rax", ::"r"(gva) : "memory", "rax"), PF, 1);
    expect_trap("store", TRAP("movq $1, (%0)", ::"r"(gva) : "memory"), PF, 3);
    expect_trap("store with AC", TRAP("stac; movq $1, (%0); clac", ::"r"(gva) : "memory", "cc"), NO_TRAP, 0);
    expect_trap("store again", TRAP("movq $2, (%0)", ::"r"(gva) : "memory"), PF, 3);
    wp_set();
    cr4_write(cr4_read() & ~(u64)CR4_SMAP);
}

// Stores to a page table through a read-only mapping of it: followed like others, also after WP is set again.
static void test_tables(void)
{
    static u64 table[512] __attribute__((aligned(4096)));
    u64 *link = (u64 *)(boot_pml4[1] & ~0xFFFull); // of the window
    u64 *directory = (u64 *)(link[0] & ~0xFFFull), window = page_gva(0) + 2 * MIB;
    memset(table, 0, sizeof(table));
    directory[1] = (u64)table | PAGE_P | PAGE_W;
    table[0] = (u64)frame_a | PAGE_P | PAGE_W;
    *(u64 *)frame_a = 0xA;
    *(u64 *)frame_b = 0xB;
    u64 gva = page_map(WP_PAGE, (u64)table, PAGE_P);
    for (unsigned i = 0; i < 4; i++) {
        expect("before", *(volatile u64 *)window, i & 1 ? 0xB : 0xA);
        wp_clear();
        u64 next = (u64)(i & 1 ? frame_a : frame_b) | PAGE_P | PAGE_W;
        asm volatile("movq %1, (%0)" AT, "r"(next) : "memory");
        asm volatile("invlpg (%0)" ::"r"(window) : "memory");
        if (i & 2)
            expect("with WP = 0", *(volatile u64 *)window, i & 1 ? 0xA : 0xB);
        wp_set();
        expect("with WP = 1", *(volatile u64 *)window, i & 1 ? 0xA : 0xB);
        expect_read_only(gva);
    }
    directory[1] = 0;
    cr3_write(cr3_read());
}

// Rights combine over the levels: a table that is reached by a writable entry and by a read-only one.
static void test_upper_levels(void)
{
    u64 *link = (u64 *)(boot_pml4[1] & ~0xFFFull), *directory = (u64 *)(link[0] & ~0xFFFull);
    u64 gva = page_map(WP_PAGE, (u64)frame_a, PAGE_P | PAGE_W | PAGE_U), other = gva + 2 * MIB;
    directory[1] = (directory[0] & ~0xFFFull) | PAGE_P | PAGE_U;
    expect_read_only(other);
    wp_clear();
    for (u64 i = 1; i < 4; i++) {
        *(volatile u64 *)other = i;
        expect("by the writable entry", *(volatile u64 *)gva, i);
        expect_trap("user, read-only entry", user_run(user_write, USER_CODE64, other, 0), PF, 7);
        expect_trap("user, writable entry", user_run(user_write, USER_CODE64, gva, 0), 0x80, 0);
    }
    wp_set();
    expect_read_only(other);
    directory[1] = 0;
    cr3_write(cr3_read());
}

static const struct test tests[] = {
#define T(name)            \
    {                      \
#name, test_##name \
    }
    T(mov),
    T(push),
    T(pushf),
    T(enter),
    T(call),
    T(pop),
    T(movaps),
    T(movntdq),
    T(movq),
    T(maskmovdqu),
    T(fxsave),
    T(fnstcw),
    T(fnsave),
    T(fist),
    T(stmxcsr),
    T(setcc),
    T(shl),
    T(rol),
    T(shld),
    T(xadd),
    T(cmpxchg16b),
    T(stos),
    T(movs),
    T(ins),
    T(sgdt),
    T(sldt),
    T(str),
    T(smsw),
    T(movbe),
    T(xsave),
    T(avx),
    T(exception_frame),
    T(interrupt_frame_from_ring_3),
    T(descriptor_flags),
    T(users_stay_out),
    T(smep),
    T(smap),
    T(tables),
    T(upper_levels),
};
GROUP(group_wp_clear, "wp_clear", tests, true);
