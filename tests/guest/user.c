// Ring 3: what is forbidden there, which gates it may use, I/O permission bitmap, page faults with the user
// bit, alignment checks, SYSCALL and SYSRET, SYSENTER and SYSEXIT. The ring 3 code is user_code.asm.
#include "cpu.h"

// It does not find rest with this list.
// clang-format off
#define PIECES(X)                                                                            \
    X(user_exit) X(user_syscall) X(user_after_syscall) X(user_sysenter) X(user_int81)        \
    X(user_int3) X(user_cli) X(user_sti) X(user_hlt) X(user_in) X(user_in_dword) X(user_out) \
    X(user_rdmsr) X(user_wrmsr) X(user_mov_cr0) X(user_mov_cr3) X(user_mov_cr8)              \
    X(user_mov_dr7) X(user_clts) X(user_lmsw) X(user_invlpg) X(user_wbinvd) X(user_invd)     \
    X(user_lgdt) X(user_lidt) X(user_ltr) X(user_swapgs) X(user_iret_ring0) X(user_rdtsc)    \
    X(user_cpuid) X(user_read) X(user_write) X(user_jump) X(user_misaligned)                 \
    X(user32_syscall) X(user32_exit) X(user_insb) X(user_xsetbv)
// clang-format on
#define X(name) void name(void);
PIECES(X)
#undef X

static void expect_user(const char *what, void (*code)(void), u64 argument, unsigned vector, u64 error)
{
    struct trap t = user_run(code, USER_CODE64, argument, 0);
    expect_trap(what, t, vector, error);
    expect("ring", t.cs, USER_CODE64);
}

static void test_exit(void)
{
    u64 rdi = 0;
    struct trap t = user_run(user_exit, USER_CODE64, 0, 0);
    expect_trap("INT 80", t, 0x80, 0);
    expect("CS", t.cs, USER_CODE64);
    t = user_run(user32_exit, USER_CODE32, rdi, 0);
    expect_trap("32-bit INT 80", t, 0x80, 0);
    expect("32-bit CS", t.cs, USER_CODE32);
}

static void test_privileged(void)
{
    static const struct {
        const char *name;
        void (*code)(void);
    } rows[] = {
        {"CLI", user_cli},           {"STI", user_sti},          {"HLT", user_hlt},
        {"RDMSR", user_rdmsr},       {"WRMSR", user_wrmsr},      {"read CR0", user_mov_cr0},
        {"write CR3", user_mov_cr3}, {"read CR8", user_mov_cr8}, {"read DR7", user_mov_dr7},
        {"CLTS", user_clts},         {"LMSW", user_lmsw},        {"INVLPG", user_invlpg},
        {"WBINVD", user_wbinvd},     {"INVD", user_invd},        {"LGDT", user_lgdt},
        {"LIDT", user_lidt},         {"LTR", user_ltr},          {"SWAPGS", user_swapgs},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        expect_user(rows[i].name, rows[i].code, 0, GP, 0);
    expect_user("IRET to ring 0", user_iret_ring0, 0, GP, 8);
}

static void test_gates(void)
{
    expect_user("INT of DPL 0", user_int81, 0, GP, 0x81 * 8 + 2);
    idt[0x81].dpl = 3;
    expect_user("INT of DPL 3", user_int81, 0, 0x81, 0);
    expect_user("INT3 of DPL 3", user_int3, 0, BP, 0);
    idt[BP].dpl = 0;
    expect_user("INT3 of DPL 0", user_int3, 0, GP, BP * 8 + 2);
}

// The bitmap permits port 3FFH (the UART's scratch register) and nothing else. Permission comes before any
// exit.
static void test_io_bitmap(void)
{
    expect_user("IN without a bitmap", user_in, 0x3FF, GP, 0);
    memset(tss.io_bits, 0xFF, sizeof(tss.io_bits));
    tss.io_bits[0x3FF / 8] &= (u8) ~(1 << (0x3FF % 8));
    tss.io_map = offsetof(struct tss, io_bits);
    expect_user("IN permitted", user_in, 0x3FF, 0x80, 0);
    expect_user("IN refused", user_in, 0x3FE, GP, 0);
    expect_user("dword IN over the edge", user_in_dword, 0x3FC, GP, 0);
    expect_user("OUT refused", user_out, 0x80, GP, 0);
    outb(0x3FF, 0);
    struct trap t = user_run(user_out, USER_CODE64, 0x3FF, 0x5A);
    expect_trap("OUT permitted", t, 0x80, 0);
    expect("scratch register", inb(0x3FF), 0x5A);
    expect_user("REP INSB refused", user_insb, 0x3FE, GP, 0);
}

static void test_timestamp(void)
{
    expect_user("RDTSC", user_rdtsc, 0, 0x80, 0);
    cr4_write(cr4_read() | CR4_TSD);
    expect_user("RDTSC with TSD", user_rdtsc, 0, GP, 0);
    expect_trap("RDTSC with TSD in ring 0", TRAP("rdtsc", ::: "rax", "rdx"), NO_TRAP, 0);
}

static void test_cpuid(void)
{
    expect_user("CPUID", user_cpuid, 0, 0x80, 0);
    if (!(cpuid_read(1, 0).ecx >> 26 & 1))
        return;
    expect_user("XSETBV without OSXSAVE", user_xsetbv, 0, UD, 0);
    cr4_write(cr4_read() | CR4_OSXSAVE);
    expect_user("XSETBV", user_xsetbv, 0, GP, 0);
}

static void test_page_faults(void)
{
    static const struct {
        const char *what;
        u64 flags;
        u64 read, write, jump; // error code, or NO_TRAP
    } rows[] = {
        {"absent", 0, 4, 6, 0x14},
        {"supervisor", PAGE_P | PAGE_W, 5, 7, 0x15},
        {"read-only", PAGE_P | PAGE_U, NO_TRAP, 7, NO_TRAP},
        {"no execute", PAGE_P | PAGE_W | PAGE_U | PAGE_NX, NO_TRAP, NO_TRAP, 0x15},
        {"reserved bit", PAGE_P | PAGE_W | PAGE_U | BIT(51), 13, 15, 0x1D},
        {"all", PAGE_P | PAGE_W | PAGE_U, NO_TRAP, NO_TRAP, NO_TRAP},
    };
    frame_a[0] = 0xCD; // INT 80
    frame_a[1] = 0x80;
    frame_a[0x100] = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        u64 gva = page_map(i, (u64)frame_a, rows[i].flags);
        bool reads = rows[i].read == NO_TRAP, writes = rows[i].write == NO_TRAP,
             jumps = rows[i].jump == NO_TRAP;
        expect_user(rows[i].what, user_read, gva, reads ? 0x80 : PF, reads ? 0 : rows[i].read);
        expect_user(rows[i].what, user_write, gva + 0x100, writes ? 0x80 : PF, writes ? 0 : rows[i].write);
        expect_user(rows[i].what, user_jump, gva, jumps ? 0x80 : PF, jumps ? 0 : rows[i].jump);
    }
}

