// #PF exits under shadow paging, with a back end that is told what to judge: the instruction that writes to a
// watched page table is carried out as the processor would, or not at all; events and single steps; the cache
// of decoded instructions.

// link: MACHINE hv/exits/fault.c hv/insn/insn_cache.c
#include "fake_machine.h"

#include <arch/cpu.h>

#include "hv/vcpu/event.h"

#define CODE    (2 * MIB) // gva and gpa
#define HIGH    0xffff888000000000ull
#define TABLE   (3 * MIB)
#define SLOT    0x128
#define OLD     0x1122334455667788ull
#define RAX     0xdeadbeefcafe1267ull
#define PENDING BIT(14)

static struct vcpu *v;
static enum mmu_outcome outcome;
static enum verdict verdict; // of run
static u64 table_hpa, fault_gpa, written_gpa, written_bytes,
    released_gpa; // as if TABLE were at its own machine address
static bool translates;

static enum mmu_outcome fake_fault(struct vcpu *vcpu, struct mmu_fault *fault)
{
    gfn_t code = gpa_gfn((u32)vmcs_read(GUEST_RIP));
    fault->hpa = fault_gpa - TABLE + table_hpa;
    fault->rip = vmcs_read(GUEST_RIP);
    fault->code = mfn_hpa(p2m_lookup(&vcpu->vm->p2m, code).mfn) | (fault->rip & (PAGE_SIZE - 1));
    if (!translates)
        fault->code = 0;
    return outcome;
}

static void fake_carried_out(struct vcpu *vcpu, const struct mmu_fault *fault, unsigned bytes)
{
    (void)vcpu;
    written_gpa = fault->hpa - table_hpa + TABLE;
    written_bytes = bytes;
}

static void fake_release(struct vcpu *vcpu, u64 hpa)
{
    (void)vcpu;
    released_gpa = hpa - table_hpa + TABLE;
}

static struct mmu_ops fake_mmu;

static int setup(void **state)
{
    machine_setup(state);
    fake_mmu = *v->mmu->ops;
    fake_mmu.fault = fake_fault;
    fake_mmu.carried_out = fake_carried_out;
    fake_mmu.release = fake_release;
    machine_set_ops(v, &fake_mmu);
    table_hpa = mfn_hpa(p2m_lookup(&v->vm->p2m, gpa_gfn(TABLE)).mfn);
    translates = true;
    outcome = MMU_TRACED;
    return 0;
}

static void poke(u64 gpa, const void *bytes, unsigned count)
{
    assert_int_equal(vm_ram_write(v->vm, gpa, bytes, count), 0);
}

static u64 peek(u64 gpa)
{
    u64 value;
    assert_int_equal(vm_ram_read(v->vm, gpa, &value, sizeof(value)), 0);
    return value;
}

// Runs the exit of `code` at `rip`, which faults at gva = gpa = `at`. RDI holds `at`, memory OLD.
static void run(u64 rip, const char *code, unsigned length, u64 at)
{
    u64 old = OLD;
    written_gpa = written_bytes = released_gpa = 0;
    fault_gpa = at;
    poke((u32)rip, code, length);
    if (at % PAGE_SIZE <= PAGE_SIZE - sizeof(old))
        poke(at, &old, sizeof(old));
    v->world.regs.r[GPR_RAX] = RAX;
    v->world.regs.r[GPR_RDI] = at;
    vmcs_write(GUEST_RIP, rip);
    fake_vmcs_set(EXIT_QUALIFICATION, at);
    fake_vmcs_set(EXIT_INTERRUPTION_ERROR_CODE, PFEC_P | PFEC_W);
    vmcs_write(GUEST_RFLAGS, vmcs_read(GUEST_RFLAGS) | RFLAGS_RF);
    verdict = exit_page_fault(v);
    assert_int_equal(vmcs_read(GUEST_RIP), rip);
    fake_entry_check();
}

static void assert_written(u64 at, unsigned bytes, u64 value, u64 rip)
{
    assert_int_equal(verdict, VERDICT_NEXT);
    assert_int_equal(v->next_rip, rip);
    assert_int_equal(released_gpa, 0);
    assert_int_equal(written_gpa, at);
    assert_int_equal(written_bytes, bytes);
    assert_int_equal(peek(at), value);
    assert_false(vmcs_read(GUEST_RFLAGS) & RFLAGS_RF);
}

