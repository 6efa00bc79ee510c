// Guest memory as instructions that the monitor carries out reach it: what segments, canonical addresses and
// alignment forbid; devices, holes and the edges between them; what is told to the back end of writes, which
// may watch page tables there; and the last look at a guest's code, which changes nothing. Walks and their
// faults are test_walk's.

// link: MACHINE
#include "fake_machine.h"

#include <arch/cpu.h>
#include <hv/p2m_change.h>

#include "hv/access/guest_access.h"

#define PAGE_END (4 * MIB + PAGE_SIZE) // identity-mapped RAM
#define HOLE_GVA (3 * GIB)
#define UNMAPPED (5 * GIB)

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
    machine_setup(state);
    watching = *v->mmu->ops;
    watching.written = tell;
    machine_set_ops(v, &watching);
    count = 0;
    return 0;
}

static void write(u64 gva, unsigned bytes)
{
    static const u8 pattern[8] = {0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a};
    struct guest_access a;
    guest_access_init(&a, v);
    assert_int_equal(guest_write(&a, (struct insn_address){gva, INSN_DS}, pattern, bytes), 0);
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

// Reads, and writes to where there is no RAM, change no table.
static void nothing_to_tell(void **state)
{
    (void)state;
    u8 buffer[8];
    struct guest_access a;
    guest_access_init(&a, v);
    assert_int_equal(guest_read(&a, (struct insn_address){PAGE_END, INSN_DS}, buffer, 8, true), 0);
    write(HOLE_GVA, 8);
    assert_int_equal(count, 0);
}

enum { ES, CS, SS, DS, FS, GS };

// What an access gives: 0, or the vector of the fault; one that faults asks no device and writes nothing.
static unsigned try(unsigned segment, u64 offset, unsigned bytes, bool write)
{
    u8 data[16];
    memset(data, 0x5a, sizeof(data));
    count = 0;
    struct guest_access a;
    guest_access_init(&a, v);
    struct insn_address at = {offset, (u8)segment};
    int result = write ? guest_write(&a, at, data, bytes) : guest_read(&a, at, data, bytes, false);
    assert_in_range(result, 0, GUEST_FAULT);
    assert_int_equal(guest_may_write(&a, at, bytes) != 0 && write, result && write);
    return result ? a.fault_vector : 0;
}

static void segment_set(unsigned segment, u64 base, u64 limit, u64 rights)
{
    vmcs_write(GUEST_ES_BASE + 2 * segment, base);
    vmcs_write(GUEST_ES_LIMIT + 2 * segment, limit);
    vmcs_write(GUEST_ES_ACCESS_RIGHTS + 2 * segment, rights);
}

#define CANONICAL_END 0x800000000000ull

// In 64-bit code a segment is a base, for FS and GS, and SS or another.
static void canonical_addresses(void **state)
{
    (void)state;
    for (unsigned write = 0; write < 2; write++) {
        for (unsigned segment = ES; segment <= GS; segment++) {
            unsigned vector = segment == SS ? VECTOR_SS : VECTOR_GP;
            segment_set(segment, 0, 0, segment == CS ? RIGHTS_CODE_64 : BIT(16)); // nothing of it counts
            assert_int_equal(try(segment, CANONICAL_END, 1, write), vector);
            assert_int_equal(try(segment, CANONICAL_END - 4, 8, write), vector);
            assert_int_equal(try(segment, -CANONICAL_END - 1, 1, write), vector);
            assert_int_equal(try(segment, 1ull << 48 | PAGE_END, 4, write), vector);
            assert_int_equal(try(segment, CANONICAL_END - 8, 8, write), VECTOR_PF);
            assert_int_equal(try(segment, -CANONICAL_END, 8, write), VECTOR_PF);
        }
        segment_set(FS, CANONICAL_END, 0, 0);
        segment_set(DS, CANONICAL_END, 0, 0);
        assert_int_equal(try(FS, PAGE_END, 1, write), VECTOR_GP);
        assert_int_equal(try(DS, PAGE_END, 1, write), 0);
        assert_int_equal(try(GUEST_FLAT, CANONICAL_END - 4, 8, write), VECTOR_GP);
    }
    segment_set(GS, PAGE_END, 0, 0);
    assert_int_equal(try(GS, -8ull, 8, false), 0);
}

// 16- and 32-bit code. Expected vectors of a read and of a write of 4 bytes; 0: none.
static const struct {
    u64 rights, limit, offset;
    u8 read, write;
} segments[] = {
    {0xc093, 0xffffffff, 0x1000, 0, 0},    {0xc093, 0xffffffff, 0xfffffffe, 0, 0}, // wraps
    {0xc093, 0x1fff, 0x1ffc, 0, 0},        {0xc093, 0x1fff, 0x1ffd, 13, 13},
    {0xc093, 0x1fff, 0x2000, 13, 13},      {0xc093, 0x1fff, 0xfffffffe, 13, 13},
    {0x0093, 0xffff, 0xfffd, 13, 13}, // 16 bits: no wrap at 64 KiB either
    {0x0091, 0xffff, 0x1000, 0, 13},  // read-only
    {0xc097, 0x1fff, 0x2000, 0, 0},   // expand-down
    {0xc097, 0x1fff, 0x1fff, 13, 13},      {0xc097, 0x1fff, 0xfffffffd, 13, 13},
    {0x0097, 0x1fff, 0xfffc, 0, 0},        {0x0097, 0x1fff, 0xfffd, 13, 13},    // its upper end is 64 KiB
    {0xc095, 0x1fff, 0x2000, 0, 13},       {0xc09b, 0xffffffff, 0x1000, 0, 13}, // code that may be read
    {0xc09f, 0x1fff, 0x1000, 0, 13},       // conforming, which is not expand-down
    {0xc099, 0xffffffff, 0x1000, 13, 13},  // execute-only
    {0x1c093, 0xffffffff, 0x1000, 13, 13}, // null
};

static void segments_with_limits(void **state)
{
    (void)state;
    machine_start_32(v);
    vmcs_write(GUEST_CR0, vmcs_read(GUEST_CR0) | CR0_PE);
    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++) {
        for (unsigned segment = ES; segment <= GS; segment++) {
            if (segment == CS)
                continue; // its type says also in which mode the code is
            segment_set(segment, 4 * MIB, segments[i].limit, segments[i].rights);
            unsigned read = segments[i].read, write = segments[i].write;
            if (try(segment, segments[i].offset, 4, false) != (segment == SS && read ? VECTOR_SS : read) ||
                try(segment, segments[i].offset, 4, true) != (segment == SS && write ? VECTOR_SS : write))
                fail_msg("row %u, segment %u", i, segment);
        }
    }
}