// #AC needs CR0.AM, RFLAGS.AC and ring 3.
static void test_alignment(void)
{
    cr0_write(cr0_read() & ~(u64)CR0_AM);
    expect_user("AM=0", user_misaligned, 0, 0x80, 0);
    cr0_write(cr0_read() | CR0_AM);
    expect_user("AM=1", user_misaligned, 0, AC, 0);
}

void syscall_entry(void);
void syscall_entry_back(void);
void syscall_entry_noncanonical(void);
void sysenter_entry(void);
void sysenter_entry_back(void);
asm(".text\n"
    "syscall_entry: int $0x82\n"
    "syscall_entry_back: sysretq\n"
    "syscall_entry_noncanonical: mov $0x800000000000, %rcx; sysretq\n"
    "sysenter_entry: int $0x83\n"
    "sysenter_entry_back: mov %rdi, %rdx; mov %rsi, %rcx; sysexitq\n");

static void start_syscall(void (*entry)(void))
{
    msr_write(IA32_STAR, (u64)USER_CODE32 << 48 | (u64)CODE64 << 32);
    msr_write(IA32_LSTAR, (u64)entry);
    msr_write(IA32_CSTAR, (u64)entry);
    msr_write(IA32_FMASK, RFLAGS_TF | RFLAGS_IF | 1);
    msr_write(IA32_EFER, msr_read(IA32_EFER) | EFER_SCE);
}

static void test_syscall(void)
{
    expect_user("SYSCALL without SCE", user_syscall, 0, UD, 0);
    start_syscall(syscall_entry);
    struct trap t = user_run(user_syscall, USER_CODE64, 0, 0);
    expect_trap("SYSCALL", t, 0x82, 0);
    expect("CS", t.cs, CODE64);
    start_syscall(syscall_entry_back);
    t = user_run(user_syscall, USER_CODE64, 0, 0);
    expect_trap("SYSRET", t, 0x80, 0);
    expect("CS after SYSRET", t.cs, USER_CODE64);
    expect("RIP after SYSRET", t.rip, USER_ALIAS + (u64)user_after_syscall + 2);
    start_syscall(syscall_entry_noncanonical);
    t = user_run(user_syscall, USER_CODE64, 0, 0);
    expect_trap("SYSRET to a bad RIP", t, GP, 0);
    t = user_run(user32_syscall, USER_CODE32, 0, 0);
    expect_trap("SYSCALL in compatibility mode", t, UD, 0);
}

static void test_sysenter(void)
{
    msr_write(IA32_SYSENTER_CS, 0);
    expect_user("SYSENTER without a CS", user_sysenter, 0, GP, 0);
    msr_write(IA32_SYSENTER_CS, CODE64);
    msr_write(IA32_SYSENTER_ESP, tss.rsp[0]);
    msr_write(IA32_SYSENTER_EIP, (u64)sysenter_entry);
    struct trap t = user_run(user_sysenter, USER_CODE64, 0, 0);
    expect_trap("SYSENTER", t, 0x83, 0);
    expect("CS", t.cs, CODE64);
    expect("RSP", t.rsp, tss.rsp[0]);
    msr_write(IA32_SYSENTER_EIP, (u64)sysenter_entry_back);
    t = user_run(user_sysenter, USER_CODE64, USER_ALIAS + (u64)user_after_syscall,
                 USER_ALIAS + (u64)frame_a + 64);
    expect_trap("SYSEXIT", t, 0x80, 0);
    expect("CS after SYSEXIT", t.cs, USER_CODE64);
    expect("RSP after SYSEXIT", t.rsp, USER_ALIAS + (u64)frame_a + 64);
    msr_write(IA32_SYSENTER_CS, 0);
    expect_trap("SYSEXIT without a CS", TRAP("sysexit", ::: "memory"), GP, 0);
}

static const struct test tests[] = {
    {"exit", test_exit},
    {"privileged", test_privileged},
    {"gates", test_gates},
    {"io_bitmap", test_io_bitmap},
    {"timestamp", test_timestamp},
    {"cpuid", test_cpuid},
    {"page_faults", test_page_faults},
    {"alignment", test_alignment},
    {"syscall", test_syscall},
    {"sysenter", test_sysenter},
};
GROUP(group_user, "user", tests, true);
