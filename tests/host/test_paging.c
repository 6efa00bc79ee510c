// Writes of CR0, CR3, CR4 and EFER, random and in any order, on a processor with and without "unrestricted
// guest". A model of the SDM's rules (vol. 2, MOV CR; vol. 3, 2.5, 4.1.2, 4.4.1, 4.10.1) says what the guest
// must see. The processor is modelled too: it makes by itself, with the same rules, the writes that the VMCS
// does not let exit. After each write the VMCS must pass the checks of VM entry (vol. 3, 27.3.1.1
// and 27.3.1.6).

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>

#include "hv/vcpu/event.h"
#include "hv/exits/paging.h"

#define ROUNDS    2000
#define WRITES    250
#define PHYSICAL  40
#define CR3_BELOW (8 * MIB)
#define CS_L      BIT(13)

#define CR0_ALL \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define PDPTE_RESERVED (~(BIT(PHYSICAL) - 1) | 0x1e6)

static struct vcpu *v;

// What the architecture holds. Used twice: as the guest sees it, and as the processor has it.
struct state {
    struct paging_regs regs;
    u64 pdptes[4];
};
static struct state guest;

static bool code_is_64(void)
{
    return vmcs_read(GUEST_CS_ACCESS_RIGHTS) & CS_L;
}

static bool pae_paging(const struct paging_regs *r)
{
    return r->cr0 & CR0_PG && r->cr4 & CR4_PAE && !(r->efer & EFER_LMA);
}

// SDM vol. 3, 4.4.1. False: #GP.
static bool model_load_pdptes(struct state *s)
{
    if (!pae_paging(&s->regs))
        return true;
    u64 from_memory[4];
    if (vm_ram_read(v->vm, s->regs.cr3 & 0xffffffe0, from_memory, sizeof(from_memory)))
        return false; // no memory there reads as ones
    for (unsigned i = 0; i < 4; i++) {
        if (from_memory[i] & 1 && from_memory[i] & PDPTE_RESERVED)
            return false;
    }
    memcpy(s->pdptes, from_memory, sizeof(from_memory));
    return true;
}

static bool model_cr0(struct state *s, u64 value)
{
    struct paging_regs *r = &s->regs;
    u64 changed = r->cr0 ^ value;
    if (value >> 32 || (value & CR0_PG && !(value & CR0_PE)) || (value & CR0_NW && !(value & CR0_CD)))
        return false;
    if (changed & CR0_PG && value & CR0_PG && r->efer & EFER_LME) {
        if (!(r->cr4 & CR4_PAE) || code_is_64())
            return false;
        r->efer |= EFER_LMA;
    }
    if (changed & CR0_PG && !(value & CR0_PG)) {
        if (r->cr4 & CR4_PCIDE || (r->efer & EFER_LMA && code_is_64()))
            return false;
        r->efer &= ~EFER_LMA;
    }
    r->cr0 = (value & CR0_ALL) | CR0_ET;
    return !(changed & (CR0_CD | CR0_NW | CR0_PG)) || model_load_pdptes(s);
}

static bool model_cr3(struct state *s, u64 value)
{
    u64 ignored = s->regs.cr4 & CR4_PCIDE ? CR3_NO_FLUSH : 0;
    if (s->regs.efer & EFER_LMA && value & ~(BIT(PHYSICAL) - 1) & ~ignored)
        return false;
    s->regs.cr3 = value & ~ignored;
    return model_load_pdptes(s);
}

static bool model_cr4(struct state *s, u64 value)
{
    struct paging_regs *r = &s->regs;
    u64 changed = r->cr4 ^ value;
    if (r->efer & EFER_LMA && !(value & CR4_PAE))
        return false;
    if (changed & value & CR4_PCIDE && (!(r->efer & EFER_LMA) || r->cr3 & 0xfff))
        return false;
    r->cr4 = value;
    return !(changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) || model_load_pdptes(s);
}

static bool model_efer(struct state *s, u64 value)
{
    struct paging_regs *r = &s->regs;
    if (value & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE))
        return false;
    if (r->cr0 & CR0_PG && (value ^ r->efer) & EFER_LME)
        return false;
    r->efer = (value & ~EFER_LMA) | (r->efer & EFER_LMA);
    return true;
}

enum target { CR0, CR3, CR4, EFER };

static bool model_write(struct state *s, enum target target, u64 value)
{
    static bool (*const write[])(struct state *, u64) = {model_cr0, model_cr3, model_cr4, model_efer};
    struct state after = *s;
    if (!write[target](&after, value))
        return false;
    *s = after;
    return true;
}

