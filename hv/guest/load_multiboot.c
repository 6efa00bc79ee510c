// See load_multiboot.h. Pure: also on the host. The kernel is foreign: multiboot_plan believes no field
// before its check, and multiboot_write uses only what the plan holds.
#include <arch/lib.h>
#include <arch/panic.h>
#include "load_multiboot.h"

#define HEADER_SEARCH      8192u
#define HEADER_MAGIC       0x1badb002u
#define FLAGS_REQUIRED     0xffffu    // of these an unknown one must be refused (Multiboot 0.6.96, 3.1.2)
#define FLAGS_KNOWN        0x7u       // modules page aligned, memory information, video mode
#define FLAG_ADDRESSES     BIT(16)    // the header says where the file is loaded, whatever format it has
#define INFO_PREFERRED_GPA 0x10000ull // where GRUB's also lies
#define MODULES_LOWEST_GPA (1 * MIB)

#define ELF_MAGIC   0x464c457fu
#define ELFCLASS32  1
#define ELFCLASS64  2
#define ELFDATA2LSB 1
#define ET_EXEC     2
#define EM_386      3
#define EM_X86_64   62
#define PT_LOAD     1

struct elf_ident {
    u32 magic;
    u8 class, data, version, padding[9];
    u16 type, machine;
    u32 format;
};
struct elf32_header {
    struct elf_ident ident;
    u32 entry, phoff, shoff, flags;
    u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf64_header {
    struct elf_ident ident;
    u64 entry, phoff, shoff;
    u32 flags;
    u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf32_segment {
    u32 type, offset, vaddr, paddr, filesz, memsz, flags, align;
};
struct elf64_segment {
    u32 type, flags;
    u64 offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct elf32_header) == 52 && sizeof(struct elf32_segment) == 32, "ELF32");
_Static_assert(sizeof(struct elf64_header) == 64 && sizeof(struct elf64_segment) == 56, "ELF64");

// What of both classes is used here.
struct elf {
    u8 class;
    u16 phentsize, phnum;
    u64 entry, phoff;
};
struct segment {
    u32 type;
    u64 offset, vaddr, paddr, filesz, memsz;
};

// Multiboot 0.6.96, 3.1. The addresses are there only with FLAG_ADDRESSES.
struct header {
    u32 magic, flags, checksum;
    u32 header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};
#define HEADER_BYTES offsetof(struct header, header_addr)

// Multiboot 0.6.96, 3.3.
struct info {
    u32 flags;
    u32 mem_lower, mem_upper; // KiB from 0 and from 1M
    u32 boot_device;
    u32 cmdline;
    u32 mods_count, mods_addr;
    u32 symbols[4];
    u32 mmap_length, mmap_addr;
    u32 drives_length, drives_addr;
    u32 config_table;
    u32 boot_loader_name;
    u32 apm_table;
    u32 video[7];
};
#define INFO_FLAGS (BIT(0) | BIT(2) | BIT(3) | BIT(6) | BIT(9)) // memory, cmdline, modules, mmap, loader name
struct info_module {
    u32 start, end, string, reserved;
};
struct info_range {
    u32 size; // of what follows
    u64 start, bytes;
    u32 type;
} __attribute__((packed));

// The command line begins with its first word, as GRUB 2's does, and not with the kernel's name. Kernels that
// take both (Xen) tell by "GRUB 2" in the name of the loader, and drop the first word without it.
static const char loader_name[] = "Penumbra, like GRUB 2";

static int refuse(char *message, size_t size, const char *sentence)
{
    fmt(message, size, "%s", sentence);
    return ERR_INVALID;
}

static bool kernel_read(const struct multiboot_source *source, u64 offset, void *to, u64 bytes)
{
    if (offset > source->kernel_bytes || bytes > source->kernel_bytes - offset)
        return false;
    memcpy(to, (const u8 *)source->kernel + offset, bytes);
    return true;
}

// `at`: where in the file the header is.
static int find_header(const struct multiboot_source *source, struct header *header, u64 *at, char *message,
                       size_t size)
{
    for (*at = 0; *at + HEADER_BYTES <= HEADER_SEARCH && kernel_read(source, *at, header, HEADER_BYTES);
         *at += 4) {
        if (header->magic != HEADER_MAGIC || header->magic + header->flags + header->checksum)
            continue;
        u32 unknown = header->flags & FLAGS_REQUIRED & ~FLAGS_KNOWN;
        if (!unknown)
            return 0;
        fmt(message, size,
            "The kernel's Multiboot header requires flags 0x%x that this loader does not know: clear them.",
            unknown);
        return ERR_INVALID;
    }
    return refuse(
        message, size,
        "The kernel module has no Multiboot header in its first 8192 bytes: give a Multiboot 1 kernel, or start a bzImage with `linux'.");
}

// The guest starts in 32-bit mode, so that a segment above 4G is as unreachable as one outside its RAM.
static bool is_loadable(const struct guest_map *map, u64 gpa, u64 bytes)
{
    return gpa < map->low_end && guest_map_is_ram(map, gpa, bytes);
}

static int add_segment(struct multiboot_plan *plan, const struct segment *s,
                       const struct multiboot_source *source, const struct guest_map *map, char *message,
                       size_t size)
{
    if (plan->segment_count == MULTIBOOT_SEGMENTS)
        return refuse(message, size, "The kernel has more than 32 loadable segments: link it with fewer.");
    if (s->filesz > s->memsz || s->offset > source->kernel_bytes ||
        s->filesz > source->kernel_bytes - s->offset)
        return refuse(message, size,
                      "A segment of the kernel is not inside its file: copy the kernel again.");
    if (!is_loadable(map, s->paddr, s->memsz)) {
        u64 end = s->memsz < ~s->paddr ? s->paddr + s->memsz : ~0ull;
        fmt(message, size,
            "The kernel is linked to 0x%llx to 0x%llx, where the guest has no RAM: link it between 1M and %lluM, or raise mem=.",
            (unsigned long long)s->paddr, (unsigned long long)end, (unsigned long long)(map->low_end / MIB));
        return ERR_INVALID;
    }
    plan->segments[plan->segment_count++] = (struct multiboot_segment){
        .gpa = s->paddr, .bytes = s->memsz, .offset = s->offset, .file_bytes = s->filesz};
    return 0;
}

static bool read_elf32(const struct multiboot_source *source, struct elf *elf)
{
    struct elf32_header h;
    if (!kernel_read(source, 0, &h, sizeof(h)) || h.ident.machine != EM_386)
        return false;
    *elf = (struct elf){ELFCLASS32, h.phentsize, h.phnum, h.entry, h.phoff};
    return true;
}

static bool read_elf64(const struct multiboot_source *source, struct elf *elf)
{
    struct elf64_header h;
    if (!kernel_read(source, 0, &h, sizeof(h)) || h.ident.machine != EM_X86_64)
        return false;
    *elf = (struct elf){ELFCLASS64, h.phentsize, h.phnum, h.entry, h.phoff};
    return true;
}

static bool read_elf_header(const struct multiboot_source *source, struct elf *elf)
{
    struct elf_ident ident;
    if (!kernel_read(source, 0, &ident, sizeof(ident)) || ident.magic != ELF_MAGIC ||
        ident.data != ELFDATA2LSB || ident.type != ET_EXEC)
        return false;
    return ident.class == ELFCLASS32   ? read_elf32(source, elf)
           : ident.class == ELFCLASS64 ? read_elf64(source, elf)
                                       : false;
}

static int check_elf(const struct multiboot_source *source, struct elf *elf, char *message, size_t size)
{
    if (!read_elf_header(source, elf))
        return refuse(
            message, size,
            "The Multiboot kernel is no ELF executable for i386 or x86-64, and its header does not say where it is to be loaded (flag bit 16): link it as one.");
    u64 least = elf->class == ELFCLASS32 ? sizeof(struct elf32_segment) : sizeof(struct elf64_segment);
    if (elf->phentsize < least)
        return refuse(message, size, "The Multiboot kernel's ELF header is damaged: copy the kernel again.");
    return 0;
}

// The program header number `i`. False: it is not inside the file.
static bool read_segment(const struct multiboot_source *source, const struct elf *elf, u64 i,
                         struct segment *s)
{
    struct elf32_segment p32;
    struct elf64_segment p64;
    u64 at = elf->phoff + i * elf->phentsize;
    if (elf->class == ELFCLASS64) {
        if (!kernel_read(source, at, &p64, sizeof(p64)))
            return false;
        *s = (struct segment){p64.type, p64.offset, p64.vaddr, p64.paddr, p64.filesz, p64.memsz};
        return true;
    }
    if (!kernel_read(source, at, &p32, sizeof(p32)))
        return false;
    *s = (struct segment){p32.type, p32.offset, p32.vaddr, p32.paddr, p32.filesz, p32.memsz};
    return true;
}

// The entry point is a virtual address: like GRUB, this takes it through the segment that it lies in.
static int read_elf(struct multiboot_plan *plan, const struct multiboot_source *source,
                    const struct guest_map *map, char *message, size_t size)
{
    struct elf elf;
    struct segment s;
    bool entry_found = false;
    if (check_elf(source, &elf, message, size))
        return ERR_INVALID;
    for (u64 i = 0; i < elf.phnum; i++) {
        if (!read_segment(source, &elf, i, &s))
            return refuse(message, size,
                          "The kernel's program headers are not inside its file: copy it again.");
        if (s.type != PT_LOAD || !s.memsz)
            continue;
        if (add_segment(plan, &s, source, map, message, size))
            return ERR_INVALID;
        if (!entry_found && elf.entry >= s.vaddr && elf.entry - s.vaddr < s.memsz) {
            plan->eip = (u32)(s.paddr + (elf.entry - s.vaddr));
            entry_found = true;
        }
    }
    if (!entry_found)
        return refuse(message, size, "The kernel's entry point is in none of its segments: link it again.");
    return 0;
}

// Multiboot 0.6.96, 3.1.3: the file from where load_addr lies in it, up to load_end_addr (0: its end), then
// zeros up to bss_end_addr (0: none). The header, at `at` in the file, is what ties addresses to the file.
// All are physical.
static int read_addresses(struct multiboot_plan *plan, const struct multiboot_source *source,
                          const struct header *h, u64 at, const struct guest_map *map, char *message,
                          size_t size)
{
    static const char damaged[] =
        "The load addresses in the kernel's Multiboot header do not fit together or into its file: link it again.";
    if (h->load_addr > h->header_addr || h->header_addr - h->load_addr > at)
        return refuse(message, size, damaged);
    u64 offset = at - (h->header_addr - h->load_addr);
    u64 end = h->load_end_addr ? h->load_end_addr : h->load_addr + (source->kernel_bytes - offset);
    u64 bss_end = h->bss_end_addr ? h->bss_end_addr : end;
    if (end <= h->load_addr || bss_end < end || h->entry_addr < h->load_addr || h->entry_addr >= bss_end)
        return refuse(message, size, damaged);
    struct segment s = {
        PT_LOAD, offset, h->load_addr, h->load_addr, end - h->load_addr, bss_end - h->load_addr};
    plan->eip = h->entry_addr;
    return add_segment(plan, &s, source, map, message, size);
}

static int read_kernel(struct multiboot_plan *plan, const struct multiboot_source *source,
                       const struct guest_map *map, char *message, size_t size)
{
    struct header header;
    u64 at;
    if (find_header(source, &header, &at, message, size))
        return ERR_INVALID;
    if (!(header.flags & FLAG_ADDRESSES))
        return read_elf(plan, source, map, message, size);
    if (!kernel_read(source, at, &header, sizeof(header)))
        return refuse(message, size, "The kernel's Multiboot header is cut short: copy the kernel again.");
    return read_addresses(plan, source, &header, at, map, message, size);
}

static int place_modules(struct multiboot_plan *plan, const struct multiboot_source *source,
                         const struct guest_map *map, char *message, size_t size)
{
    u64 gpa = MODULES_LOWEST_GPA;
    assert_that(source->module_count <= MULTIBOOT_MODULES);
    for (unsigned i = 0; i < plan->segment_count; i++) {
        u64 end = plan->segments[i].gpa + plan->segments[i].bytes;
        gpa = end > gpa ? end : gpa;
    }
    for (unsigned i = 0; i < source->module_count; i++) {
        u64 bytes = source->modules[i].bytes;
        gpa = align_up(gpa, PAGE_SIZE);
        if (!guest_map_is_ram(map, gpa, bytes)) {
            fmt(message, size,
                "Module %u of %lluK does not fit into guest memory above the kernel, from 0x%llx: raise mem=.",
                i + 1, (unsigned long long)((bytes + KIB - 1) / KIB), (unsigned long long)gpa);
            return ERR_INVALID;
        }
        plan->module_gpa[i] = gpa;
        gpa += bytes;
    }
    return 0;
}

// Lays the information out from `gpa` on. Without `ram` it only measures, so that both passes agree.
struct writer {
    const struct guest_ram *ram;
    u64 gpa;
};

static u32 write_bytes(struct writer *w, const void *from, u64 bytes)
{
    u64 gpa = w->gpa;
    if (w->ram)
        w->ram->copy(w->ram->context, gpa, from, bytes);
    w->gpa = align_up(gpa + bytes, 8);
    return (u32)gpa;
}

static u32 write_string(struct writer *w, const char *string)
{
    return write_bytes(w, string, strlen(string) + 1);
}

static void write_modules(struct writer *w, struct info *info, const struct multiboot_plan *plan,
                          const struct multiboot_source *source)
{
    struct info_module table[MULTIBOOT_MODULES] = {0};
    for (unsigned i = 0; i < source->module_count; i++) {
        const struct multiboot_module *m = &source->modules[i];
        table[i].start = (u32)plan->module_gpa[i];
        table[i].end = (u32)(plan->module_gpa[i] + m->bytes);
        table[i].string = write_string(w, m->string);
    }
    info->mods_count = source->module_count;
    info->mods_addr = write_bytes(w, table, source->module_count * sizeof(table[0]));
}

static void write_ranges(struct writer *w, struct info *info, const struct guest_map *map)
{
    struct info_range table[GUEST_MAP_ROWS];
    for (unsigned i = 0; i < map->count; i++) {
        const struct guest_range *row = &map->rows[i];
        table[i] = (struct info_range){sizeof(table[i]) - sizeof(table[i].size), row->start,
                                       row->end - row->start, row->type};
    }
    info->mmap_length = map->count * (u32)sizeof(table[0]);
    info->mmap_addr = write_bytes(w, table, info->mmap_length);
}

static void write_info(struct writer *w, const struct multiboot_plan *plan,
                       const struct multiboot_source *source, const struct guest_map *map)
{
    struct info info = {
        .flags = INFO_FLAGS,
        .mem_lower = (u32)(GUEST_LOW_RAM_END / KIB),
        .mem_upper = (u32)((map->low_end - MIB) / KIB),
    };
    struct writer head = *w;
    w->gpa += align_up(sizeof(info), 8);
    info.cmdline = write_string(w, source->command_line);
    info.boot_loader_name = write_string(w, loader_name);
    write_modules(w, &info, plan, source);
    write_ranges(w, &info, map);
    write_bytes(&head, &info, sizeof(info));
}

// The lowest page from `gpa` on where `bytes` bytes overlap no segment.
static u64 free_page_from(const struct multiboot_plan *plan, u64 gpa, u64 bytes)
{
    for (unsigned i = 0; i < plan->segment_count;) {
        const struct multiboot_segment *s = &plan->segments[i];
        if (s->gpa < gpa + bytes && gpa < s->gpa + s->bytes) {
            gpa = align_up(s->gpa + s->bytes, PAGE_SIZE);
            i = 0;
        } else {
            i++;
        }
    }
    return gpa;
}

static int place_info(struct multiboot_plan *plan, const struct multiboot_source *source,
                      const struct guest_map *map, char *message, size_t size)
{
    static const u64 starts[] = {INFO_PREFERRED_GPA, PAGE_SIZE};
    struct writer measure = {NULL, 0};
    write_info(&measure, plan, source, map);
    plan->info_bytes = measure.gpa;
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        plan->info_gpa = free_page_from(plan, starts[i], plan->info_bytes);
        if (plan->info_gpa + plan->info_bytes <= GUEST_LOW_RAM_END)
            return 0;
    }
    return refuse(
        message, size,
        "The kernel leaves no room below 640K for the Multiboot information: link it at 1M, or shorten the command lines.");
}

