// The loader of a Linux bzImage by its 64-bit boot protocol: checks the image, plans where everything goes in
// guest memory, and writes it there. It does not touch the vCPU: linux_entry says with what state it must
// start. Neighbours: guest_map.h (the memory), load_multiboot.h (the other kind of guest).
#pragma once

#include "guest_map.h"

// The zero page, as far as it is used here (Linux: Documentation/arch/x86/boot.rst and zero-page.rst).
struct linux_boot_params {
    u8 before_rsdp[0x070];
    u64 acpi_rsdp_addr;
    u8 before_ext[0x0c0 - 0x078];
    u32 ext_ramdisk_image, ext_ramdisk_size;
    u8 before_e820_entries[0x1e8 - 0x0c8];
    u8 e820_entries;
    u8 before_header[0x1f1 - 0x1e9];
    u8 setup_sects; // the setup header starts here
    u16 root_flags;
    u32 syssize; // of the protected-mode code, in units of 16 bytes
    u16 ram_size, vid_mode, root_dev;
    u16 boot_flag;
    u8 jump;
    u8 header_rest; // the setup header ends this many bytes after this field
    u32 header_magic;
    u16 version;
    u32 realmode_swtch;
    u16 start_sys_seg, kernel_version;
    u8 type_of_loader;
    u8 loadflags;
    u16 setup_move_size;
    u32 code32_start;
    u32 ramdisk_image, ramdisk_size;
    u32 bootsect_kludge;
    u16 heap_end_ptr;
    u8 ext_loader_ver, ext_loader_type;
    u32 cmd_line_ptr;
    u32 initrd_addr_max;
    u32 kernel_alignment;
    u8 relocatable_kernel, min_alignment;
    u16 xloadflags;
    u32 cmdline_size; // the longest command line, without its NUL
    u32 hardware_subarch;
    u64 hardware_subarch_data;
    u32 payload_offset, payload_length;
    u64 setup_data;
    u64 pref_address;
    u32 init_size; // bytes that the kernel needs from where it is loaded
    u8 header_end[0x2d0 - 0x264];
    struct {
        u64 start, bytes;
        u32 type;
    } __attribute__((packed)) e820_table[128];
    u8 after_e820[0x1000 - 0xcd0];
} __attribute__((packed));

// An initrd: one or more cpio archives, each compressed or not. Readable for its whole size.
struct linux_initrd {
    const void *data;
    u64 bytes;
};

// What to load. `kernel` is readable for its whole size.
struct linux_source {
    const void *kernel;
    u64 kernel_bytes;
    const struct linux_initrd *initrds; // joined in this order, each at a multiple of 4 bytes
    unsigned initrd_count;
    const char *command_line;
    u64 rsdp_gpa; // of the guest's own ACPI tables
};

// The state of the first vCPU: long mode, CR3 as given (the first 4G of gpa mapped to themselves), CS 0x10
// and the data segments 0x18 of the GDT, flat; RFLAGS with interrupts off.
struct linux_entry {
    u64 rip;
    u64 rsi;
    u64 cr3;
    u64 gdt_base;
    u16 gdt_limit;
};

// Made by linux_plan, used by linux_write: 4K and a little, so better static than on a stack.
struct linux_plan {
    u64 kernel_gpa;
    u64 kernel_offset; // in the image
    u64 kernel_bytes;
    u64 initrd_gpa;         // 0: no initrd
    u64 command_line_bytes; // with its NUL
    struct linux_boot_params params;
};

#define LINUX_CODE_SELECTOR 0x10
#define LINUX_DATA_SELECTOR 0x18

// A word of the command line that makes Linux do without the ACPI tables or the APICs, which are this
// machine's only way to a device's interrupt: its console falls silent once init runs, where a PC's would go
// on by its PIC. NULL: none of them.
const char *linux_word_without_interrupts(const char *command_line);

// Checks the kernel and finds a place for everything in the guest's RAM. Writes nothing. ERR_INVALID with one
// sentence in message[size]: not a bzImage, too old for the 64-bit boot protocol, a 32-bit kernel, kernel or
// initrd or command line do not fit.
int linux_plan(struct linux_plan *plan, const struct linux_source *source, const struct guest_map *map,
               char *message, size_t size) must_check;

// Writes what was planned, with the same `source`.
struct linux_entry linux_write(const struct linux_plan *plan, const struct linux_source *source,
                               const struct guest_ram *ram);
