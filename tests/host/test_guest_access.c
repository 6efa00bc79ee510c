// What the monitor writes to guest memory for an instruction that it carries out is told to the back end,
// which may watch page tables there: exactly the bytes that reached RAM, page by page. Walks and faults are
// test_walk's.

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>
#include <hv/p2m_change.h>

#include "hv/guest_access.h"

#define PAGE_END (4 * MIB + PAGE_SIZE) // identity-mapped RAM
#define HOLE_GVA (3 * GIB)

static struct vcpu *v;
static struct mmu_ops watching;
static struct {
    u64 gpa;
    unsigned bytes;
} told[4];
static unsigned count;

static void tell(struct vcpu *vcpu, u64 hpa, unsigned bytes)
{
    gfn_t g;
    assert_ptr_equal(vcpu, v);
    assert_int_equal(p2m_find(&v->vm->p2m, hpa_mfn(hpa), &g), 0);
    u64 gpa = gfn_gpa(g) + hpa % PAGE_SIZE;
    assert_in_range(count, 0, ARRAY_SIZE(told) - 1);
    u8 is;
    assert_int_equal(vm_ram_read(v->vm, gpa, &is, 1), 0);
    assert_int_equal(is, 0x5a); // written before it is told
    told[count].gpa = gpa;
    told[count++].bytes = bytes;
}

static int setup(void **state)
{
    (void)state;
    v = machine_make(MACHINE_UNRESTRICTED);
    machine_start_64(v);
    watching = *mmu;
    watching.written = tell;
    mmu = &watching;
    count = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    machine_gone();
    return 0;
}

static void write(u64 gva, unsigned bytes)
{
    static const u8 pattern[8] = {0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a};
    struct guest_access a;
    guest_access_init(&a, v);
    assert_int_equal(guest_write(&a, gva, pattern, bytes), 0);
}

static void one_page(void **state)
{
    (void)state;
    write(PAGE_END - 8, 8);
    assert_int_equal(count, 1);
    assert_int_equal(told[0].gpa, PAGE_END - 8);
    assert_int_equal(told[0].bytes, 8);
}

static void two_pages(void **state)
{
    (void)state;
    write(PAGE_END - 3, 8);
    assert_int_equal(count, 2);
    assert_int_equal(told[0].gpa, PAGE_END - 3);
    assert_int_equal(told[0].bytes, 3);
    assert_int_equal(told[1].gpa, PAGE_END);
    assert_int_equal(told[1].bytes, 5);
}

static void exchange(void **state)
{
    (void)state;
    static const u8 old[4], new[4] = {0x5a, 1, 2, 3};
    struct guest_access a;
    guest_access_init(&a, v);
    assert_int_equal(guest_exchange(&a, PAGE_END, new, old, 4), ERR_INVALID);
    assert_int_equal(count, 0);
    assert_int_equal(guest_exchange(&a, PAGE_END, old, new, 4), 0);
    assert_int_equal(count, 1);
    assert_int_equal(told[0].bytes, 4);
}

// Reads, and writes to where there is no RAM, change no table.
static void nothing_to_tell(void **state)
{
    (void)state;
    u8 buffer[8];
    struct guest_access a;
    guest_access_init(&a, v);
    assert_int_equal(guest_read(&a, PAGE_END, buffer, 8, true), 0);
    write(HOLE_GVA, 8);
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_page, setup, teardown),
        cmocka_unit_test_setup_teardown(two_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(exchange, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_to_tell, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
