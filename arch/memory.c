// See arch/memory.h.
#include <arch/cpu.h>
#include <arch/io.h>
#include <arch/lib.h>
#include <arch/layout.h>
#include <arch/memory.h>
#include <arch/phys.h>

#include "paging.h"

#define CPUID_1_EDX_MTRR BIT(12)
#define KEPT_MAX         (BOOT_MODULES + 4) // image, symbols, their names, modules, the allocator's table
#define FRAMES_LEAST     (256 * GIB / PAGE_SIZE) // where RAM goes farther, some of it may be left out

static u64 map_end = 4 * GIB, kept_bytes;

// What must not be handed out: free-list links would be written into it.
struct kept {
    unsigned count;
    struct {
        u64 start, end;
    } range[KEPT_MAX];
};

static void keep(struct kept *kept, u64 start, u64 bytes)
{
    if (!bytes)
        return;
    kept->range[kept->count].start = align_down(start, PAGE_SIZE);
    kept->range[kept->count].end = align_up(start + bytes, PAGE_SIZE);
    kept->count++;
}

static u64 kept_sum(const struct kept *kept)
{
    u64 sum = 0;
    for (unsigned i = 0; i < kept->count; i++)
        sum += kept->range[i].end - kept->range[i].start;
    return sum;
}

static void keep_boot(struct kept *kept, const struct boot_info *boot, u64 image_hpa)
{
    keep(kept, image_hpa, (u64)(image_end - image_start));
    keep(kept, boot->symbols.symbols_hpa, boot->symbols.symbols_bytes);
    keep(kept, boot->symbols.strings_hpa, boot->symbols.strings_bytes);
    for (unsigned i = 0; i < boot->module_count; i++)
        keep(kept, boot->modules[i].start, boot->modules[i].end - boot->modules[i].start);
}

// The part of [start, end) before the first kept range, into *piece_end; returns where to go on.
static u64 next_piece(const struct kept *kept, u64 start, u64 end, u64 *piece_end)
{
    u64 first = end, go_on = end;
    for (unsigned i = 0; i < kept->count; i++) {
        u64 from = kept->range[i].start, to = kept->range[i].end;
        if (to <= start || from >= first || from == to)
            continue;
        first = from > start ? from : start;
        go_on = to;
    }
    *piece_end = first;
    return go_on;
}

static void add_range(struct frames *frames, const struct kept *kept, u64 start, u64 end)
{
    while (start < end) {
        u64 piece_end;
        u64 next = next_piece(kept, start, end, &piece_end);
        frames_add(frames, start, piece_end);
        start = next;
    }
}

// Adds the RAM in [low, high).
static void add_ram(struct frames *frames, const struct kept *kept, const struct boot_info *boot, u64 low,
                    u64 high)
{
    for (unsigned i = 0; i < boot->range_count; i++) {
        const struct boot_range *range = &boot->ranges[i];
        u64 start = range->start > low ? range->start : low;
        u64 end = range->end < high ? range->end : high;
        if (range->type == BOOT_MEMORY_RAM && start < end)
            add_range(frames, kept, start, end);
    }
}

static u64 ram_end(const struct boot_info *boot)
{
    u64 end = 0;
    for (unsigned i = 0; i < boot->range_count; i++) {
        if (boot->ranges[i].type == BOOT_MEMORY_RAM && boot->ranges[i].end > end)
            end = boot->ranges[i].end;
    }
    return end < DIRECT_MAP_END ? end : DIRECT_MAP_END;
}

// The highest place below 4 GiB for `bytes` that is RAM and not kept; 0: none. As a table with a byte for
// each frame it leaves room for the page tables that map the frames, which take 1/64 of it where all are of
// 2M.
static u64 find_room(const struct boot_info *boot, const struct kept *kept, u64 bytes)
{
    u64 best = 0;
    for (unsigned i = 0; i < boot->range_count; i++) {
        u64 start = align_up(boot->ranges[i].start, PAGE_SIZE), piece_end;
        u64 end = boot->ranges[i].end < 4 * GIB ? boot->ranges[i].end : 4 * GIB;
        for (u64 next; boot->ranges[i].type == BOOT_MEMORY_RAM && start < end; start = next) {
            next = next_piece(kept, start, end, &piece_end);
            u64 place = align_down(piece_end, PAGE_SIZE) - bytes;
            if (piece_end - start >= bytes + bytes / 64 + PAGE_SIZE && place > best)
                best = place;
        }
    }
    return best;
}

// Where the allocator's table goes, for as many of `limit` frames as there is room for; 0: for too few.
static u64 place_table(const struct boot_info *boot, const struct kept *kept, u64 *limit)
{
    u64 place;
    while (!(place = find_room(boot, kept, *limit)) && *limit > FRAMES_LEAST)
        *limit -= GIB / PAGE_SIZE;
    return place;
}

// ACPI's tables may lie above 4 GiB as well. What else is there, holes and devices, is not mapped.
static bool is_mapped(const struct boot_range *range)
{
    return range->type == BOOT_MEMORY_RAM || range->type == BOOT_MEMORY_ACPI ||
           range->type == BOOT_MEMORY_NVS;
}

