// The loader of Multiboot 1 kernels: ELF32 and ELF64 by their program headers, any file by the load addresses
// in its Multiboot header (flag bit 16), with the information structure that GRUB's `multiboot` command would
// give. Also a 64-bit kernel starts in 32-bit protected mode, as the specification has no other. The request
// for a video mode is ignored. Neighbours: guest_map.h (the memory), load_linux.h (the other guest).
#pragma once

#include "guest_map.h"

#define MULTIBOOT_LOADER_MAGIC 0x2badb002u
#define MULTIBOOT_MODULES      15
#define MULTIBOOT_SEGMENTS     32

// A module, readable for its whole size. `string` is what the boot loader gave for it, unchanged: GRUB 2
// leaves the file name out, both here and in the kernel's command line.
struct multiboot_module {
    const void *data;
    u64 bytes;
    const char *string;
};

struct multiboot_source {
    const void *kernel;
    u64 kernel_bytes;
    const char *command_line; // without a file name before it, as GRUB 2 passes it
    unsigned module_count;    // up to MULTIBOOT_MODULES
    const struct multiboot_module *modules;
};

// The state of the first vCPU: protected mode, paging off, flat 32-bit segments, interrupts off, A20 open.
struct multiboot_entry {
    u32 eip;
    u32 ebx; // gpa of the information structure
    u32 eax; // MULTIBOOT_LOADER_MAGIC
};

// A part of guest memory that the kernel's file fills: `file_bytes` from `offset`, then zeros up to `bytes`.
struct multiboot_segment {
    u64 gpa, bytes;
    u64 offset, file_bytes;
};

// Made by multiboot_plan, used by multiboot_write.
struct multiboot_plan {
    u32 eip;
    unsigned segment_count;
    struct multiboot_segment segments[MULTIBOOT_SEGMENTS];
    u64 module_gpa[MULTIBOOT_MODULES];
    u64 info_gpa, info_bytes; // the structure and all that it points to, but not the modules
};

// Checks the kernel and finds a place for everything: modules above the kernel, page aligned; the information
// below 640K, outside page 0 and outside every segment. Writes nothing. ERR_INVALID with one sentence in
// message[size].
int multiboot_plan(struct multiboot_plan *plan, const struct multiboot_source *source,
                   const struct guest_map *map, char *message, size_t size) must_check;

// Writes what was planned, with the same `source` and `map`.
struct multiboot_entry multiboot_write(const struct multiboot_plan *plan,
                                       const struct multiboot_source *source, const struct guest_map *map,
                                       const struct guest_ram *ram);