static struct state processor_state(void)
{
    return (struct state){
        .regs = {vmcs_read(GUEST_CR0), vmcs_read(GUEST_CR3), vmcs_read(GUEST_CR4),
                 vmcs_read(GUEST_IA32_EFER)},
        .pdptes = {vmcs_read(GUEST_PDPTE0), vmcs_read(GUEST_PDPTE1), vmcs_read(GUEST_PDPTE2),
                   vmcs_read(GUEST_PDPTE3)},
    };
}

// As a later VM exit saves it.
static void processor_save(const struct state *s)
{
    vmcs_write(GUEST_CR0, s->regs.cr0);
    vmcs_write(GUEST_CR3, s->regs.cr3);
    vmcs_write(GUEST_CR4, s->regs.cr4);
    vmcs_write(GUEST_IA32_EFER, s->regs.efer);
    vmcs_write(GUEST_PDPTE0, s->pdptes[0]);
    vmcs_write(GUEST_PDPTE1, s->pdptes[1]);
    vmcs_write(GUEST_PDPTE2, s->pdptes[2]);
    vmcs_write(GUEST_PDPTE3, s->pdptes[3]);
    u64 entry = vmcs_read(ENTRY_CONTROLS) & ~ENTRY_IA32E_GUEST;
    vmcs_write(ENTRY_CONTROLS, entry | (s->regs.efer & EFER_LMA ? ENTRY_IA32E_GUEST : 0));
}

static bool efer_exits(void)
{
    const u8 *bitmap = phys_ptr(v->vm->msr_bitmap_hpa);
    return bitmap[2048 + 1024 + (IA32_EFER & 0x1fff) / 8] &
           1; // SDM vol. 3, 25.6.9; EFER is bit 0 of its byte
}

// SDM vol. 3, 26.1.3.
static bool write_exits(enum target target, u64 value)
{
    switch (target) {
    case CR0:
        return (value ^ vmcs_read(CR0_READ_SHADOW)) & vmcs_read(CR0_MASK);
    case CR3:
        return vmcs_read(PROCESSOR_BASED_CONTROLS) & PROC_CR3_LOAD_EXITING;
    case CR4:
        return (value ^ vmcs_read(CR4_READ_SHADOW)) & vmcs_read(CR4_MASK);
    default:
        return efer_exits();
    }
}

// The write without an exit. SDM vol. 3, 26.3: bits that the guest does not own stay.
static bool processor_write(enum target target, u64 value)
{
    struct state s = processor_state();
    if (target == CR0)
        value = (value & ~vmcs_read(CR0_MASK)) | (s.regs.cr0 & vmcs_read(CR0_MASK));
    if (target == CR4)
        value = (value & ~vmcs_read(CR4_MASK)) | (s.regs.cr4 & vmcs_read(CR4_MASK));
    if (!model_write(&s, target, value))
        return false;
    processor_save(&s);
    return true;
}

static enum verdict exit_write(enum target target, u64 value)
{
    if (target == EFER) {
        *vcpu_reg(v, GPR_RCX) = IA32_EFER;
        *vcpu_reg(v, GPR_RAX) = (u32)value;
        *vcpu_reg(v, GPR_RDX) = value >> 32;
        return exit_wrmsr(v);
    }
    static const unsigned cr[] = {0, 3, 4};
    unsigned gpr = (unsigned)random_below(GPRS);
    *vcpu_reg(v, gpr) = value;
    if (gpr == GPR_RSP)
        vmcs_write(GUEST_RSP, value);
    fake_vmcs_set(EXIT_QUALIFICATION, cr[target] | gpr << 8);
    return exit_cr_access(v);
}

// A write by whoever it falls to. False: #GP.
static bool write(enum target target, u64 value)
{
    if (!write_exits(target, value))
        return processor_write(target, value);
    enum verdict verdict = exit_write(target, value);
    if (verdict == VERDICT_SKIP)
        return true;
    assert_int_equal(verdict, VERDICT_FAULT);
    u64 error_code = vmcs_read(GUEST_CR0) & CR0_PE ? BIT(11) : 0;
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), BIT(31) | error_code | 3 << 8 | VECTOR_GP);
    fake_entry_check();
    vmcs_write(ENTRY_INTERRUPTION_INFO, 0);
    return false;
}

