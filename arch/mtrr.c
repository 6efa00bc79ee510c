// Memory types by MTRR: see arch/mtrr.h. The type is constant between the boundaries of the ranges, so a
// query steps from boundary to boundary. It does not touch MSRs.
#include <arch/mtrr.h>

#define DEF_TYPE_FE         BIT(10) // fixed-range registers enabled
#define DEF_TYPE_E          BIT(11) // MTRRs enabled
#define PHYSMASK_V          BIT(11)
#define FIXED_FRAMES        0x100u // the fixed-range registers describe the first 1 MiB
#define MEMTYPE_VALID(type) ((type) == MEMTYPE_UC || (type) == MEMTYPE_WC || ((type) >= 4 && (type) <= 6))

// The fields of the fixed-range registers, eight to a register, in order of address (SDM vol. 3, table 12-9).
static const struct {
    unsigned first;       // frame
    unsigned shift;       // log2 of the frames that a field describes
    unsigned first_field; // counted over all registers
} fixed_areas[] = {
    {0xc0, 0, 24}, // MTRR_FIX4K_C0000 to F8000
    {0x80, 2, 8},  // MTRR_FIX16K_80000, A0000
    {0x00, 4, 0},  // MTRR_FIX64K_00000
};

static unsigned type_of_field(u64 field)
{
    unsigned type = field & 0xff;
    return MEMTYPE_VALID(type) ? type : MEMTYPE_UC;
}

// As all the functions below: the type at `frame`, and in `next` the first frame above it that may differ.
static unsigned fixed_type(const struct mtrrs *m, u64 frame, u64 *next)
{
    unsigned area = 0;
    while (frame < fixed_areas[area].first)
        area++;
    u64 index = (frame - fixed_areas[area].first) >> fixed_areas[area].shift;
    u64 field = fixed_areas[area].first_field + index;
    *next = fixed_areas[area].first + ((index + 1) << fixed_areas[area].shift);
    return type_of_field(m->fixed[field / 8] >> field % 8 * 8);
}

// The lowest frame above `frame` that has the bits `base` where `mask` is set; `frame` itself has not.
static u64 next_match(u64 frame, u64 base, u64 mask)
{
    u64 bit = BIT(63 - __builtin_clzll((frame & mask) ^ base));
    if (frame & bit) { // too high below this bit: carry into the next one that the mask leaves free
        u64 clear = ~(frame | mask) & ~(bit - 1);
        bit = clear & -clear;
    }
    return ((frame | bit) & ~(bit - 1)) | (base & (bit - 1));
}

static bool variable_match(u64 frame, u64 base, u64 mask, u64 *next)
{
    bool match = (frame & mask) == base;
    u64 change;
    if (!match)
        change = next_match(frame, base, mask);
    else if (mask)
        change = align_down(frame, mask & -mask) + (mask & -mask);
    else
        change = UINT64_MAX;
    if (change < *next)
        *next = change;
    return match;
}

// SDM vol. 3, 12.11.4.1: UC wins over all, WT over WB; any other overlap is undefined.
static unsigned combine(unsigned types, unsigned default_type)
{
    if (!types)
        return default_type;
    if ((types & (types - 1)) == 0)
        return (unsigned)__builtin_ctz(types);
    return types == (1u << MEMTYPE_WT | 1u << MEMTYPE_WB) ? MEMTYPE_WT : MEMTYPE_UC;
}

static unsigned variable_type(const struct mtrrs *m, u64 frame, u64 *next)
{
    u64 address_bits = (BIT(m->maxphyaddr) - 1) >> PAGE_SHIFT;
    unsigned count = MTRRCAP_VCNT(m->cap);
    unsigned types = 0;
    *next = UINT64_MAX;
    for (unsigned i = 0; i < count && i < MTRR_VARIABLE_MAX; i++) {
        if (!(m->variable[i].mask & PHYSMASK_V))
            continue;
        u64 mask = m->variable[i].mask >> PAGE_SHIFT & address_bits;
        u64 base = m->variable[i].base >> PAGE_SHIFT & mask;
        if (variable_match(frame, base, mask, next))
            types |= 1u << type_of_field(m->variable[i].base);
    }
    return combine(types, type_of_field(m->def_type));
}

u8 mtrr_type_at(const struct mtrrs *m, u64 first, u64 *next)
{
    *next = UINT64_MAX;
    if (!(m->def_type & DEF_TYPE_E))
        return MEMTYPE_UC;
    if (first < FIXED_FRAMES && (m->def_type & DEF_TYPE_FE) && (m->cap & MTRRCAP_FIX))
        return (u8)fixed_type(m, first, next);
    return (u8)variable_type(m, first, next);
}

u8 mtrr_memtype(const struct mtrrs *m, mfn_t first, u64 count)
{
    u64 next;
    u8 type = mtrr_type_at(m, first.n, &next);
    while (next < first.n + count) {
        if (mtrr_type_at(m, next, &next) != type)
            return MTRR_MIXED;
    }
    return type;
}
