// See arch/trim.h. Pure.
#include <arch/lib.h>
#include <arch/trim.h>

#define FIRST (1 * MIB) // below are the fixed-range registers, and the firmware's own

// Whether `at` is write-back, and in `end` where that may change, at most `limit`.
static bool is_write_back(const struct mtrrs *mtrrs, u64 at, u64 limit, u64 *end)
{
    u64 next;
    bool write_back = mtrr_type_at(mtrrs, at >> PAGE_SHIFT, &next) == MEMTYPE_WB;
    *end = next < limit >> PAGE_SHIFT ? next << PAGE_SHIFT : limit;
    return write_back;
}

// The first part of [start, end) that is, or is not, write-back; an empty one if there is none.
static struct boot_range find_part(const struct mtrrs *mtrrs, u64 start, u64 end, bool write_back)
{
    struct boot_range part = {end, end, BOOT_MEMORY_RAM};
    for (u64 at = start, next; at < end; at = next) {
        bool is = is_write_back(mtrrs, at, end, &next);
        if (is == write_back && part.start == end)
            part.start = at;
        if (is != write_back && part.start != end) {
            part.end = at;
            break;
        }
    }
    return part;
}

static u64 ram_start(const struct boot_range *range)
{
    return range->start > FIRST ? range->start : FIRST;
}

static bool has_write_back(const struct boot_info *boot, const struct mtrrs *mtrrs)
{
    for (unsigned i = 0; i < boot->range_count; i++) {
        const struct boot_range *range = &boot->ranges[i];
        struct boot_range part = find_part(mtrrs, ram_start(range), range->end, true);
        if (range->type == BOOT_MEMORY_RAM && part.start < part.end)
            return true;
    }
    return false;
}

// Ends range i at `at`, and has another one of `type` behind it. Without room for it, that is lost.
static void split(struct boot_info *boot, unsigned i, u64 at, u32 type)
{
    struct boot_range *range = &boot->ranges[i];
    if (boot->range_count < BOOT_RANGES) {
        memmove(range + 1, range, (boot->range_count - i) * sizeof(*range));
        boot->range_count++;
        range[1].start = at;
        range[1].type = type;
    }
    range->end = at;
}

// The part of range i is reserved from now on. What lies behind it stays RAM, as a range of its own.
static void cut(struct boot_info *boot, unsigned i, const struct boot_range *part)
{
    struct boot_range *range = &boot->ranges[i];
    if (part->end < range->end)
        split(boot, i, part->end, BOOT_MEMORY_RAM);
    if (part->start > range->start)
        split(boot, i, part->start, BOOT_MEMORY_RESERVED);
    else
        range->type = BOOT_MEMORY_RESERVED;
}

struct trimmed ram_trim(struct boot_info *boot, const struct mtrrs *mtrrs)
{
    struct trimmed t = {.start = UINT64_MAX};
    if (!has_write_back(boot, mtrrs))
        return (struct trimmed){.all = true};
    for (unsigned i = 0; i < boot->range_count; i++) {
        const struct boot_range *range = &boot->ranges[i];
        struct boot_range part = find_part(mtrrs, ram_start(range), range->end, false);
        if (range->type != BOOT_MEMORY_RAM || part.start >= part.end)
            continue;
        t.bytes += part.end - part.start;
        t.start = part.start < t.start ? part.start : t.start;
        t.end = part.end > t.end ? part.end : t.end;
        cut(boot, i, &part);
    }
    return t;
}