static void check_entry(bool unrestricted)
{
    struct state hw = processor_state();
    u64 cr0 = hw.regs.cr0, cr4 = hw.regs.cr4, efer = hw.regs.efer;
    bool long_mode = vmcs_read(ENTRY_CONTROLS) & ENTRY_IA32E_GUEST;
    u64 fixed = v->caps->cr0_fixed0 & ~(unrestricted ? CR0_PE | CR0_PG : 0);
    assert_int_equal(cr0 & fixed, fixed);
    assert_true(!(cr0 & CR0_PG) || cr0 & CR0_PE);
    assert_int_equal(cr0 & (CR0_CD | CR0_NW), 0); // VM exit would leave them set (SDM vol. 3, 28.5.1)
    assert_int_equal(cr4 & v->caps->cr4_fixed0, v->caps->cr4_fixed0);
    assert_true(cr4 & CR4_MCE); // a machine check would be a shutdown (SDM vol. 3, 6.15)
    assert_true(vmcs_read(EXCEPTION_BITMAP) & BIT(VECTOR_MC));
    assert_true(!long_mode || (cr0 & CR0_PG && cr4 & CR4_PAE));
    assert_true(long_mode || !(cr4 & CR4_PCIDE));
    assert_int_equal(hw.regs.cr3 >> PHYSICAL, 0);
    assert_int_equal(!!(efer & EFER_LMA), long_mode);
    assert_true(!(cr0 & CR0_PG) || !(efer & EFER_LMA) == !(efer & EFER_LME));
    for (unsigned i = 0; pae_paging(&hw.regs) && i < 4; i++)
        assert_true(!(hw.pdptes[i] & 1) || !(hw.pdptes[i] & PDPTE_RESERVED));
    assert_int_equal(!!(vmcs_read(SECONDARY_CONTROLS) & PROC2_UNRESTRICTED_GUEST), unrestricted);
}

// Where the guest has paging on, the processor translates as the guest says. Where it has it off and the
// processor cannot, tables that map every address to itself for every access stand in.
static void check_translation(bool unrestricted)
{
    struct state hw = processor_state();
    if (unrestricted || guest.regs.cr0 & CR0_PG) {
        u64 translates = CR0_PG | CR0_PE | CR0_WP;
        assert_int_equal(hw.regs.cr0 & translates, guest.regs.cr0 & translates);
        u64 monitors = CR4_VMXE | CR4_MCE;
        assert_int_equal(hw.regs.cr4 & ~monitors, guest.regs.cr4 & ~monitors);
        assert_int_equal(hw.regs.cr3, guest.regs.cr3);
        assert_int_equal(hw.regs.efer, guest.regs.efer);
        if (pae_paging(&guest.regs))
            assert_memory_equal(hw.pdptes, guest.pdptes, sizeof(guest.pdptes));
        return;
    }
    u64 wants = CR4_PSE, no = CR4_PAE | CR4_SMEP | CR4_SMAP; // the pages are user pages
    assert_int_equal(hw.regs.cr4 & (wants | no), wants);
    for (u32 i = 0; i < 1024; i += 31) {
        u32 entry;
        assert_int_equal(vm_ram_read(v->vm, hw.regs.cr3 + 4 * i, &entry, 4), 0);
        assert_int_equal(entry, i << 22 | 0xe7); // 4M, dirty, accessed, user, writable, present
    }
}

static void check_all(bool unrestricted)
{
    struct paging_regs seen = vcpu_paging(v);
    assert_int_equal(seen.cr0, guest.regs.cr0);
    assert_int_equal(seen.cr3, guest.regs.cr3);
    assert_int_equal(seen.cr4, guest.regs.cr4);
    assert_int_equal(seen.efer, guest.regs.efer);
    check_entry(unrestricted);
    check_translation(unrestricted);
}

static u64 random_bits(u64 mask)
{
    return random_u64() & random_u64() & mask;
}

static u64 random_cr0(void)
{
    u64 value = guest.regs.cr0 ^ random_bits(CR0_ALL);
    if (random_below(4) == 0)
        value ^= CR0_PG;
    if (random_below(16) == 0)
        value ^= random_bits(code_is_64() ? ~0ull : 0xffffffff);
    return value;
}

static u64 random_cr3(void)
{
    u64 value = random_below(CR3_BELOW) & ~0xfffull;
    if (random_below(4) == 0)
        value |= random_below(PAGE_SIZE);
    if (random_below(8) == 0)
        value |= BIT(63);
    if (random_below(16) == 0)
        value |= BIT(random_below(64));
    return value;
}

