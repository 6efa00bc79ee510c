// See random_exit.h.
#include "random_exit.h"

#include <arch/cpu.h>
#include <arch/io.h>
#include <ept/ept.h>
#include <shadow/shadow.h>
#include <stdio.h>
#include <unistd.h>

#include "fake_machine.h"
#include "hv/vcpu/event.h"
#include "hv/exits/paging.h"

#define CODE        (5 * MIB)
#define WINDOW      (4 * MIB) // where most operands in RAM are; known before each exit
#define WINDOW_SIZE (2 * PAGE_SIZE)
#define TABLES      (1 * MIB) // of fake_machine
#define POISON      0xa5
#define POISON_WORD 0xa5a5a5a5u
#define STACK       4096 // of a handler that is looked at
#define CANARIES    8
#define WORK        60000 // VMREADs and VMWRITEs of one exit at most
#define SECONDS     60    // of one guest at most

static struct vcpu *v;
static mfn_t canaries[CANARIES];
static unsigned exit_number;

static bool one_in(u64 n)
{
    return random_below(n) == 0;
}

static u64 device_address(void)
{
    u64 page = one_in(2) ? GUEST_IOAPIC_GPA : GUEST_LAPIC_GPA;
    return page + (one_in(2) ? 16 * random_below(0x41) : random_below(0x1010) - 8);
}

static u64 any_value(void)
{
    switch (random_below(10)) {
    case 0:
        return 0;
    case 1:
        return ~0ull;
    case 2:
        return BIT(random_below(64)) - random_below(18);
    case 3:
        return random_below(256);
    case 4:
        return WINDOW + random_below(WINDOW_SIZE);
    case 5:
        return 0xffffffff - random_below(18);
    case 6:
        return TABLES + random_below(6 * PAGE_SIZE);
    case 7:
        return 0x800000000000 - random_below(18); // addresses above are not canonical
    case 8:
        return random_u64();
    default:
        return device_address();
    }
}

static const u8 one_byte[] = {0x00, 0x01, 0x02, 0x03, 0x11, 0x13, 0x1b, 0x21, 0x23, 0x29, 0x31,
                              0x33, 0x38, 0x3b, 0x63, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87,
                              0x88, 0x89, 0x8a, 0x8b, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xaa,
                              0xab, 0xac, 0xad, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff};
static const u8 two_byte[] = {0xa3, 0xab, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7, 0xba,
                              0xbb, 0xbe, 0xbf, 0xc0, 0xc1, 0xc3, 0xc7};
static const u8 prefixes[] = {0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x64, 0x65};

// Those that are worth more than chance gives them: wide, locked, repeated, with an operand besides RSI's.
static const char *const aimed[] = {
    "\x48\x0f\xc7\x0e",
    "\xf0\x48\x0f\xc7\x0e",
    "\x0f\xc7\x0e",
    "\xf0\x0f\xc7\x0e",
    "\xf0\x48\x01\x06",
    "\x48\x87\x06",
    "\xf3\xa5",
    "\xf3\x48\xa5",
    "\xa4",
    "\xf3\xab",
    "\xf3\xad",
    "\x67\xf3\xa5",
    "\x48\x0f\xab\x06",
    "\x48\x8b\x06",
    "\x8b\x06",
};

#define PICK(table) (table)[random_below(ARRAY_SIZE(table))]

static unsigned draw_opcode(u8 *code)
{
    unsigned n = 0;
    while (n < 4 && one_in(3))
        code[n++] = PICK(prefixes);
    if (one_in(2))
        code[n++] = (u8)(0x40 | random_below(16));
    bool two = one_in(3);
    if (two)
        code[n++] = 0x0f;
    code[n++] = two ? PICK(two_byte) : PICK(one_byte);
    code[n++] = (u8)(random_below(8) << 3 | (one_in(2) ? 6 : random_below(8)) | (one_in(4) ? 0x40 : 0));
    return n;
}