static void assert_released(u64 at)
{
    assert_int_equal(verdict, VERDICT_RESUME);
    assert_int_equal(released_gpa, at);
    assert_int_equal(written_bytes, 0);
    if (at % PAGE_SIZE <= PAGE_SIZE - sizeof(u64))
        assert_int_equal(peek(at), OLD);
}

#define CODE_OF(text) text, sizeof(text) - 1

static const struct sample {
    const char *code;
    u8 length, bytes;
    u64 value, rax, flags; // memory, RAX and the status flags afterwards
} samples[] = {
    {CODE_OF("\x48\x89\x07"), 8, RAX, RAX, 0},                                  // mov [rdi], rax
    {CODE_OF("\x89\x07"), 4, 0x11223344cafe1267, RAX, 0},                       // mov [rdi], eax
    {CODE_OF("\x66\x89\x07"), 2, 0x1122334455661267, RAX, 0},                   // mov [rdi], ax
    {CODE_OF("\x88\x27"), 1, 0x1122334455667712, RAX, 0},                       // mov [rdi], ah
    {CODE_OF("\x48\xc7\x07\xfe\xff\xff\xff"), 8, -2ull, RAX, 0},                // mov qword [rdi], -2
    {CODE_OF("\xc6\x07\x80"), 1, 0x1122334455667780, RAX, 0},                   // mov byte [rdi], 80h
    {CODE_OF("\x48\x87\x07"), 8, RAX, OLD, 0},                                  // xchg [rdi], rax
    {CODE_OF("\xf0\x80\x27\x07"), 1, 0x1122334455667700, RAX, BIT(6) | BIT(2)}, // lock and byte [rdi], 7
    {CODE_OF("\xf0\x48\x0f\xba\x37\x03"), 8, OLD & ~8ull, RAX, BIT(0)},         // lock btr qword [rdi], 3
    {CODE_OF("\xf0\x48\x0f\xb1\x37"), 8, OLD, OLD,
     BIT(0) | BIT(2) | BIT(4) | BIT(7)}, // lock cmpxchg [rdi], rsi
};
#define STATUS (BIT(0) | BIT(2) | BIT(4) | BIT(6) | BIT(7) | BIT(11))

// Each twice, so that the second time it is in the cache, at a low and a high RIP; all at one RIP, so that
// what the cache holds is never the instruction that is there.
static void stores(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4 * ARRAY_SIZE(samples); i++) {
        const struct sample *s = &samples[i / 2 % ARRAY_SIZE(samples)];
        u64 rip = CODE + 0x33 + (i < 2 * ARRAY_SIZE(samples) ? 0 : HIGH);
        vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED);
        run(rip, s->code, s->length, TABLE + SLOT);
        assert_written(TABLE + SLOT, s->bytes, s->value, rip + s->length);
        assert_int_equal(v->world.regs.r[GPR_RAX], s->rax);
        if (s->flags != (vmcs_read(GUEST_RFLAGS) & STATUS) && s->code[1] != '\x48')
            fail_msg("sample %u: flags %lx", i / 2, vmcs_read(GUEST_RFLAGS));
    }
}

// The stack pointer is in the VMCS, as operand and as address.
static void stack_pointer(void **state)
{
    (void)state;
    vmcs_write(GUEST_RSP, 0x1234567890);
    run(CODE, CODE_OF("\x48\x87\x27"), TABLE + SLOT); // xchg [rdi], rsp
    assert_written(TABLE + SLOT, 8, 0x1234567890, CODE + 3);
    assert_int_equal(vmcs_read(GUEST_RSP), OLD);
    vmcs_write(GUEST_RSP, TABLE - 16);
    run(CODE, CODE_OF("\x48\x89\x44\x24\x10"), TABLE); // mov [rsp + 16], rax
    assert_written(TABLE, 8, RAX, CODE + 5);
    assert_int_equal(vmcs_read(GUEST_RSP), TABLE - 16);
}