// Real and virtual-8086 mode: limits, but no types.
static void real_mode(void **state)
{
    (void)state;
    machine_start_32(v);
    segment_set(CS, 0x10000, 0xffff, RIGHTS_CODE_16);
    assert_int_equal(try(CS, 0, 4, true), VECTOR_GP);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_VM);
    assert_int_equal(try(CS, 0, 4, true), 0);
    assert_int_equal(try(CS, 0xfffd, 4, true), VECTOR_GP);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED);
    vmcs_write(GUEST_CR0, vmcs_read(GUEST_CR0) & ~CR0_PE);
    v->cr0_mask &= ~CR0_PE;
    assert_int_equal(try(CS, 0, 4, true), 0);
}

static void write_u32(u64 gpa, u32 value)
{
    assert_int_equal(vm_ram_write(v->vm, gpa, &value, sizeof(value)), 0);
}

// Past 4 GiB linear addresses go on at 0.
static void wrap_at_4g(void **state)
{
    (void)state;
    u32 is = 0;
    struct guest_access a;
    machine_start_32(v);
    write_u32(0, 0x44332211);
    segment_set(DS, 0xfffff000, 0xffffffff, RIGHTS_DATA);
    guest_access_init(&a, v);
    assert_int_equal(guest_read(&a, (struct insn_address){0xffe, DS}, &is, 4, false), 0);
    assert_int_equal(is, 0x2211ffff); // no RAM, then gpa 0
    assert_int_equal(guest_read(&a, (struct insn_address){0x1001, DS}, &is, 2, false), 0);
    assert_int_equal(is, 0x22113322);
    machine_start_64(v); // compatibility mode: the tables would map more
    vmcs_write(GUEST_CS_ACCESS_RIGHTS, RIGHTS_CODE_32);
    segment_set(DS, 0xfffff000, 0xffffffff, RIGHTS_DATA);
    guest_access_init(&a, v);
    assert_int_equal(guest_read(&a, (struct insn_address){0xffe, DS}, &is, 4, false), 0);
    assert_int_equal(is, 0x2211ffff);
    assert_int_equal(guest_read(&a, (struct insn_address){0x1001, DS}, &is, 4, false), 0);
    assert_int_equal(is, 0x443322);
}