static u64 random_cr4(void)
{
    u64 value = guest.regs.cr4 ^ random_bits(v->cr4_allowed);
    if (random_below(3) == 0)
        value |= CR4_PAE;
    if (random_below(16) == 0)
        value ^= BIT(random_below(64));
    return value;
}

static u64 random_efer(void)
{
    u64 value = random_u64() & (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
    return random_below(16) ? value : value | BIT(random_below(64));
}

// PDPTEs wherever CR3 may point: some with a reserved bit.
static void random_pdptes(void)
{
    u64 at =
        random_below(4) ? guest.regs.cr3 & (CR3_BELOW - 1) & ~0x1full : random_below(CR3_BELOW) & ~0x1full;
    u64 pdptes[4];
    for (unsigned i = 0; i < 4; i++)
        pdptes[i] = (random_below(BIT(PHYSICAL)) & PAGE_MASK) | random_below(2) |
                    (random_below(16) ? 0 : random_u64());
    assert_int_equal(vm_ram_write(v->vm, at, pdptes, sizeof(pdptes)), 0);
}

static bool goes_to_real_mode(enum target target, u64 value)
{
    return target == CR0 && !(value & CR0_PE);
}

static unsigned faults, exits_seen, long_modes, pae_modes;

static void random_write(bool unrestricted)
{
    static u64 (*const value_of[])(void) = {random_cr0, random_cr3, random_cr4, random_efer};
    enum target target = (enum target)random_below(4);
    u64 value = value_of[target]();
    if (target != EFER && !(code_is_64() && guest.regs.efer & EFER_LMA))
        value = (u32)value;
    if (target == CR4 && value & ~v->cr4_allowed) { // the guest's processor lacks the bit
        assert_true(write_exits(target, value));
        assert_false(write(target, value));
        return;
    }
    if (!unrestricted && goes_to_real_mode(target, value))
        return;
    exits_seen += write_exits(target, value);
    struct state before = guest;
    bool expected = model_write(&guest, target, value);
    bool is = write(target, value);
    if (is != expected)
        fail_msg("write of %lx to %d: %s; CR0 %lx CR3 %lx CR4 %lx EFER %lx", value, target,
                 is ? "no #GP" : "#GP", before.regs.cr0, before.regs.cr3, before.regs.cr4, before.regs.efer);
    faults += !is;
    check_all(unrestricted);
    long_modes += !!(guest.regs.efer & EFER_LMA);
    pae_modes += pae_paging(&guest.regs);
}

static void random_writes(bool unrestricted)
{
    random_start();
    v = machine_make(unrestricted ? MACHINE_UNRESTRICTED : 0);
    faults = exits_seen = long_modes = pae_modes = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        machine_start_32(v);
        guest = (struct state){.regs = vcpu_paging(v)};
        for (unsigned i = 0; i < WRITES; i++) {
            if (random_below(8) == 0)
                random_pdptes();
            if (random_below(4) == 0)
                vmcs_write(GUEST_CS_ACCESS_RIGHTS, random_below(2) ? RIGHTS_CODE_64 : RIGHTS_CODE_32);
            random_write(unrestricted);
        }
    }
    machine_gone();
    // The random writes went everywhere.
    assert_true(faults > 1000 && exits_seen > 1000 && long_modes > 1000 && pae_modes > 1000);
}

static void random_writes_unrestricted(void **state)
{
    (void)state;
    random_writes(true);
}

static void random_writes_identity(void **state)
{
    (void)state;
    random_writes(false);
}

static void real_mode_needs_unrestricted_guest(void **state)
{
    (void)state;
    v = machine_make(0);
    machine_start_32(v);
    assert_true(write_exits(CR0, CR0_ET));
    *vcpu_reg(v, GPR_RAX) = CR0_ET;
    fake_vmcs_set(EXIT_QUALIFICATION, 0);
    assert_int_equal(exit_cr_access(v), VERDICT_STOP);
    assert_non_null(strstr(v->vm->end, "unrestricted guest"));
    machine_gone();
}

