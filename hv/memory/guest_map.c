// See guest_map.h. Pure: also on the host.
#include <arch/panic.h>
#include "guest_map.h"

static void add_row(struct guest_map *map, u64 start, u64 end, u32 type)
{
    assert_that(map->count < GUEST_MAP_ROWS);
    map->rows[map->count++] = (struct guest_range){start, end, type};
}

void guest_map_make(struct guest_map *map, u64 mem)
{
    assert_that(mem >= GUEST_MEM_MIN && mem <= GUEST_MEM_MAX && mem % PAGE_SIZE == 0);
    *map = (struct guest_map){.low_end = mem < GUEST_DEVICE_HOLE ? mem : GUEST_DEVICE_HOLE};
    if (mem > GUEST_DEVICE_HOLE)
        map->high_end = GUEST_HIGH_RAM + (mem - GUEST_DEVICE_HOLE);
    add_row(map, 0, GUEST_LOW_RAM_END, E820_RAM);
    add_row(map, GUEST_LOW_RAM_END, GUEST_ACPI_END, E820_RESERVED);
    add_row(map, GUEST_ACPI_END, map->low_end, E820_RAM);
    add_row(map, GUEST_IOAPIC_GPA, GUEST_IOAPIC_GPA + PAGE_SIZE, E820_RESERVED);
    add_row(map, GUEST_LAPIC_GPA, GUEST_LAPIC_GPA + PAGE_SIZE, E820_RESERVED);
    if (map->high_end)
        add_row(map, GUEST_HIGH_RAM, map->high_end, E820_RAM);
}

bool guest_map_is_ram(const struct guest_map *map, u64 start, u64 bytes)
{
    for (unsigned i = 0; i < map->count; i++) {
        const struct guest_range *row = &map->rows[i];
        if (row->type == E820_RAM && start >= row->start && start <= row->end && bytes <= row->end - start)
            return true;
    }
    return false;
}
