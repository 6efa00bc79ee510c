// The memory type of a range against a slow model that takes it frame by frame from SDM vol. 3, 12.11.
// link: arch/mtrr.c
#include "support.h"

#include <arch/mtrr.h>

#define VALID     BIT(11)
#define DEF(type) (BIT(11) | BIT(10) | (type))

static u8 slow_fixed(const struct mtrrs *m, u64 hpa)
{
    u64 field = hpa < 0x80000   ? hpa / 0x10000
                : hpa < 0xc0000 ? 8 + (hpa - 0x80000) / 0x4000
                                : 24 + (hpa - 0xc0000) / 0x1000;
    return (u8)(m->fixed[field / 8] >> (8 * (field % 8)));
}

static u8 slow_frame(const struct mtrrs *m, u64 hpa)
{
    if (!(m->def_type & BIT(11)))
        return MEMTYPE_UC;
    if (hpa < MIB && (m->def_type & BIT(10)) && (m->cap & BIT(8)))
        return slow_fixed(m, hpa);
    int type = -1;
    for (unsigned i = 0; i < (m->cap & 0xff) && i < 32; i++) {
        u64 mask = m->variable[i].mask & PAGE_MASK & (BIT(m->maxphyaddr) - 1);
        int other = m->variable[i].base & 0xff;
        if (!(m->variable[i].mask & VALID) || (hpa & mask) != (m->variable[i].base & mask))
            continue;
        if (type == -1 || type == other)
            type = other;
        else if (type + other == MEMTYPE_WT + MEMTYPE_WB && type && other)
            type = MEMTYPE_WT;
        else
            type = MEMTYPE_UC;
    }
    return type == -1 ? (u8)m->def_type : (u8)type;
}

static u8 slow_range(const struct mtrrs *m, u64 first, u64 count)
{
    u8 type = slow_frame(m, first * PAGE_SIZE);
    for (u64 i = 1; i < count; i++) {
        if (slow_frame(m, (first + i) * PAGE_SIZE) != type)
            return MTRR_MIXED;
    }
    return type;
}

// Only pairs of types whose overlap is defined in any order of the registers: UC WT WB, or one type with UC.
static u8 random_type(bool with_wc)
{
    static const u8 plain[] = {MEMTYPE_UC, MEMTYPE_WT, MEMTYPE_WB, MEMTYPE_WB};
    return with_wc ? (random_below(3) ? MEMTYPE_WC : MEMTYPE_UC) : plain[random_below(4)];
}

// 16 MiB of address space below 32 bits, so that the slow model can look at all of it.
static void random_mtrrs(struct mtrrs *m)
{
    static const u8 fixed_types[] = {0, 1, 4, 5, 6, 6, 6, 6};
    bool with_wc = random_below(4) == 0;
    *m = (struct mtrrs){.maxphyaddr = 32 + (unsigned)random_below(21)};
    m->cap = random_below(9) | (random_below(5) ? MTRRCAP_FIX : 0);
    m->def_type = random_type(false) | (random_below(6) ? BIT(10) : 0) | (random_below(12) ? BIT(11) : 0);
    u8 type = 6;
    for (unsigned i = 0; i < 88; i++) {
        if (random_below(5) == 0)
            type = fixed_types[random_below(8)];
        m->fixed[i / 8] |= (u64)type << (i % 8 * 8);
    }
    for (unsigned i = 0; i < MTRR_VARIABLE_MAX; i++) {
        unsigned shift = 12 + (unsigned)random_below(13);
        u64 mask = ~(BIT(shift) - 1) & (BIT(m->maxphyaddr) - 1);
        if (random_below(4) == 0) // discontiguous
            mask &= ~(random_u64() & (16 * MIB - 1)) | (random_u64() & random_u64());
        u64 base = random_below(16 * MIB) & PAGE_MASK;
        if (random_below(4))
            base &= mask;
        m->variable[i].mask = (mask & PAGE_MASK) | (random_below(5) ? VALID : 0);
        m->variable[i].base = base | random_type(with_wc);
    }
}

