// See msr_table.h.
#include <arch/lib.h>

#include "msr_table.h"

#define ALWAYS       -1
#define CPUID_ALWAYS ALWAYS

struct msr_row {
    u32 first, last;
    const char *name;
    int feature;
    enum msr_action read, write;
};

static const struct msr_row rows[] = {
#define MSR(first, last, name, feature, read, write) \
    {first, last, #name, CPUID_##feature, MSR_##read, MSR_##write},
#include "msrs.def"
#undef MSR
};

static bool row_exists(const struct msr_row *row, const struct cpuid_policy *cpuid)
{
    return row->feature == ALWAYS || cpuid->has[row->feature];
}

struct msr_policy msr_find(const struct cpuid_policy *cpuid, u32 index)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct msr_row *row = &rows[i];
        if (index >= row->first && index <= row->last && row_exists(row, cpuid))
            return (struct msr_policy){row->name, row->read, row->write};
    }
    return (struct msr_policy){"?", MSR_FAULT, MSR_FAULT};
}

bool msr_direct(unsigned n, u32 *index)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct msr_row *row = &rows[i];
        if (row->read != MSR_DIRECT || row->write != MSR_DIRECT)
            continue;
        *index = row->first + n;
        if (*index <= row->last)
            return true;
        n -= row->last - row->first + 1;
    }
    return false;
}

#define LOW_MSRS  0x2000u
#define HIGH_BASE 0xc0000000u

// Four bitmaps of 1 KiB: read low, read high, write low, write high.
static void bitmap_set(u8 *bitmap, u32 offset, u32 index, bool direct)
{
    u32 bit = index & (LOW_MSRS - 1);
    u8 *byte = bitmap + offset + (index >= HIGH_BASE ? 1024 : 0) + bit / 8;
    if (direct)
        *byte &= (u8) ~(1u << bit % 8);
    else
        *byte |= (u8)(1u << bit % 8);
}

void msr_bitmap_read(u8 *bitmap, u32 index, bool direct)
{
    bitmap_set(bitmap, 0, index, direct);
}

void msr_bitmap_write(u8 *bitmap, u32 index, bool direct)
{
    bitmap_set(bitmap, 2048, index, direct);
}

void msr_bitmap_make(const struct cpuid_policy *cpuid, u8 *bitmap)
{
    memset(bitmap, 0xff, PAGE_SIZE);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (u32 index = rows[i].first; row_exists(&rows[i], cpuid) && index <= rows[i].last; index++) {
            msr_bitmap_read(bitmap, index, rows[i].read == MSR_DIRECT);
            msr_bitmap_write(bitmap, index, rows[i].write == MSR_DIRECT);
        }
    }
}
