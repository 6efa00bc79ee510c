// The shadow back end in its VMCS: the paging registers that the guest writes, with paging and without, and
// what the processor holds meanwhile, which must pass the checks of VM entry on a processor that wants CR0.PE
// and CR0.PG (SDM vol. 3, 26.8, 27.3.1.1, 27.3.1.6). The engine itself is test_shadow's subject, the guest's
// faults for wrong values test_paging's.

// link: MACHINE ENGINE shadow/shadow.c
#include "fake_machine.h"

#include <arch/cpu.h>
#include <arch/phys.h>
#include <shadow/shadow.h>

#include "hv/paging.h"

#define ROUNDS         200
#define WRITES         60
#define PDPTE_RESERVED (~(BIT(40) - 1) | 0x1e6) // SDM vol. 3, table 4-8
#define CR4_TOGGLED    (CR4_PGE | CR4_SMEP | CR4_SMAP)

static struct vcpu *v;
static struct paging_regs guest; // as the guest wrote them

static void make(unsigned flags)
{
    static const struct mmu_options options = {
        .vpid = true, .strategy = SHADOW_ADAPTIVE, .root_vpids = true, .directpf = true, .pool = 64};
    v = machine_make_for(&shadow_ops, &options, flags);
    machine_start_64(v); // makes the guest's tables
    machine_start_32(v);
    guest = vcpu_paging(v);
}

static enum verdict write_cr(unsigned cr, u64 value)
{
    *vcpu_reg(v, GPR_RBX) = value;
    fake_vmcs_set(EXIT_QUALIFICATION, cr | GPR_RBX << 8);
    return exit_cr_access(v);
}

// MOV to CR0 or CR4 by the processor, which exits or writes the bits that are the guest's own.
static void write_masked(unsigned cr, u64 value)
{
    enum vmcs_field field = cr ? GUEST_CR4 : GUEST_CR0, mask = cr ? CR4_MASK : CR0_MASK;
    u64 shadow = vmcs_read(cr ? CR4_READ_SHADOW : CR0_READ_SHADOW), owned = vmcs_read(mask);
    if ((value ^ shadow) & owned)
        assert_int_equal(write_cr(cr, value), VERDICT_SKIP);
    else
        vmcs_write(field, (value & ~owned) | (vmcs_read(field) & owned));
    *(cr ? &guest.cr4 : &guest.cr0) = value;
}

static void write_efer(u64 value)
{
    assert_true(paging_write_efer(v, value));
    guest.efer = value;
}

static void turn_paging(bool on)
{
    vmcs_write(GUEST_CS_ACCESS_RIGHTS, RIGHTS_CODE_32);
    if (on)
        write_efer(guest.efer | EFER_LME);
    guest.efer = on ? guest.efer | EFER_LMA : guest.efer & ~EFER_LMA;
    write_masked(0, on ? guest.cr0 | CR0_PG : guest.cr0 & ~CR0_PG);
    vmcs_write(GUEST_CS_ACCESS_RIGHTS, on ? RIGHTS_CODE_64 : RIGHTS_CODE_32);
}

static u64 *pdpt(void)
{
    u64 cr3 = vmcs_read(GUEST_CR3);
    assert_int_equal(cr3 >> 32 | (cr3 & 31), 0);
    return phys_ptr(cr3);
}

static void check_unpaged(void)
{
    assert_false(vmcs_read(ENTRY_CONTROLS) & ENTRY_IA32E_GUEST);
    assert_int_equal(vmcs_read(GUEST_IA32_EFER) & (EFER_LME | EFER_LMA), 0);
    assert_int_equal(vmcs_read(GUEST_CR4) & (CR4_PAE | CR4_SMEP | CR4_SMAP), CR4_PAE);
    for (unsigned i = 0; i < 4; i++)
        assert_true(!(pdpt()[i] & 1) || !(pdpt()[i] & PDPTE_RESERVED));
    // A #PF of any kind is the monitor's.
    assert_int_equal(vmcs_read(PAGE_FAULT_ERROR_CODE_MASK) | vmcs_read(PAGE_FAULT_ERROR_CODE_MATCH), 0);
}