static void test_random(void **unused)
{
    (void)unused;
    unsigned mixed = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct mtrrs m;
        random_mtrrs(&m);
        for (unsigned query = 0; query < 20; query++) {
            u64 first = random_below(random_below(3) ? 4096 : 300);
            u64 count = 1 + random_below(random_below(3) ? 40 : 1024);
            u8 expected = slow_range(&m, first, count);
            assert_int_equal(mtrr_memtype(&m, mfn(first), count), expected);
            mixed += expected == MTRR_MIXED;
        }
    }
    assert_in_range(mixed, 20000, 380000); // both answers are common
}

// What firmware sets up on a machine with 6 GiB: WB below 2 GiB but for a hole, and above 4 GiB.
static void test_firmware(void **unused)
{
    (void)unused;
    struct mtrrs m = {.cap = 10 | MTRRCAP_FIX, .def_type = DEF(MEMTYPE_UC), .maxphyaddr = 39};
    const u64 limit = BIT(39) - 1;
    for (unsigned i = 0; i < MTRR_FIXED_COUNT; i++)
        m.fixed[i] = 0x0606060606060606ull;
    m.fixed[2] = 0; // A0000 to BFFFF
    m.variable[0].base = 0 | MEMTYPE_WB;
    m.variable[0].mask = (limit & ~(2 * GIB - 1)) | VALID;
    m.variable[1].base = (2 * GIB - 8 * MIB) | MEMTYPE_UC;
    m.variable[1].mask = (limit & ~(8 * MIB - 1)) | VALID;
    m.variable[2].base = 4 * GIB | MEMTYPE_WB;
    m.variable[2].mask = (limit & ~(2 * GIB - 1)) | VALID;
    static const struct {
        u64 start;
        u64 bytes;
        u8 type;
    } cases[] = {
        {0, 640 * KIB, MEMTYPE_WB},
        {0, 2 * MIB, MTRR_MIXED},
        {0xa0000, 0x20000, MEMTYPE_UC},
        {0x9f000, 0x2000, MTRR_MIXED},
        {0xc0000, 2 * GIB - 8 * MIB - 0xc0000, MEMTYPE_WB},
        {0xc0000, 2 * GIB - 8 * MIB - 0xc0000 + PAGE_SIZE, MTRR_MIXED},
        {GIB, GIB, MTRR_MIXED},
        {2 * GIB - 8 * MIB, 2 * GIB + 8 * MIB, MEMTYPE_UC},
        {4 * GIB, GIB, MEMTYPE_WB},
        {4 * GIB, 2 * GIB, MEMTYPE_WB},
        {5 * GIB, GIB + PAGE_SIZE, MTRR_MIXED},
        {6 * GIB, 506 * GIB, MEMTYPE_UC},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(mtrr_memtype(&m, hpa_mfn(cases[i].start), cases[i].bytes / PAGE_SIZE),
                         cases[i].type);
}

static void test_disabled(void **unused)
{
    (void)unused;
    struct mtrrs m = {.cap = MTRRCAP_FIX, .def_type = MEMTYPE_WB, .maxphyaddr = 36};
    assert_int_equal(mtrr_memtype(&m, mfn(0), 1 << 18), MEMTYPE_UC);
    m.def_type |= BIT(11); // enabled, fixed ranges not
    assert_int_equal(mtrr_memtype(&m, mfn(0), 1 << 18), MEMTYPE_WB);
    m.def_type |= BIT(10);
    assert_int_equal(mtrr_memtype(&m, mfn(0), 1 << 18), MTRR_MIXED);
    m.cap = 0;
    assert_int_equal(mtrr_memtype(&m, mfn(0), 1 << 18), MEMTYPE_WB);
}

int main(void)
{
    random_start();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_firmware),
        cmocka_unit_test(test_disabled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