// An instruction that is mostly one that the monitor knows, at RIP, which may be near the end of a page.
static void draw_code(void)
{
    u8 code[24];
    const char *known = PICK(aimed);
    u64 rip = CODE + (one_in(8) ? PAGE_SIZE - random_below(20) : 0x100);
    unsigned n = one_in(3) ? (unsigned)strlen(known) : 0;
    memcpy(code, known, n);
    if (!n)
        n = draw_opcode(code);
    while (n < sizeof(code))
        code[n++] = one_in(2) ? 0 : (u8)random_below(256);
    assert_int_equal(vm_ram_write(v->vm, rip, code, sizeof(code)), 0);
    fake_vmcs_set(GUEST_RIP, rip);
    fake_vmcs_set(EXIT_INSTRUCTION_LENGTH, 1 + random_below(15));
}

static void draw_segments(void)
{
    static const u64 rights[] = {0xc093, 0xc091, 0xc097, 0x97, 0x93, 0xc0f3, 0x1c093, 0xc09b, 0xc099};
    for (unsigned i = INSN_ES; i <= INSN_GS; i++) {
        bool any = one_in(4);
        fake_vmcs_set(GUEST_ES_BASE + 2 * i, any ? any_value() : 0);
        fake_vmcs_set(GUEST_ES_LIMIT + 2 * i, any ? any_value() : 0xffffffff);
        if (i != INSN_CS)
            fake_vmcs_set(GUEST_ES_ACCESS_RIGHTS + 2 * i, any ? PICK(rights) : RIGHTS_DATA);
    }
    bool long_mode = vmcs_read(ENTRY_CONTROLS) & ENTRY_IA32E_GUEST;
    u64 small = one_in(2) ? RIGHTS_CODE_32 : RIGHTS_CODE_16;
    fake_vmcs_set(GUEST_CS_ACCESS_RIGHTS, long_mode && !one_in(4) ? RIGHTS_CODE_64 : small);
    fake_vmcs_set(GUEST_CS_BASE, 0); // where the code is
}

static void draw_registers(void)
{
    for (unsigned i = 0; i < GPRS; i++)
        *vcpu_reg(v, i) = any_value();
    if (one_in(2))
        *vcpu_reg(v, GPR_RSI) = device_address();
    if (one_in(2))
        *vcpu_reg(v, GPR_RCX) = random_below(20);
    fake_vmcs_set(GUEST_RSP, any_value());
    fake_vmcs_set(GUEST_RFLAGS, RFLAGS_FIXED | (random_u64() & 0x40dd5));
    fake_vmcs_set(GUEST_INTERRUPTIBILITY, one_in(8) ? random_below(4) : 0);
}

static void draw_event(void)
{
    static const u64 events[] = {0x80000020, 0x80000202, 0x80000b0d, 0x80000b0e,
                                 0x80000b08, 0x80000603, 0x80000480, 0x80000306};
    fake_vmcs_set(ENTRY_INTERRUPTION_INFO, 0);
    fake_vmcs_set(IDT_VECTORING_INFO, one_in(16) ? PICK(events) : 0);
    fake_vmcs_set(IDT_VECTORING_ERROR_CODE, random_below(16));
    v->delivering = event_redeliver(v);
}

static void draw_violation(void)
{
    u64 gpa = one_in(4) ? any_value() & (BIT(40) - 1) : device_address();
    fake_vmcs_set(GUEST_PHYSICAL_ADDRESS, gpa);
    fake_vmcs_set(EXIT_QUALIFICATION, (one_in(16) ? 4 : 1 + random_below(3)) | (one_in(16) ? 0x80 : 0x180));
}

static void draw_page_fault(void)
{
    fake_vmcs_set(EXIT_QUALIFICATION, one_in(3) ? any_value() : device_address());
    fake_vmcs_set(EXIT_INTERRUPTION_ERROR_CODE, random_below(32));
}

static void draw_io(void)
{
    static const u16 ports[] = {0x3f8, 0x3f9, 0x3fd, 0x3ff, 0x64, 0xf4, 0x600, 0x601, 0xcf8, 0xcf9, 0xffff};
    static const u8 sizes[] = {0, 1, 3};
    u64 port = one_in(2) ? PICK(ports) : random_below(0x10000);
    fake_vmcs_set(EXIT_QUALIFICATION, PICK(sizes) | random_below(8) << 3 | port << 16);
    fake_vmcs_set(EXIT_INSTRUCTION_INFO, random_below(3) << 7 | random_below(6) << 15);
    if (one_in(2))
        *vcpu_reg(v, GPR_RSI) = *vcpu_reg(v, GPR_RDI) = WINDOW + random_below(WINDOW_SIZE);
}