static void check(void)
{
    struct paging_regs seen = vcpu_paging(v);
    assert_memory_equal(&seen, &guest, sizeof(seen));
    u64 always = CR0_PE | CR0_PG | CR0_NE | CR0_WP;
    assert_int_equal(vmcs_read(GUEST_CR0) & always, always);
    assert_false(vmcs_read(SECONDARY_CONTROLS) & (PROC2_EPT | PROC2_UNRESTRICTED_GUEST));
    assert_true(vmcs_read(EXCEPTION_BITMAP) & BIT(VECTOR_PF));
    if (!(guest.cr0 & CR0_PG)) {
        check_unpaged();
        return;
    }
    assert_true(vmcs_read(ENTRY_CONTROLS) & ENTRY_IA32E_GUEST);
    // SMAP without SMEP and NXE: only NXE makes error codes tell fetches, which the guest's do not.
    bool untold = (guest.cr4 & (CR4_SMEP | CR4_SMAP)) == CR4_SMAP && !(guest.efer & EFER_NXE);
    assert_int_equal(vmcs_read(GUEST_IA32_EFER), guest.efer | (untold ? EFER_NXE : 0));
    assert_int_equal(vmcs_read(GUEST_CR4) & CR4_TOGGLED, guest.cr4 & CR4_TOGGLED);
    assert_int_equal(vmcs_read(PAGE_FAULT_ERROR_CODE_MASK), untold ? 0 : PFEC_P);
    assert_int_equal(vmcs_read(PAGE_FAULT_ERROR_CODE_MATCH), untold ? 0 : PFEC_P);
}

static enum mmu_outcome fault(u64 gva, u32 error_code)
{
    struct mmu_fault f = {.gva = gva, .gva_valid = true, .error_code = error_code};
    enum mmu_outcome outcome = mmu_fault(v, &f);
    if (v->refresh || v->refresh_controls)
        paging_refresh(v);
    return outcome;
}

// Without paging each address leads to itself, and the PDPT says so.
static void touch(void)
{
    u64 gpa = random_below(MACHINE_RAM), hpa;
    assert_int_equal(fault(gpa, random_below(2) ? PFEC_W : 0), MMU_FIXED);
    assert_true(mmu_translate(v, gpa, &hpa));
    assert_int_equal(hpa, mfn_hpa(p2m_lookup(&v->vm->p2m, gpa_gfn(gpa)).mfn) | gpa % PAGE_SIZE);
    assert_true(guest.cr0 & CR0_PG || pdpt()[gpa / GIB] & 1);
}

static void random_step(void)
{
    switch (random_below(6)) {
    case 0:
        turn_paging(!(guest.cr0 & CR0_PG));
        break;
    case 1:
        write_masked(4, guest.cr4 ^ (random_u64() & CR4_TOGGLED));
        break;
    case 2:
        write_masked(0, guest.cr0 ^ (random_u64() & (CR0_WP | CR0_TS | CR0_MP)));
        break;
    case 3:
        write_efer(guest.efer ^ (random_u64() & EFER_NXE));
        break;
    case 4:
        assert_int_equal(write_cr(3, guest.cr3), VERDICT_SKIP);
        break;
    default:
        if (!(guest.cr0 & CR0_PG))
            touch();
    }
}

static void random_writes(void **unused)
{
    (void)unused;
    random_start();
    make(MACHINE_UNRESTRICTED); // which the processor has and shadow paging cannot use
    assert_int_equal(write_cr(3, MIB), VERDICT_SKIP);
    guest.cr3 = MIB;
    write_masked(4, CR4_PAE);
    for (unsigned i = 0; i < ROUNDS * WRITES; i++) {
        random_step();
        check();
    }
    machine_gone();
}

// What the software walk depends on is never changed unseen: SMAP.
static void smap_is_seen(void **unused)
{
    (void)unused;
    make(0);
    assert_int_equal(write_cr(3, MIB), VERDICT_SKIP);
    guest.cr3 = MIB;
    write_masked(4, CR4_PAE);
    turn_paging(true);
    for (unsigned i = 0; i < 4; i++) { // the guest's pages are user pages
        write_masked(4, CR4_PAE | CR4_SMAP);
        assert_int_equal(fault(0x5000, PFEC_P), MMU_GUEST_FAULT);
        write_masked(4, CR4_PAE);
        assert_int_equal(fault(0x5000, PFEC_P), MMU_FIXED);
    }
    machine_gone();
}

static void real_mode_is_refused(void **unused)
{
    (void)unused;
    for (unsigned flags = 0; flags <= MACHINE_UNRESTRICTED; flags++) {
        make(flags);
        assert_int_equal(write_cr(0, CR0_ET), VERDICT_STOP);
        assert_non_null(strstr(v->vm->end, "real mode"));
        assert_non_null(strstr(v->vm->end, "mmu=ept"));
        machine_gone();
    }
}

static void other_paging_is_refused(void **unused)
{
    (void)unused;
    for (unsigned pae = 0; pae < 2; pae++) {
        make(0);
        assert_int_equal(write_cr(4, pae ? CR4_PAE : 0), VERDICT_SKIP);
        assert_null(v->unsupported);
        assert_int_equal(write_cr(0, CR0_PE | CR0_PG | CR0_ET), VERDICT_SKIP);
        assert_non_null(strstr(v->unsupported, "two-level or PAE paging"));
        machine_gone();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_writes),
        cmocka_unit_test(smap_is_seen),
        cmocka_unit_test(real_mode_is_refused),
        cmocka_unit_test(other_paging_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
