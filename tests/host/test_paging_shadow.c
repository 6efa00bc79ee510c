// The shadow back end in its VMCS: the paging registers that the guest writes, with paging and without, and
// what the processor holds meanwhile, which must pass the checks of VM entry on a processor that wants CR0.PE
// and CR0.PG (SDM vol. 3, 26.8, 27.3.1.1, 27.3.1.6). The engine itself is test_shadow's subject, the guest's
// faults for wrong values test_paging's.

// link: MACHINE ENGINE shadow/shadow.c
#include "fake_machine.h"

#include <arch/cpu.h>
#include <arch/phys.h>
#include <shadow/shadow.h>

#include "hv/exits/paging.h"

#define ROUNDS         200
#define WRITES         60
#define PDPTE_RESERVED (~(BIT(40) - 1) | 0x1e6) // SDM vol. 3, table 4-8
#define CR4_TOGGLED    (CR4_PGE | CR4_SMEP | CR4_SMAP)

static struct vcpu *v;
static struct paging_regs guest; // as the guest wrote them

static const struct mmu_options options = {
    .vpid = true, .strategy = SHADOW_ADAPTIVE, .root_vpids = true, .directpf = true, .pool = 64};

static void make(unsigned flags)
{
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
    struct mmu_fault f = {.gva = gva, .error_code = error_code};
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
    assert_true(machine_translates(v, gpa, &hpa));
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

// CR3 and CR4 belong to the back end: what the processor would refuse of them, the monitor does (SDM vol. 2,
// MOV CR).
static void wrong_values_in_long_mode(void **unused)
{
    (void)unused;
    static const struct {
        unsigned cr;
        u64 value;
    } wrong[] = {{3, BIT(40) | MIB}, {3, BIT(52) | MIB}, {3, BIT(63) | MIB}, {4, 0}, {4, CR4_PGE}};
    make(0);
    assert_int_equal(write_cr(3, MIB), VERDICT_SKIP);
    guest.cr3 = MIB;
    write_masked(4, CR4_PAE);
    turn_paging(true);
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_int_equal(write_cr(wrong[i].cr, wrong[i].value), VERDICT_FAULT);
        assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), BIT(31) | BIT(11) | 3 << 8 | VECTOR_GP);
        vmcs_write(ENTRY_INTERRUPTION_INFO, 0);
        check();
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

// Roots in place (test_place has the engine's part). All have the identity in slot 0, and in slot 1 something
// of their own.
#define ROOTS      6u // two more than there are CR3 targets
#define TARGETS    4u
#define ROOT_BYTES (3 * PAGE_SIZE)
#define OWN_GVA    (PAGE_SIZE << 27) // leads to page ROOT * 2M
#define START      ROOTS             // one more: of machine_start_64

static u64 root(unsigned n)
{
    return n == START ? MIB : 2 * MIB + n * ROOT_BYTES;
}

static void make_in_place(void)
{
    struct mmu_options in_place = options;
    in_place.in_place = true;
    v = machine_make_for(&shadow_ops, &in_place, 0);
    machine_start_64(v);
    for (unsigned n = 0; n < ROOTS; n++) {
        u64 top[2] = {(MIB + PAGE_SIZE) | 7, (root(n) + PAGE_SIZE) | 7};
        u64 middle = (root(n) + 2 * PAGE_SIZE) | 7, leaf = n * 2 * MIB | 0x87;
        assert_int_equal(vm_ram_write(v->vm, root(n), top, sizeof(top)), 0);
        assert_int_equal(vm_ram_write(v->vm, root(n) + PAGE_SIZE, &middle, sizeof(middle)), 0);
        assert_int_equal(vm_ram_write(v->vm, root(n) + 2 * PAGE_SIZE, &leaf, sizeof(leaf)), 0);
    }
    guest = vcpu_paging(v);
}

