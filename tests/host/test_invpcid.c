// INVPCID under shadow paging: how the operands of one that exited are decoded, what of them is refused (SDM
// vol. 2, INVPCID), and what the back end is told. The flushes themselves are test_shadow's subject.

// link: MACHINE ENGINE shadow/shadow.c
#include "fake_machine.h"

#include <arch/cpu.h>
#include <shadow/shadow.h>

#include "hv/exits/paging.h"

#define AT      (5 * MIB) // of the descriptor
#define GVA     0x123456000ull
#define ABSENT  (5 * GIB) // no table maps it
#define NO_REG  16u
#define ROUNDS  20000u
#define INFO_64 (2u << 7)

static struct vcpu *v;
static unsigned flushes, addresses;
static u64 last;

static void count_flush(struct vcpu *vcpu)
{
    (void)vcpu;
    flushes++;
}

static void count_address(struct vcpu *vcpu, u64 gva)
{
    (void)vcpu;
    addresses++;
    last = gva;
}

static int setup(void **state)
{
    static const struct mmu_options options = {
        .vpid = true, .strategy = SHADOW_ADAPTIVE, .root_vpids = true, .directpf = true, .pool = 64};
    static struct mmu_ops counting;
    (void)state;
    v = machine_make_for(&shadow_ops, &options, 0);
    machine_start_64(v);
    counting = shadow_ops;
    counting.flush = count_flush;
    counting.invlpg = count_address;
    machine_set_ops(v, &counting);
    flushes = addresses = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    machine_gone();
    return 0;
}

static void turn_pcide(void)
{
    *vcpu_reg(v, GPR_RBX) = vcpu_cr4(v) ^ CR4_PCIDE;
    fake_vmcs_set(EXIT_QUALIFICATION, 4 | GPR_RBX << 8);
    assert_int_equal(exit_cr_access(v), VERDICT_SKIP);
}

static void descriptor_put(u64 pcid, u64 gva)
{
    const u64 d[4] = {~0ull, pcid, gva, ~0ull}; // around it is none
    assert_int_equal(vm_ram_write(v->vm, AT - 8, d, sizeof(d)), 0);
}

// The instruction's type in RDX, its operand where RSI says.
static enum verdict run(u64 type, u64 pcid, u64 gva)
{
    descriptor_put(pcid, gva);
    *vcpu_reg(v, GPR_RDX) = type;
    *vcpu_reg(v, GPR_RSI) = AT;
    fake_vmcs_set(EXIT_QUALIFICATION, 0);
    fake_vmcs_set(EXIT_INSTRUCTION_INFO,
                  INFO_64 | INSN_DS << 15 | BIT(22) | GPR_RSI << 23 | (u64)GPR_RDX << 28);
    fake_vmcs_set(ENTRY_INTERRUPTION_INFO, 0);
    return exit_invpcid(v);
}

static void expect_gp(enum verdict verdict)
{
    assert_int_equal(verdict, VERDICT_FAULT);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), BIT(31) | BIT(11) | 3 << 8 | VECTOR_GP);
    assert_int_equal(flushes + addresses, 0);
}

static void types(void **state)
{
    (void)state;
    for (u64 type = 0; type < 4; type++) {
        assert_int_equal(run(type, 0, GVA), VERDICT_SKIP);
        assert_int_equal(addresses, 1);
        assert_int_equal(last, GVA);
        assert_int_equal(flushes, type);
    }
}

static void refused(void **state)
{
    (void)state;
    for (u64 pcide = 0; pcide < 2; pcide++) {
        for (u64 type = 0; type < 4; type++) {
            for (unsigned bit = 12; bit < 64; bit++)
                expect_gp(run(type, BIT(bit), GVA));
        }
        for (unsigned bit = 2; bit < 64; bit++)
            expect_gp(run(BIT(bit) | 1, 0, GVA));
        expect_gp(run(0, 0, BIT(47)));
        expect_gp(run(0, 0, ~0ull << 48));
        turn_pcide();
    }
    for (u64 type = 0; type < 2; type++)
        expect_gp(run(type, 5, GVA)); // without CR4.PCIDE
    fake_vmcs_set(GUEST_SS_ACCESS_RIGHTS, RIGHTS_STACK | 3 << 5);
    expect_gp(run(0, 0, GVA));
}

static void allowed(void **state)
{
    (void)state;
    assert_int_equal(run(2, 5, BIT(47)), VERDICT_SKIP);
    assert_int_equal(run(3, 5, BIT(47)), VERDICT_SKIP);
    turn_pcide();
    assert_int_equal(run(1, 0xfff, BIT(47)), VERDICT_SKIP);
    assert_int_equal(run(0, 0xfff, ~0ull << 47), VERDICT_SKIP);
    assert_int_equal(flushes, 3);
    assert_int_equal(last, ~0ull << 47);
}

// The descriptor is not there, or its second half.
static void faults(void **state)
{
    (void)state;
    static const u64 at[] = {ABSENT, 4 * GIB - 8};
    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        run(0, 0, GVA);
        *vcpu_reg(v, GPR_RSI) = at[i];
        assert_int_equal(exit_invpcid(v), VERDICT_FAULT);
        assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO) & 0xff, VECTOR_PF);
        assert_int_equal(fake_cr2, i ? 4 * GIB : ABSENT);
        assert_int_equal(addresses, i + 1);
    }
    *vcpu_reg(v, GPR_RSI) = BIT(47);
    expect_gp((addresses = 0, exit_invpcid(v)));
}

// Every form of the operand: base, index, scale, displacement, address size, segment.
static void forms(void **state)
{
    (void)state;
    descriptor_put(0, GVA);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned base = (unsigned)random_below(17), index = (unsigned)random_below(17),
                 scale = (unsigned)random_below(4), size = 1 + (unsigned)random_below(2),
                 segment = (unsigned)random_below(6);
        unsigned type_reg = (unsigned)random_below(16);
        if (type_reg == base || type_reg == index || index == GPR_RSP || base == index)
            continue;
        u64 part = random_u64(), segment_base = random_below(MIB), offset = 0;
        if (index != NO_REG)
            offset += (*vcpu_reg(v, index) = part) << scale;
        if (base != NO_REG)
            offset += *vcpu_reg(v, base) = random_u64();
        *vcpu_reg(v, type_reg) = 0;
        fake_vmcs_set(GUEST_FS_BASE, segment_base);
        fake_vmcs_set(GUEST_GS_BASE, segment_base);
        u64 at = AT - (segment >= INSN_FS ? segment_base : 0), high = size == 1 ? random_u64() << 32 : 0;
        fake_vmcs_set(EXIT_QUALIFICATION, at - offset + high);
        fake_vmcs_set(GUEST_RSP, *vcpu_reg(v, GPR_RSP));
        fake_vmcs_set(EXIT_INSTRUCTION_INFO, scale | size << 7 | segment << 15 | (u64)(index & 15) << 18 |
                                                 (index == NO_REG ? BIT(22) : 0) | (u64)(base & 15) << 23 |
                                                 (base == NO_REG ? BIT(27) : 0) | (u64)type_reg << 28);
        if (base == GPR_RSP || type_reg == GPR_RSP)
            *vcpu_reg(v, GPR_RSP) = random_u64(); // it is in the VMCS
        last = 0;
        assert_int_equal(exit_invpcid(v), VERDICT_SKIP);
        assert_int_equal(last, GVA);
    }
}

int main(void)
{
    random_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(types, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(faults, setup, teardown),
        cmocka_unit_test_setup_teardown(forms, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