// CLTS and LMSW where CR0 is not the guest's own (SDM vol. 2; vol. 3, table 28-3).
static void clts_and_lmsw(void **state)
{
    (void)state;
    v = machine_make(0);
    machine_start_32(v);
    *vcpu_reg(v, GPR_RAX) = CR0_PE | CR0_ET | CR0_TS | CR0_MP | CR0_WP;
    fake_vmcs_set(EXIT_QUALIFICATION, 0);
    assert_int_equal(exit_cr_access(v), VERDICT_SKIP);
    fake_vmcs_set(EXIT_QUALIFICATION, 2 << 4);
    assert_int_equal(exit_cr_access(v), VERDICT_SKIP);
    assert_int_equal(vcpu_paging(v).cr0, CR0_PE | CR0_ET | CR0_MP | CR0_WP);
    fake_vmcs_set(EXIT_QUALIFICATION, 3 << 4 | (CR0_TS | CR0_EM | 0xff0) << 16); // PE cannot be cleared
    assert_int_equal(exit_cr_access(v), VERDICT_SKIP);
    assert_int_equal(vcpu_paging(v).cr0, CR0_PE | CR0_ET | CR0_TS | CR0_EM | CR0_WP);
    machine_gone();
}

// Reads of CR3 exit while the processor's CR3 is not the guest's. 32-bit code gets 32 bits.
static void mov_from_cr3(void **state)
{
    (void)state;
    v = machine_make(0);
    machine_start_32(v);
    assert_true(vmcs_read(PROCESSOR_BASED_CONTROLS) & PROC_CR3_STORE_EXITING);
    assert_true(write(CR3, 0x345000));
    assert_int_not_equal(vmcs_read(GUEST_CR3), 0x345000);
    *vcpu_reg(v, GPR_RBX) = ~0ull;
    fake_vmcs_set(EXIT_QUALIFICATION, 3 | 1 << 4 | GPR_RBX << 8);
    assert_int_equal(exit_cr_access(v), VERDICT_SKIP);
    assert_int_equal(*vcpu_reg(v, GPR_RBX), 0x345000);
    fake_vmcs_set(EXIT_QUALIFICATION, 3 | 1 << 4 | GPR_RSP << 8);
    assert_int_equal(exit_cr_access(v), VERDICT_SKIP);
    assert_int_equal(vmcs_read(GUEST_RSP), 0x345000);
    machine_gone();
}

// The steps of a kernel from 32-bit code without paging to long mode and back, by name.
static void to_long_mode_and_back(void **state)
{
    (void)state;
    for (unsigned unrestricted = 0; unrestricted < 2; unrestricted++) {
        v = machine_make(unrestricted ? MACHINE_UNRESTRICTED : 0);
        machine_start_32(v);
        assert_true(write(CR3, MIB));
        assert_true(write(EFER, EFER_LME | EFER_NXE));
        assert_false(write(CR0, CR0_PE | CR0_PG)); // no PAE
        assert_true(write(CR4, CR4_PAE | CR4_PGE));
        assert_true(write(CR0, CR0_PE | CR0_PG | CR0_WP));
        assert_true(vmcs_read(ENTRY_CONTROLS) & ENTRY_IA32E_GUEST);
        assert_int_equal(vmcs_read(GUEST_CR3), MIB);
        assert_int_equal(vcpu_paging(v).efer, EFER_LME | EFER_LMA | EFER_NXE);
        vmcs_write(GUEST_CS_ACCESS_RIGHTS, RIGHTS_CODE_64);
        assert_false(write(CR0, CR0_PE)); // in 64-bit code
        vmcs_write(GUEST_CS_ACCESS_RIGHTS, RIGHTS_CODE_32);
        assert_true(write(CR0, CR0_PE));
        assert_false(vmcs_read(ENTRY_CONTROLS) & ENTRY_IA32E_GUEST);
        assert_int_equal(vcpu_paging(v).efer, EFER_LME | EFER_NXE);
        assert_int_equal(vcpu_paging(v).cr3, MIB);
        machine_gone();
    }
}

// A processor without secondary controls has no field for them.
static void no_secondary_controls(void **state)
{
    (void)state;
    v = machine_make(0);
    machine_caps.proc.may &= ~(u32)PROC_SECONDARY_CONTROLS;
    machine_start_32(v);
    assert_true(write(CR4, CR4_PAE));
    assert_int_equal(vmcs_read(SECONDARY_CONTROLS), 0);
    machine_gone();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_writes_unrestricted),
        cmocka_unit_test(random_writes_identity),
        cmocka_unit_test(real_mode_needs_unrestricted_guest),
        cmocka_unit_test(clts_and_lmsw),
        cmocka_unit_test(mov_from_cr3),
        cmocka_unit_test(to_long_mode_and_back),
        cmocka_unit_test(no_secondary_controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