static bool is_target(u64 cr3)
{
    static const enum vmcs_field fields[] = {CR3_TARGET_0, CR3_TARGET_1, CR3_TARGET_2, CR3_TARGET_3};
    bool found = false;
    assert_in_range(vmcs_read(CR3_TARGET_COUNT), 0, TARGETS);
    for (unsigned i = 0; i < vmcs_read(CR3_TARGET_COUNT); i++)
        found |= vmcs_read(fields[i]) == cr3;
    return found;
}

// Those of `set`, a bit for each root, and no other values.
static void check_targets(u64 set)
{
    assert_int_equal(vmcs_read(CR3_TARGET_COUNT), __builtin_popcountl(set));
    for (unsigned n = 0; n <= START; n++)
        assert_int_equal(is_target(root(n)), set >> n & 1);
}

static void refresh(void)
{
    if (v->refresh || v->refresh_controls)
        paging_refresh(v);
}

// MOV to CR3 by the processor (SDM vol. 3, 26.1.3), which does not keep bit 63. Whether it exited.
static bool load_value(u64 value)
{
    bool exits = vmcs_read(PROCESSOR_BASED_CONTROLS) & PROC_CR3_LOAD_EXITING && !is_target(value);
    guest.cr3 = value & ~CR3_NO_FLUSH;
    if (!exits) {
        vmcs_write(GUEST_CR3, guest.cr3);
        v->cr3_unseen = true; // as at the next exit
        return false;
    }
    assert_int_equal(write_cr(3, value), VERDICT_SKIP);
    refresh();
    return true;
}

static bool load_cr3(unsigned n)
{
    return load_value(root(n));
}

// MOV from CR3 gives what was loaded, by the processor or by an exit.
static void check_cr3(void)
{
    u64 read = vmcs_read(GUEST_CR3);
    if (vmcs_read(PROCESSOR_BASED_CONTROLS) & PROC_CR3_STORE_EXITING) {
        fake_vmcs_set(EXIT_QUALIFICATION, 3 | 1 << 4 | GPR_RBX << 8);
        assert_int_equal(exit_cr_access(v), VERDICT_SKIP);
        read = *vcpu_reg(v, GPR_RBX);
    }
    assert_int_equal(read, guest.cr3);
    assert_int_equal(vcpu_paging(v).cr3, guest.cr3);
}

// The next exit knows whose address space it is: a fault at the page that each root has for itself.
static void check_own_page(unsigned n)
{
    u64 hpa;
    assert_int_equal(fault(OWN_GVA, 0), MMU_FIXED);
    assert_true(machine_translates(v, OWN_GVA, &hpa));
    assert_int_equal(hpa, mfn_hpa(p2m_lookup(&v->vm->p2m, gpa_gfn(n * 2 * MIB)).mfn));
}

// The guest writes to a root. MMU_TRACED: at that machine address.
static enum mmu_outcome write_root(unsigned n, u64 *hpa)
{
    struct mmu_fault f = {.gva = root(n) + 8, .error_code = PFEC_W};
    enum mmu_outcome outcome = mmu_fault(v, &f); // of what is not mapped, then of what is read-only
    if (outcome == MMU_FIXED) {
        f.error_code |= PFEC_P;
        outcome = mmu_fault(v, &f);
    }
    *hpa = f.hpa;
    refresh();
    return outcome;
}

static void roots_used_last_are_targets(void **unused)
{
    (void)unused;
    make_in_place();
    check_targets(BIT(START));
    for (unsigned n = 0; n < ROOTS; n++) {
        u64 last = (BIT(n + 1) - 1) & ~(n < TARGETS ? 0 : BIT(n - TARGETS + 1) - 1);
        assert_true(load_cr3(n));
        check_cr3();
        check_targets(last | (n < TARGETS - 1 ? BIT(START) : 0));
    }
    assert_false(vmcs_read(PROCESSOR_BASED_CONTROLS) & PROC_CR3_STORE_EXITING);
    assert_int_equal(vmcs_read(GUEST_CR3), root(ROOTS - 1));
    assert_true(load_cr3(0));
    check_targets(BIT(0) | BIT(3) | BIT(4) | BIT(5));
    machine_gone();
}

