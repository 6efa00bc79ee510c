// What the boot loader says about the machine, taken out of the Multiboot2 boot information into one struct.
// The information is foreign: nothing in it is believed before its bounds are checked. This does not decide
// what memory is used for; that is the start-up code's work.
#pragma once

#include <arch/types.h>

#define MULTIBOOT2_LOADER_MAGIC 0x36d76289u // in EAX at entry

#define BOOT_MODULES 16
#define BOOT_RANGES  1024
#define BOOT_SPECIAL 64

// Multiboot2's types of memory, the same as ACPI's.
enum boot_memory_type {
    BOOT_MEMORY_RAM = 1,
    BOOT_MEMORY_RESERVED = 2,
    BOOT_MEMORY_ACPI = 3,
    BOOT_MEMORY_NVS = 4,
    BOOT_MEMORY_BAD = 5,
};

enum boot_framebuffer_type {
    BOOT_FRAMEBUFFER_INDEXED = 0,
    BOOT_FRAMEBUFFER_RGB = 1,
    BOOT_FRAMEBUFFER_TEXT = 2, // width and height are in characters
};

// [start, end) in bytes of machine memory.
struct boot_module {
    u64 start, end;
    const char *string; // inside the boot information
};
struct boot_range {
    u64 start, end;
    u32 type; // enum boot_memory_type, or another number of the firmware's own
};
struct boot_colour {
    u8 position, size; // in bits
};
struct boot_framebuffer {
    bool present;
    u64 hpa;
    u32 pitch; // bytes a line
    u32 width, height;
    u8 bpp;
    u8 type;                             // enum boot_framebuffer_type
    struct boot_colour red, green, blue; // of BOOT_FRAMEBUFFER_RGB
};
// The monitor's symbol table as the boot loader left it in memory: addresses as linked. Its names are offsets
// into the strings; whoever reads them checks both bounds.
struct boot_symbols {
    u64 symbols_hpa, symbols_bytes; // 0 bytes: there is none
    u64 strings_hpa, strings_bytes;
    u32 symbol_bytes; // of one entry: 16 is Elf32_Sym, 24 is Elf64_Sym
};

struct boot_info {
    u32 bytes;                // of the whole boot information
    const char *command_line; // inside the boot information, as is loader_name: "" when the loader gave none
    const char *loader_name;
    unsigned module_count;
    struct boot_module modules[BOOT_MODULES];
    unsigned range_count;
    struct boot_range ranges[BOOT_RANGES]; // in the loader's order; neighbours of one type are merged
    bool efi;                              // the firmware is UEFI: it has given its own memory map, too
    unsigned special_count;
    struct boot_range
        special[BOOT_SPECIAL]; // RAM that UEFI sets apart for a purpose (EFI_MEMORY_SP): the first of it
    struct boot_framebuffer framebuffer;
    u8 rsdp[36];    // a copy of ACPI's RSDP, the newer one where there are two
    u32 rsdp_bytes; // 0: none, 20: ACPI 1.0, 36: ACPI 2.0 and later
    bool has_load_base;
    u32 load_base; // where a relocatable monitor was put
    struct boot_symbols symbols;
    const char *problem; // after ERR_INVALID: one sentence
};

// Reads the boot information of at most `limit` bytes at `info` into `*boot`. The strings of *boot point into
// it, so it must stay: copy it, or keep it from the frame allocator, first. Nothing that it points to is
// read. ERR_INVALID: it breaks its format, or has more modules or ranges than fit; boot->problem says which.
int multiboot2_parse(struct boot_info *boot, const void *info, u64 limit) must_check;

// Whether any byte of [start, end) is RAM.
bool boot_has_ram(const struct boot_info *boot, u64 start, u64 end);