static void draw_vmcall(void)
{
    *vcpu_reg(v, GPR_RAX) = random_below(10);
}

static void draw_msr(void)
{
    u64 any = one_in(2) ? random_below(0x2000) : random_u64();
    *vcpu_reg(v, GPR_RCX) = one_in(2) ? 0x800 + random_below(0x100) : any;
}

static void draw_cr(void)
{
    static const u8 registers[] = {0, 3, 4, 8};
    u64 type = random_below(4), cr = PICK(registers);
    if (type == 1)
        cr = 3; // only CR3 is read by an exit
    fake_vmcs_set(EXIT_QUALIFICATION, cr | type << 4 | random_below(16) << 8 | random_below(16) << 16);
}

static void draw_gva(void)
{
    fake_vmcs_set(EXIT_QUALIFICATION, any_value());
}

static u8 *window(void)
{
    return phys_ptr(mfn_hpa(p2m_lookup(&v->vm->p2m, gpa_gfn(WINDOW)).mfn));
}

// With PCIDs or without; the descriptor is random, and often one that is legal.
static void draw_invpcid(void)
{
    const u64 d[2] = {one_in(2) ? random_below(0x1000) : any_value(), any_value()};
    u64 base = random_below(16), type = random_below(16), at = WINDOW + random_below(WINDOW_SIZE);
    fake_vmcs_set(EXIT_QUALIFICATION, one_in(4) ? any_value() : at - *vcpu_reg(v, (unsigned)base));
    fake_vmcs_set(EXIT_INSTRUCTION_INFO, random_below(4) | random_below(3) << 7 | random_below(6) << 15 |
                                             random_below(16) << 18 | (one_in(4) ? 0 : BIT(22)) | base << 23 |
                                             (one_in(8) ? BIT(27) : 0) | type << 28);
    *vcpu_reg(v, (unsigned)type) = one_in(8) ? any_value() : random_below(5);
    if (at % PAGE_SIZE <= PAGE_SIZE - sizeof(d))
        memcpy(window() + (at - WINDOW), d, sizeof(d));
}

static void draw_leaf(void)
{
    *vcpu_reg(v, GPR_RAX) = one_in(2) ? random_below(32) : 0x40000000ull * random_below(4) + random_below(9);
    *vcpu_reg(v, GPR_RCX) = random_below(20);
}

static void draw_nothing(void)
{
}

enum { ANY_MMU, EPT_ONLY, SHADOW_ONLY };

// Left out: INVD (WBINVD) and NMIs (IRET), which are little but the instructions themselves.
static const struct kind {
    const char *name;
    enum verdict (*handle)(struct vcpu *v);
    void (*draw)(void);
    unsigned share;
    unsigned mmu;
} kinds[] = {
    {"EPT violation", exit_ept_violation, draw_violation, 40, EPT_ONLY},
    {"#PF", exit_page_fault, draw_page_fault, 40, SHADOW_ONLY},
    {"I/O", exit_io, draw_io, 20, ANY_MMU},
    {"VMCALL", exit_vmcall, draw_vmcall, 8, ANY_MMU},
    {"RDMSR", exit_rdmsr, draw_msr, 6, ANY_MMU},
    {"WRMSR", exit_wrmsr, draw_msr, 6, ANY_MMU},
    {"CR access", exit_cr_access, draw_cr, 2, ANY_MMU},
    {"CPUID", exit_cpuid, draw_leaf, 4, ANY_MMU},
    {"XSETBV", exit_xsetbv, draw_nothing, 2, ANY_MMU},
    {"INVLPG", exit_invlpg, draw_gva, 4, SHADOW_ONLY},
    {"INVPCID", exit_invpcid, draw_invpcid, 4, SHADOW_ONLY},
    {"RDPMC", exit_rdpmc, draw_nothing, 1, ANY_MMU},
    {"VMX instruction", exit_undefined, draw_nothing, 1, ANY_MMU},
    {"NMI window", exit_nmi_window, draw_nothing, 1, ANY_MMU},
    {"interrupt window", exit_interrupt_window, draw_nothing, 1, ANY_MMU},
    {"machine check", exit_machine_check, draw_nothing, 1, ANY_MMU},
    {"preemption timer", exit_preemption_timer, draw_nothing, 1, ANY_MMU},
    {"triple fault", exit_triple_fault, draw_nothing, 1, ANY_MMU},
    {"INIT", exit_init, draw_nothing, 1, ANY_MMU},
    {"task switch", exit_task_switch, draw_nothing, 1, ANY_MMU},
};