static void unseen_load_is_followed(void **unused)
{
    (void)unused;
    make_in_place();
    for (unsigned n = 0; n < 3; n++)
        load_cr3(n);
    for (unsigned n = 0; n < 3; n++) {
        assert_false(load_cr3(n));
        assert_false(load_cr3((n + 1) % 3)); // and on, before anybody has seen the first
        check_cr3();
        check_own_page((n + 1) % 3);
        check_targets(BIT(START) | BIT(0) | BIT(1) | BIT(2));
    }
    machine_gone();
}

// A load that exits, of the root that was seen last: the shared VPID holds the other's translations.
static void unseen_load_is_flushed(void **unused)
{
    (void)unused;
    make_in_place();
    load_cr3(1);
    load_cr3(0);
    assert_false(load_cr3(1));
    unsigned before = fake_invvpid;
    assert_int_equal(write_cr(3, root(0) | BIT(4)), VERDICT_SKIP); // PCD: no target
    assert_int_equal(fake_invvpid, before + 1);
    machine_gone();
}

static void expect_gp(enum verdict verdict)
{
    assert_int_equal(verdict, VERDICT_FAULT);
    assert_int_equal(vmcs_read(ENTRY_INTERRUPTION_INFO), BIT(31) | BIT(11) | 3 << 8 | VECTOR_GP);
    vmcs_write(ENTRY_INTERRUPTION_INFO, 0);
}

// With PCIDs: loads of any root by any of them, seen or not, also while CR0.WP is clear. One that exits
// flushes unless it has bit 63.
static void pcids_are_the_processors(void **unused)
{
    (void)unused;
    u64 last[16] = {0}; // CR3, by PCIDs that share a row
    make_in_place();
    expect_gp(write_cr(3, root(0) | CR3_NO_FLUSH));
    for (unsigned n = 0; n < ROOTS; n++)
        load_cr3(n); // a place that is claimed flushes
    write_masked(4, guest.cr4 | CR4_PCIDE);
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned n = (unsigned)random_below(ROOTS), before = fake_invvpid;
        u64 keeps = random_below(3) ? CR3_NO_FLUSH : 0, pcid = random_below(8) ? n : random_below(0x1000);
        bool seen = load_value(root(n) | pcid | keeps), wp = guest.cr0 & CR0_WP;
        u64 *known = &last[pcid % 8 + (pcid >> 11) * 8];
        bool moves = *known != (root(n) | pcid);
        assert_true(!wp || fake_invvpid == before + (seen && (!keeps || moves)));
        if (seen)
            *known = root(n) | pcid;
        assert_true(vmcs_read(GUEST_CR4) & CR4_PCIDE);
        assert_int_equal(vmcs_read(GUEST_CR3) & CR3_PCID, pcid);
        assert_true(!wp || vmcs_read(GUEST_CR3) == guest.cr3);
        assert_true(!wp || is_target(root(n) | pcid | CR3_NO_FLUSH));
        check_cr3();
        check_own_page(n);
        expect_gp(write_cr(3, root(n) | BIT(62)));
        expect_gp(write_cr(3, root(n) | CR3_NO_FLUSH | BIT(40)));
        if (!random_below(8))
            write_masked(0, guest.cr0 ^ CR0_WP);
        refresh();
    }
    load_value(root(0) | 3);
    write_masked(4, guest.cr4 & ~CR4_PCIDE);
    refresh();
    check_cr3();
    expect_gp(write_cr(4, guest.cr4 | CR4_PCIDE)); // CR3 has bits of a PCID
    expect_gp(write_cr(3, root(0) | CR3_NO_FLUSH));
    machine_gone();
}

