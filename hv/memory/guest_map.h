// The guest's physical address space: where its RAM is and what firmware would say about it.
// One list of rows serves Linux's e820 table and Multiboot's memory map. It allocates and maps nothing: hv/vm
// does. Here is also how the guest loaders reach the guest's memory.
#pragma once

#include <arch/cpu.h>

#define GUEST_LOW_RAM_END 0x9fc00ull    // the last KiB below 640K is where a BIOS keeps its data area
#define GUEST_ACPI_GPA    0xe0000ull    // ACPI tables, up to GUEST_ACPI_END
#define GUEST_ACPI_END    0x100000ull   // also the start of the RAM above
#define GUEST_DEVICE_HOLE 0xc0000000ull // RAM that does not fit below continues at GUEST_HIGH_RAM
#define GUEST_IOAPIC_GPA  0xfec00000ull
#define GUEST_LAPIC_GPA   APIC_BASE_RESET // the machine's own page, where the guest has it
#define GUEST_HIGH_RAM    0x100000000ull
#define GUEST_MEM_MIN     (16 * MIB)
#define GUEST_MEM_MAX     (1024 * GIB)

enum e820_type { E820_RAM = 1, E820_RESERVED = 2 };

struct guest_range {
    u64 start, end; // bytes of gpa, [start, end)
    u32 type;       // enum e820_type
};

#define GUEST_MAP_ROWS 6

// RAM is [0, low_end) and, if high_end is not 0, [GUEST_HIGH_RAM, high_end): all of it is backed, the
// reserved range below 1M too. GUEST_DEVICE_HOLE is a multiple of 1G, so that the hole never splits a large
// page.
struct guest_map {
    u64 low_end;
    u64 high_end;
    unsigned count;
    struct guest_range rows[GUEST_MAP_ROWS]; // ascending, for the guest
};

// Lays out `mem` bytes of RAM: a multiple of 4K, GUEST_MEM_MIN to GUEST_MEM_MAX.
void guest_map_make(struct guest_map *map, u64 mem);

// True if [start, start + bytes) lies in one row of E820_RAM: a guest may be loaded there.
bool guest_map_is_ram(const struct guest_map *map, u64 start, u64 bytes);

// The guest's RAM as the loaders write it. Both functions are called only for gpa that are RAM in the guest's
// map; they cannot fail. copy reads `bytes` bytes at `from`; clear writes zeros.
struct guest_ram {
    void (*copy)(void *context, u64 gpa, const void *from, u64 bytes);
    void (*clear)(void *context, u64 gpa, u64 bytes);
    void *context;
};