static const struct kind *draw_kind(void)
{
    for (unsigned tries = 0; tries < 100; tries++) { // a fuzzer's numbers may be the same for ever
        const struct kind *kind = &PICK(kinds);
        bool has = kind->mmu == ANY_MMU || (kind->mmu == EPT_ONLY) == (v->mmu->ops == &ept_ops);
        if (has && random_below(40) < kind->share)
            return kind;
    }
    return &kinds[ARRAY_SIZE(kinds) - 1];
}

#define complain(kind, ...)                                                          \
    do {                                                                             \
        fprintf(stderr, "# exit %u of this guest, %s\n", exit_number, (kind)->name); \
        fail_msg(__VA_ARGS__);                                                       \
    } while (0)

// Whether a value is a piece of the monitor's: bytes that were on its stack, or an address of its own.
// MemorySanitizer stops here at what is not initialised.
static bool is_monitors(u64 value)
{
    u64 here = (u64)__builtin_frame_address(0), image = (u64)&kinds;
    return (u32)value == POISON_WORD || value >> 32 == POISON_WORD || value - phys_base < 4 * GIB ||
           value - (here - MIB) < 2 * MIB || value - (image - 16 * MIB) < 32 * MIB;
}

static void check_bytes(const struct kind *kind, const char *where, const void *bytes, unsigned count)
{
    u64 value;
    for (unsigned at = 0; at + sizeof(value) <= count; at += sizeof(value)) {
        memcpy(&value, (const u8 *)bytes + at, sizeof(value));
        if (value && is_monitors(value))
            complain(kind, "%s has the monitor's %lx at %u", where, value, at);
    }
}

static void check_leaks(const struct kind *kind, const struct gprs *before)
{
    for (unsigned i = 0; i < GPRS; i++) {
        if (is_monitors(v->world.regs.r[i]) && v->world.regs.r[i] != before->r[i])
            complain(kind, "register %u is the monitor's %lx", i, v->world.regs.r[i]);
    }
    check_bytes(kind, "its memory", window(), WINDOW_SIZE);
    check_bytes(kind, "what it sent", machine_uart, machine_uart_count);
    if (is_monitors(fake_cr2) || is_monitors(vmcs_read(ENTRY_EXCEPTION_ERROR_CODE)))
        complain(kind, "CR2 %lx or an error code is the monitor's", fake_cr2);
}

static void check_canaries(const struct kind *kind)
{
    for (unsigned i = 0; i < CANARIES; i++) {
        const u8 *page = mfn_ptr(canaries[i]);
        for (unsigned at = 0; at < PAGE_SIZE; at++) {
            if (page[at] != POISON)
                complain(kind, "machine frame %lx is written, which is not the guest's", canaries[i].n);
        }
    }
}

#define ERROR_CODES (BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17) | BIT(21))

// SDM vol. 3, 27.2.1.3 and 27.3.1.4.
static void check_entry(const struct kind *kind, enum verdict verdict)
{
    u64 info = vmcs_read(ENTRY_INTERRUPTION_INFO), rflags = vmcs_read(GUEST_RFLAGS);
    unsigned type = info >> 8 & 7, vector = info & 0xff;
    bool error_code = info & BIT(11);
    if (verdict == VERDICT_FAULT && !(info & INFO_VALID))
        complain(kind, "no exception is queued");
    if (!(rflags & RFLAGS_FIXED) || rflags >> 22 || rflags & 0x8028)
        complain(kind, "RFLAGS %lx", rflags);
    if (!(info & INFO_VALID))
        return;
    if (info & 0x7ffff000 || type == 1 || type == 7 || (type == 2 && vector != 2) ||
        (type == 3 && vector > 31))
        complain(kind, "the entry fails for the event %lx", info);
    if (error_code && (type != 3 || !(ERROR_CODES >> vector & 1)))
        complain(kind, "the event %lx has no error code", info);
}