static void out_of_sync_no_targets(void **unused)
{
    u64 hpa;
    (void)unused;
    make_in_place();
    load_cr3(0);
    load_cr3(1);
    assert_int_equal(write_root(1, &hpa), MMU_TRACED);
    check_targets(BIT(START) | BIT(0) | BIT(1));
    mmu_release(v, hpa);
    refresh();
    check_targets(0);
    check_cr3();
    assert_true(load_cr3(0)); // which synchronises
    check_targets(BIT(START) | BIT(0) | BIT(1));
    assert_false(load_cr3(1));
    check_own_page(1);
    machine_gone();
}

static void dropped_root_is_no_target(void **unused)
{
    u64 hpa;
    (void)unused;
    make_in_place();
    for (unsigned n = 0; n < 3; n++)
        load_cr3(n);
    assert_false(load_cr3(0));
    assert_int_equal(write_root(2, &hpa), MMU_FIXED); // a root not in use has become something else
    check_targets(BIT(START) | BIT(0) | BIT(1));
    assert_true(load_cr3(2));
    check_targets(BIT(START) | BIT(0) | BIT(1) | BIT(2));
    check_own_page(2);
    machine_gone();
}

// A read-only page of users. With CR0.WP = 0 the supervisor writes it, by a root that is not in place, and
// users do not; afterwards all is as before.
static void wp_clear_has_its_own_root(void **unused)
{
    (void)unused;
    make_in_place();
    u64 leaf = 0x85;
    assert_int_equal(vm_ram_write(v->vm, root(0) + 2 * PAGE_SIZE, &leaf, sizeof(leaf)), 0);
    load_cr3(0);
    for (unsigned i = 0; i < 3; i++) {
        write_masked(0, guest.cr0 | CR0_WP);
        refresh();
        assert_int_equal(fault(OWN_GVA, PFEC_P | PFEC_W), MMU_GUEST_FAULT);
        check_targets(BIT(START) | BIT(0));
        write_masked(0, guest.cr0 & ~(u64)CR0_WP);
        refresh();
        check_targets(0);
        check_cr3();
        assert_int_not_equal(vmcs_read(GUEST_CR3), root(0));
        assert_int_equal(fault(OWN_GVA, PFEC_P | PFEC_W), MMU_FIXED);
        assert_int_equal(fault(OWN_GVA, PFEC_P | PFEC_W | PFEC_U), MMU_GUEST_FAULT);
        assert_int_equal(fault(OWN_GVA, PFEC_P | PFEC_U), MMU_FIXED);
    }
    machine_gone();
}

// Whatever happens between them, loads lead to where the guest believes to be.
static void random_loads(void **unused)
{
    u64 hpa, unseen = 0;
    unsigned now = 0;
    (void)unused;
    random_start();
    make_in_place();
    load_cr3(now);
    for (unsigned i = 0; i < ROUNDS * WRITES; i++) {
        u64 step = random_below(16);
        if (step < 12)
            unseen += !load_cr3(now = (unsigned)random_below(ROOTS));
        else if (step < 15)
            check_own_page(now);
        else if (write_root((unsigned)random_below(ROOTS), &hpa) == MMU_TRACED)
            mmu_release(v, hpa);
        refresh();
        check_cr3();
    }
    assert_in_range(unseen, ROUNDS, ROUNDS * WRITES);
    machine_gone();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_writes),
        cmocka_unit_test(smap_is_seen),
        cmocka_unit_test(wrong_values_in_long_mode),
        cmocka_unit_test(real_mode_is_refused),
        cmocka_unit_test(other_paging_is_refused),
        cmocka_unit_test(roots_used_last_are_targets),
        cmocka_unit_test(unseen_load_is_followed),
        cmocka_unit_test(unseen_load_is_flushed),
        cmocka_unit_test(pcids_are_the_processors),
        cmocka_unit_test(out_of_sync_no_targets),
        cmocka_unit_test(dropped_root_is_no_target),
        cmocka_unit_test(wp_clear_has_its_own_root),
        cmocka_unit_test(random_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