static void alignment(void **state)
{
    (void)state;
    assert_int_equal(try(DS, PAGE_END + 8, 16, false), VECTOR_GP);
    assert_int_equal(try(SS, PAGE_END + 8, 16, true), VECTOR_GP);
    assert_int_equal(try(DS, PAGE_END + 16, 16, true), 0);
    vmcs_write(GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_AC);
    vmcs_write(GUEST_CR0, vmcs_read(GUEST_CR0) | CR0_AM);
    assert_int_equal(try(DS, PAGE_END + 2, 4, true), 0); // CPL 0
    vmcs_write(GUEST_SS_ACCESS_RIGHTS, RIGHTS_STACK | 3 << 5);
    for (unsigned bytes = 1; bytes <= 8; bytes *= 2) {
        assert_int_equal(try(DS, PAGE_END + bytes, bytes, true), 0);
        assert_int_equal(try(SS, PAGE_END + bytes / 2, bytes, true), bytes > 1 ? VECTOR_AC : 0);
        assert_int_equal(try(DS, UNMAPPED + bytes / 2, bytes, false), bytes > 1 ? VECTOR_AC : VECTOR_PF);
    }
    assert_int_equal(try(GUEST_FLAT, PAGE_END + 1, 7, true), 0); // a buffer is no operand
    vmcs_write(GUEST_CR0, vmcs_read(GUEST_CR0) & ~CR0_AM);
    assert_int_equal(try(DS, PAGE_END + 2, 4, true), 0);
}

#define TABLE 0x180000 // a page table for 2M at PAGE_TABLE_GVA
#define EDGES (6 * MIB)
enum { RAM, IOAPIC_PAGE, HOLE, LOCAL_APIC };

// Maps pages of these kinds side by side at EDGES.
static void map_edges(const u8 *kinds, unsigned pages)
{
    static const u64 at[] = {8 * MIB, GUEST_IOAPIC_GPA, HOLE_GVA, GUEST_LAPIC_GPA};
    u64 table = TABLE | 7, entry, directory = MIB + 2 * PAGE_SIZE;
    for (unsigned i = 0; i < pages; i++) {
        entry = at[kinds[i]] | 7;
        assert_int_equal(vm_ram_write(v->vm, TABLE + 8 * i, &entry, 8), 0);
    }
    assert_int_equal(vm_ram_write(v->vm, directory + 8 * (EDGES / (2 * MIB)), &table, 8), 0);
}

static void check_read(u64 gva, unsigned bytes, const void *want)
{
    struct guest_access a;
    u8 is[18];
    memset(is, 0xa5, sizeof(is));
    guest_access_init(&a, v);
    assert_int_equal(guest_read(&a, (struct insn_address){gva, GUEST_FLAT}, is + 1, bytes, false), 0);
    assert_memory_equal(is + 1, want, bytes);
    assert_int_equal(is[0], 0xa5);
    assert_int_equal(is[bytes + 1], 0xa5);
}