// A device's page answers: then the instruction is done, in part at least, and not run again for ever.
static void check_progress(const struct kind *kind, enum verdict verdict, u64 rip, const struct gprs *before)
{
    bool device = kind->handle == exit_ept_violation &&
                  p2m_lookup(&v->vm->p2m, gpa_gfn(vmcs_read(GUEST_PHYSICAL_ADDRESS))).type == P2M_DEVICE;
    if (verdict == VERDICT_NEXT && v->next_rip == rip)
        complain(kind, "the instruction is done, and the next one is itself");
    if (device && verdict == VERDICT_RESUME && v->world.regs.r[GPR_RCX] == before->r[GPR_RCX])
        complain(kind, "the instruction is run again as it was");
}

static __attribute__((noinline)) void poison_stack(void)
{
    volatile u8 below[STACK];
    for (unsigned i = 0; i < sizeof(below); i++)
        below[i] = POISON;
}

static void draw_state(const struct kind *kind)
{
    machine_uart_count = 0;
    machine_console_length = 0;
    fake_msr_write_count = 0;
    fake_cr2 = 0;
    draw_segments();
    draw_registers();
    draw_code();
    draw_event();
    kind->draw();
    memset(window(), 0, WINDOW_SIZE);
}

static bool has_window(void)
{
    return p2m_lookup(&v->vm->p2m, gpa_gfn(WINDOW)).type == P2M_RAM;
}

// False: the guest cannot go on.
static bool one_exit(void)
{
    const struct kind *kind = draw_kind();
    draw_state(kind);
    struct gprs before = v->world.regs;
    u64 rip = vmcs_read(GUEST_RIP), work = v->vmcs.reads + v->vmcs.writes;
    poison_stack();
    enum verdict verdict = kind->handle(v);
    if (verdict != VERDICT_STOP && (v->refresh || v->refresh_controls))
        paging_refresh(v);
    work = v->vmcs.reads + v->vmcs.writes - work;
    if (work > WORK)
        complain(kind, "%lu accesses to the VMCS in one exit", work);
    check_leaks(kind, &before);
    check_progress(kind, verdict, rip, &before);
    if (vmcs_read(GUEST_RIP) != rip)
        complain(kind, "RIP has moved, which only the dispatcher does");
    if (verdict != VERDICT_STOP)
        check_entry(kind, verdict);
    return !v->unsupported && has_window();
}

static void make_canaries(void)
{
    for (unsigned i = 0; i < CANARIES; i++) {
        assert_int_equal(frames_alloc(v->vm->frames, ORDER_4K, FRAME_MONITOR, &canaries[i]), 0);
        memset(mfn_ptr(canaries[i]), POISON, PAGE_SIZE);
    }
}

static void make(void)
{
    static const struct mmu_options options = {.vpid = true,
                                               .strategy = SHADOW_ADAPTIVE,
                                               .root_vpids = true,
                                               .directpf = true,
                                               .large = true,
                                               .pool = 64};
    unsigned flags = MACHINE_UNRESTRICTED | (one_in(2) ? MACHINE_X2APIC : 0);
    bool shadow = one_in(2);
    v = shadow ? machine_make_for(&shadow_ops, &options, flags) : machine_make(flags);
    v->cr4_allowed &= ~CR4_PKE; // the host has no such register to read
    if (one_in(4))
        machine_caps.pin.may &= ~(u32)PIN_VIRTUAL_NMIS;
    v->vm->compare = one_in(2);
    if (shadow || !one_in(4))
        machine_start_64(v);
    else
        machine_start_32(v);
    make_canaries();
}

void random_guest(unsigned exits)
{
    alarm(SECONDS); // a handler that does not end
    make();
    for (exit_number = 0; exit_number < exits && one_exit(); exit_number++)
        ;
    check_canaries(&kinds[0]);
    fake_cpu_reset(); // the state was drawn, also such as no processor enters with: check_entry has judged
                      // what is not
    machine_gone();
    alarm(0);
}