// Completes the direct map. Nothing may be taken from `frames` above 4 GiB before.
static int map_all(struct frames *frames, const struct boot_info *boot)
{
    for (unsigned i = 0; i < boot->range_count; i++) {
        const struct boot_range *range = &boot->ranges[i];
        u64 end = range->end < DIRECT_MAP_END ? range->end : DIRECT_MAP_END;
        int error = is_mapped(range) ? paging_map(frames, range->start, end) : 0;
        if (error)
            return error;
    }
    return 0;
}

// The end of a mapped range that `at` is in or right behind; `at`: there is none.
static u64 range_end(const struct boot_info *boot, u64 at)
{
    for (unsigned i = 0; i < boot->range_count; i++) {
        const struct boot_range *range = &boot->ranges[i];
        if (is_mapped(range) && range->start <= at && range->end > at)
            return range->end;
    }
    return at;
}

// The first address from 4 GiB on that is in no mapped range.
static u64 mapped_end(const struct boot_info *boot)
{
    u64 end = 4 * GIB;
    for (u64 next; end < DIRECT_MAP_END && (next = range_end(boot, end)) > end;)
        end = next;
    return end < DIRECT_MAP_END ? end : DIRECT_MAP_END;
}

u64 memory_map_end(void)
{
    return map_end;
}

u64 memory_kept_bytes(void)
{
    return kept_bytes;
}

u64 memory_left_out(const struct frames *frames, const struct boot_info *boot)
{
    u64 bytes = 0, end = frames->limit * PAGE_SIZE;
    for (unsigned i = 0; i < boot->range_count; i++) {
        const struct boot_range *range = &boot->ranges[i];
        u64 start = range->start > end ? range->start : end;
        if (range->type == BOOT_MEMORY_RAM && range->end >= start + PAGE_SIZE)
            bytes += range->end - start;
    }
    return bytes;
}

int memory_init(struct frames *frames, const struct boot_info *boot, u64 image_hpa)
{
    struct kept kept = {0};
    keep_boot(&kept, boot, image_hpa);
    u64 limit = ram_end(boot) / PAGE_SIZE;
    u64 state = place_table(boot, &kept, &limit);
    if (!state)
        return ERR_NOMEM;
    keep(&kept, state, limit);
    kept_bytes = kept_sum(&kept);
    frames_init(frames, phys_ptr(state), limit);
    add_ram(frames, &kept, boot, 0, 4 * GIB);
    int error = map_all(frames, boot);
    if (error)
        return error;
    paging_identity(false);
    map_end = mapped_end(boot);
    add_ram(frames, &kept, boot, 4 * GIB, DIRECT_MAP_END);
    return 0;
}

// To the highest free frames, if these are higher. Returns the bytes that went there.
static u64 raise(struct frames *frames, u64 *start, u64 bytes)
{
    u64 offset = *start & ~PAGE_MASK, whole = align_up(offset + bytes, PAGE_SIZE);
    u64 to = frames_highest(frames, whole / PAGE_SIZE).n * PAGE_SIZE;
    if (!bytes || to <= *start)
        return 0;
    frames_reserve(frames, to, to + whole);
    memcpy(phys_ptr(to + offset), phys_ptr(*start), bytes);
    *start = to + offset;
    return whole;
}

static u64 raise_all(struct frames *frames, struct boot_info *boot)
{
    struct boot_symbols *s = &boot->symbols;
    u64 sum = raise(frames, &s->symbols_hpa, s->symbols_bytes);
    sum += raise(frames, &s->strings_hpa, s->strings_bytes);
    for (unsigned i = 0; i < boot->module_count; i++) {
        struct boot_module *m = &boot->modules[i];
        u64 bytes = m->end - m->start;
        sum += raise(frames, &m->start, bytes);
        m->end = m->start + bytes;
    }
    return sum;
}

u64 memory_raise(struct frames *frames, struct boot_info *boot, u64 image_hpa)
{
    struct kept before = {0}, kept = {0};
    keep_boot(&before, boot, image_hpa);
    u64 raised = raise_all(frames, boot);
    keep_boot(&kept, boot, image_hpa);
    keep(&kept, ptr_hpa(frames->state), frames->limit);
    kept_bytes = kept_sum(&kept) - raised;
    for (unsigned i = 0; i < before.count; i++)
        add_ram(frames, &kept, boot, before.range[i].start, before.range[i].end);
    return raised;
}

void memory_mtrrs(struct mtrrs *mtrrs)
{
    static const u16 fixed[MTRR_FIXED_COUNT] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
                                                0x26b, 0x26c, 0x26d, 0x26e, 0x26f};
    *mtrrs = (struct mtrrs){.maxphyaddr = phys_bits()};
    if (!(cpuid(1, 0).edx & CPUID_1_EDX_MTRR))
        return;
    mtrrs->cap = rdmsr(IA32_MTRRCAP);
    mtrrs->def_type = rdmsr(IA32_MTRR_DEF_TYPE);
    for (unsigned i = 0; mtrrs->cap & MTRRCAP_FIX && i < MTRR_FIXED_COUNT; i++)
        mtrrs->fixed[i] = rdmsr(fixed[i]);
    for (unsigned i = 0; i < MTRRCAP_VCNT(mtrrs->cap) && i < MTRR_VARIABLE_MAX; i++) {
        mtrrs->variable[i].base = rdmsr(0x200 + 2 * i);
        mtrrs->variable[i].mask = rdmsr(0x201 + 2 * i);
    }
}