int multiboot_plan(struct multiboot_plan *plan, const struct multiboot_source *source,
                   const struct guest_map *map, char *message, size_t size)
{
    memset(plan, 0, sizeof(*plan));
    if (read_kernel(plan, source, map, message, size) || place_modules(plan, source, map, message, size))
        return ERR_INVALID;
    return place_info(plan, source, map, message, size);
}

struct multiboot_entry multiboot_write(const struct multiboot_plan *plan,
                                       const struct multiboot_source *source, const struct guest_map *map,
                                       const struct guest_ram *ram)
{
    struct writer w = {ram, plan->info_gpa};
    for (unsigned i = 0; i < plan->segment_count; i++) {
        const struct multiboot_segment *s = &plan->segments[i];
        ram->copy(ram->context, s->gpa, (const u8 *)source->kernel + s->offset, s->file_bytes);
        ram->clear(ram->context, s->gpa + s->file_bytes, s->bytes - s->file_bytes);
    }
    for (unsigned i = 0; i < source->module_count; i++)
        ram->copy(ram->context, plan->module_gpa[i], source->modules[i].data, source->modules[i].bytes);
    write_info(&w, plan, source, map);
    return (struct multiboot_entry){plan->eip, (u32)plan->info_gpa, MULTIBOOT_LOADER_MAGIC};
}