// An operand in two pages, and what writes more than once or is not known, is left to the processor.
static void what_is_not_carried_out(void **state)
{
    (void)state;
    static const char mov_before[] = "\x48\x89\x47\xfc"; // mov [rdi - 4], rax
    run(CODE, CODE_OF(mov_before), TABLE);
    assert_released(TABLE);
    run(CODE, CODE_OF("\x48\x89\x07"), TABLE + PAGE_SIZE - 4); // mov [rdi], rax
    assert_released(TABLE + PAGE_SIZE - 4);
    run(CODE, CODE_OF("\xf3\x48\xab"), TABLE + SLOT); // rep stosq
    assert_released(TABLE + SLOT);
    run(CODE, CODE_OF("\x0f\x11\x07"), TABLE + SLOT); // movups [rdi], xmm0
    assert_released(TABLE + SLOT);
    run(CODE, CODE_OF("\xf0\x48\x0f\xc7\x0f"), TABLE + SLOT); // lock cmpxchg16b [rdi]
    assert_released(TABLE + SLOT);
    vmcs_write(GUEST_CS_ACCESS_RIGHTS, RIGHTS_CODE_32);
    run(CODE, CODE_OF("\x89\x07"), TABLE + SLOT);
    assert_released(TABLE + SLOT);
}

// At the end of a page, and where the processor's tables do not have it any more: by the guest's own tables.
static void fetched_by_the_guests_tables(void **state)
{
    (void)state;
    u64 end = CODE + PAGE_SIZE - 2;
    run(end, CODE_OF("\x48\x89\x07"), TABLE + SLOT);
    assert_written(TABLE + SLOT, 8, RAX, end + 3);
    translates = false;
    run(CODE, CODE_OF("\x48\x87\x07"), TABLE + SLOT);
    assert_written(TABLE + SLOT, 8, RAX, CODE + 3);
    run(CODE + HIGH, CODE_OF("\x48\x87\x07"), TABLE + SLOT); // which is not mapped there
    assert_released(TABLE + SLOT);
}

static void blocking_and_single_step(void **state)
{
    (void)state;
    vmcs_write(GUEST_INTERRUPTIBILITY, BLOCKING_STI);
    run(CODE, CODE_OF("\x48\x89\x07"), TABLE + SLOT);
    assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), 0);
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_TF);
    run(CODE, CODE_OF("\xf3\x48\xab"), TABLE + SLOT); // not carried out: it has not trapped yet
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), 0);
    run(CODE, CODE_OF("\x48\x89\x07"), TABLE + SLOT);
    assert_int_equal(vmcs_read(GUEST_PENDING_DEBUG_EXCEPTIONS), PENDING);
}

// The processor itself sees the breakpoints that it hits.
static void breakpoints(void **state)
{
    (void)state;
    v->debugged = true;
    vmcs_write(GUEST_DR7, 0x402); // on an instruction
    run(CODE, CODE_OF("\x48\x89\x07"), TABLE + SLOT);
    assert_written(TABLE + SLOT, 8, RAX, CODE + 3);
    vmcs_write(GUEST_DR7, 0x10402); // on a write
    run(CODE, CODE_OF("\x48\x89\x07"), TABLE + SLOT);
    assert_released(TABLE + SLOT);
    vmcs_write(GUEST_DR7, 0x400);
    run(CODE, CODE_OF("\x48\x89\x07"), TABLE + SLOT);
    assert_written(TABLE + SLOT, 8, RAX, CODE + 3);
}

// The processor itself wrote, to deliver an event: no instruction did.
static void during_delivery(void **state)
{
    (void)state;
    v->delivering = true;
    run(CODE, CODE_OF("\x48\x89\x07"), TABLE + SLOT);
    assert_released(TABLE + SLOT);
}

// A #PF exit says no gpa. The sentence that ends the guest has the address that the processor gave.
static void unknown_on_a_device(void **state)
{
    (void)state;
    outcome = MMU_HOLE;
    fake_vmcs_set(GUEST_PHYSICAL_ADDRESS, 0xdeadbeef000); // of some exit before
    poke(CODE, CODE_OF("\x0f\x11\x07"));                  // movups [rdi], xmm0
    vmcs_write(GUEST_RIP, CODE);
    fake_vmcs_set(EXIT_QUALIFICATION, 0xffff8880fec00010);
    fake_vmcs_set(EXIT_INTERRUPTION_ERROR_CODE, PFEC_P | PFEC_W);
    assert_int_equal(exit_page_fault(v), VERDICT_STOP);
    assert_string_equal(
        v->vm->end,
        "the guest touches gva 0xffff8880fec00010 with an instruction that the monitor does not emulate");
}