// A device fills every byte that it is asked for, by accesses that are aligned. The IOAPIC has registers of 4
// bytes only.
static void device_sizes(void **state)
{
    (void)state;
    static const u8 zeros[16];
    ioapic_write(&v->vm->ioapic, 0, 4, 0x77);
    check_read(GUEST_IOAPIC_GPA, 4, "\x77\0\0\0");
    check_read(GUEST_IOAPIC_GPA, 16, zeros);
    for (unsigned bytes = 1; bytes <= 8; bytes++)
        check_read(GUEST_IOAPIC_GPA + 1, bytes, zeros);
    check_read(GUEST_IOAPIC_GPA + 4, 8, zeros);
    check_read(GUEST_IOAPIC_GPA - 4, 8, "\xff\xff\xff\xff\x77\0\0\0"); // a hole is before it
    check_read(GUEST_IOAPIC_GPA - 8, 16, "\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0");
}

// From RAM to a device to a hole and back, in one access.
static void edges(void **state)
{
    (void)state;
    static const u8 kinds[] = {RAM, IOAPIC_PAGE, HOLE, IOAPIC_PAGE, RAM, LOCAL_APIC, RAM};
    map_edges(kinds, sizeof(kinds));
    ioapic_write(&v->vm->ioapic, 0, 4, 0x77);
    write_u32(8 * MIB + PAGE_SIZE - 4, 0x44332211);
    write_u32(8 * MIB, 0x88776655);
    check_read(EDGES + PAGE_SIZE - 4, 8, "\x11\x22\x33\x44\x77\0\0\0");
    check_read(EDGES + 2 * PAGE_SIZE - 4, 8, "\0\0\0\0\xff\xff\xff\xff");
    check_read(EDGES + 3 * PAGE_SIZE - 4, 8, "\xff\xff\xff\xff\x77\0\0\0");
    check_read(EDGES + 4 * PAGE_SIZE - 4, 8, "\0\0\0\0\x55\x66\x77\x88");
    write(EDGES + PAGE_SIZE - 1, 2); // one byte to RAM, one to the device, which ignores it
    check_read(EDGES + PAGE_SIZE - 4, 8, "\x11\x22\x33\x5a\x77\0\0\0");
    assert_int_equal(count, 1);
    assert_int_equal(told[0].bytes, 1);
}

// The guest's own local APIC: registers of 4 bytes at multiples of 16, and nothing else.
static void local_apic(void **state)
{
    (void)state;
    static const u8 kinds[] = {LOCAL_APIC, RAM};
    volatile u32 *divide = phys_ptr(0xfee003e0);
    map_edges(kinds, sizeof(kinds));
    *divide = 0x0b;
    check_read(EDGES + 0x3e0, 4, "\x0b\0\0\0");
    check_read(EDGES + 0x3e0, 8, "\xff\xff\xff\xff\xff\xff\xff\xff");
    check_read(EDGES + 0x3e2, 2, "\xff\xff");
    write(EDGES + 0x3e0, 8);
    write(EDGES + 0x3e4, 4);
    assert_int_equal(*divide, 0x0b);
    write(EDGES + 0x3e0, 4);
    assert_int_equal(*divide, 0x5a5a5a5a);
}

// Code is fetched from RAM only; where it goes on in a device, its bytes end there, and no device is asked.
static void fetch(void **state)
{
    (void)state;
    static const u8 kinds[] = {RAM, IOAPIC_PAGE, RAM, HOLE};
    u8 bytes[15];
    struct guest_access a;
    map_edges(kinds, sizeof(kinds));
    guest_access_init(&a, v);
    vmcs_write(GUEST_RIP, EDGES + PAGE_SIZE - 4);
    assert_int_equal(guest_fetch(&a, bytes, sizeof(bytes)), 4);
    assert_int_equal(a.fault_vector, 0);
    vmcs_write(GUEST_RIP, EDGES + 4 * PAGE_SIZE);
    assert_int_equal(guest_fetch(&a, bytes, sizeof(bytes)), 0);
    assert_int_equal(a.fault_vector, VECTOR_PF);
    vmcs_write(GUEST_RIP, CANONICAL_END - 4);
    assert_int_equal(guest_fetch(&a, bytes, sizeof(bytes)), 0);
    assert_int_equal(a.fault_vector, VECTOR_PF);
    vmcs_write(GUEST_RIP, CANONICAL_END);
    assert_int_equal(guest_fetch(&a, bytes, sizeof(bytes)), 0);
    assert_int_equal(a.fault_vector, VECTOR_GP);
}