static void true_faults(void **state)
{
    (void)state;
    outcome = MMU_GUEST_FAULT;
    run(CODE, CODE_OF("\x48\x89\x07"), TABLE + SLOT);
    assert_int_equal(verdict, VERDICT_FAULT);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), 0x80000b0e);
    assert_int_equal(fake_cr2, TABLE + SLOT);
}

// SDM vol. 3, table 6-5. CR2 is the second fault's, also when that becomes a double fault.
static void true_faults_during_delivery(void **state)
{
    static const struct {
        u32 vectoring, injected; // injected 0: triple fault
    } rows[] = {
        {0x80000b0e, 0x80000b08}, // #PF: #DF
        {0x80000314, 0x80000b08}, // #VE: the same
        {0x80000b0d, 0x80000b0e}, // #GP: #PF
        {0x80000b0b, 0x80000b0e}, // #NP
        {0x80000300, 0x80000b0e}, // #DE
        {0x80000306, 0x80000b0e}, // #UD
        {0x80000030, 0x80000b0e}, // an interrupt
        {0x8000040e, 0x80000b0e}, // INT 14
        {0x80000408, 0x80000b0e}, // INT 8
        {0x80000603, 0x80000b0e}, // INT3
        {0x80000202, 0x80000b0e}, // NMI
        {0x80000b08, 0},          // #DF
    };
    (void)state;
    outcome = MMU_GUEST_FAULT;
    v->delivering = true;
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        u64 gva = TABLE + 8 * i;
        fake_vmcs_set(IDT_VECTORING_INFO, rows[i].vectoring);
        fake_vmcs_set(EXIT_QUALIFICATION, gva);
        fake_vmcs_set(EXIT_INTERRUPTION_ERROR_CODE, PFEC_W);
        vmcs_write(GUEST_INTERRUPTIBILITY, 0);
        assert_int_equal(exit_page_fault(v), rows[i].injected ? VERDICT_FAULT : VERDICT_STOP);
        if (!rows[i].injected)
            continue;
        assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), rows[i].injected);
        assert_int_equal(fake_cr2, gva);
        assert_int_equal(vmcs_read(GUEST_INTERRUPTIBILITY), rows[i].vectoring == 0x80000202 ? BIT(3) : 0);
    }
    assert_non_null(strstr(v->vm->end, "triple fault"));
    assert_true(v->vm->failed);
}

// Bytes of FFH are no instruction, and those of an empty slot are zeros: neither is found in a fresh cache.
static void fresh_cache(void **state)
{
    (void)state;
    static struct insn_cache cache;
    u8 ones[INSN_CACHE_BYTES], zeros[INSN_CACHE_BYTES] = {0};
    memset(ones, 0xff, sizeof(ones));
    assert_null(insn_cache_decode(&cache, CODE, ones));
    assert_null(insn_cache_decode(&cache, CODE, ones));
    const struct insn *insn = insn_cache_decode(&cache, CODE + 1, zeros); // add [rax], al
    assert_non_null(insn);
    assert_int_equal(insn->length, 2);
    assert_int_equal(insn->op, INSN_ADD);
    assert_ptr_equal(insn_cache_decode(&cache, CODE + 1, zeros), insn);
}

// Instructions that differ only in their last byte, the 15th at most.
static void all_bytes_count(void **state)
{
    (void)state;
    static struct insn_cache cache;
    u8 code[INSN_CACHE_BYTES] =
        "\x2e\x2e\x2e\x2e\x48\xc7\x87\1\2\3\4\5\6\7"; // mov qword cs:[rdi + disp32], imm32
    for (unsigned i = 0; i < 2; i++) {
        code[14] = (u8)i;
        const struct insn *insn = insn_cache_decode(&cache, CODE, code);
        assert_non_null(insn);
        assert_int_equal(insn->length, 15);
        assert_int_equal(insn->immediate, 0x070605 | i << 24);
    }
}

#define TEST(f) MACHINE_TEST(setup, f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(stores),
        TEST(stack_pointer),
        TEST(what_is_not_carried_out),
        TEST(fetched_by_the_guests_tables),
        TEST(during_delivery),
        TEST(unknown_on_a_device),
        TEST(true_faults),
        TEST(true_faults_during_delivery),
        TEST(blocking_and_single_step),
        TEST(breakpoints),
        TEST(fresh_cache),
        TEST(all_bytes_count),
    };
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