// A guest that has ended stays as it is: not even its accessed bits, no page comes back, no device is asked.
static void last_bytes(void **state)
{
    (void)state;
    static u8 before[MACHINE_RAM], after[MACHINE_RAM];
    u8 bytes[15];
    gfn_t code = gpa_gfn(8 * MIB);
    static const u8 kinds[] = {IOAPIC_PAGE, RAM};
    map_edges(kinds, sizeof(kinds));
    write_u32(8 * MIB, 0xa5a40ff4);
    assert_int_equal(vm_ram_read(v->vm, 0, before, sizeof(before)), 0);
    vmcs_write(GUEST_RIP, EDGES + PAGE_SIZE);
    u64 writes = v->vmcs.writes;
    assert_int_equal(guest_last_bytes(v, bytes, sizeof(bytes)), sizeof(bytes));
    assert_memory_equal(bytes, "\xf4\x0f\xa4\xa5", 4);
    vmcs_write(GUEST_RIP, EDGES);
    assert_int_equal(guest_last_bytes(v, bytes, sizeof(bytes)), 0);
    vmcs_write(GUEST_RIP, 1ull << 48 | (EDGES + PAGE_SIZE));
    assert_int_equal(guest_last_bytes(v, bytes, sizeof(bytes)), 0);
    assert_int_equal(v->vmcs.writes, writes + 2);
    assert_int_equal(vm_ram_read(v->vm, 0, after, sizeof(after)), 0);
    assert_memory_equal(before, after, sizeof(before));
    churn_init(&v->vm->churn, 1);
    v->vm->churn.count = 1;
    v->vm->churn.out[0] = (struct churn_page){.gfn = code, .away = true};
    assert_int_equal(p2m_take(&v->vm->p2m, code, P2M_DEVICE, &v->vm->churn.out[0].frame), 0);
    vmcs_write(GUEST_RIP, EDGES + PAGE_SIZE);
    assert_int_equal(guest_last_bytes(v, bytes, sizeof(bytes)), 0);
    assert_int_equal(v->vm->churn.count, 1);
}

// In 16- and 32-bit code the instruction is at CS's base and EIP.
static void last_bytes_by_cs(void **state)
{
    (void)state;
    u8 bytes[15];
    machine_start_32(v);
    write_u32(0x23450, 0x11223344);
    segment_set(CS, 0x20000, 0xffff, RIGHTS_CODE_16);
    vmcs_write(GUEST_RIP, 0x3450);
    assert_int_equal(guest_last_bytes(v, bytes, sizeof(bytes)), sizeof(bytes));
    assert_memory_equal(bytes, "\x44\x33\x22\x11", 4);
}

#define TEST(f) MACHINE_TEST(setup, f)

// A guest that works in a hole is told of once, whatever it does there.
static void hole_again_and_again(void **state)
{
    (void)state;
    struct guest_access a;
    u64 value;
    guest_access_init(&a, v);
    for (unsigned i = 1; i <= 30000; i++) {
        assert_int_equal(machine_log[0], i == 10001 ? 't' : 0);
        machine_log[0] = 0;
        if (i % 2)
            write(HOLE_GVA, 8);
        else
            assert_int_equal(guest_read(&a, (struct insn_address){HOLE_GVA + 8, INSN_DS}, &value, 8, false),
                             0);
        if (i == 10000)
            assert_string_equal(
                machine_log,
                "the guest has accessed addresses where there is nothing 10000 times, at last gpa 0xc0000008");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_page),
        TEST(two_pages),
        TEST(nothing_to_tell),
        TEST(hole_again_and_again),
        TEST(canonical_addresses),
        TEST(segments_with_limits),
        TEST(real_mode),
        TEST(wrap_at_4g),
        TEST(alignment),
        TEST(device_sizes),
        TEST(edges),
        TEST(local_apic),
        TEST(fetch),
        TEST(last_bytes),
        TEST(last_bytes_by_cs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
