// The parser of the Multiboot2 boot information: one function for each tag that the monitor uses.
// All reads go through bytes_copy or tag_string, which check bounds and need no alignment. Pure: also on the
// host.
#include <arch/lib.h>
#include <arch/multiboot2.h>

#define TAG_ALIGNMENT 8
#define SHT_SYMTAB    2
#define SHT_STRTAB    3

#define EFI_CONVENTIONAL_MEMORY 7
#define EFI_MEMORY_SP           BIT(18)

// A tag, or the whole information: bytes that may be read.
struct bytes {
    const u8 *at;
    u64 count;
};

struct tag_header {
    u32 type;
    u32 size; // with this header, without the padding to 8 bytes
};

static bool bytes_copy(const struct bytes *from, u64 offset, void *to, u64 count)
{
    if (offset > from->count || count > from->count - offset)
        return false;
    memcpy(to, from->at + offset, count);
    return true;
}

static int refuse(struct boot_info *boot, const char *problem)
{
    boot->problem = problem;
    return ERR_INVALID;
}

// The string that fills the tag from `offset`, or NULL if it does not end inside.
static const char *tag_string(const struct bytes *tag, u64 offset)
{
    for (u64 i = offset; i < tag->count; i++) {
        if (!tag->at[i])
            return (const char *)tag->at + offset;
    }
    return NULL;
}

static int read_command_line(struct boot_info *boot, const struct bytes *tag)
{
    const char *string = tag_string(tag, 8);
    if (!string)
        return refuse(boot, "The boot loader's command line has no end.");
    boot->command_line = string;
    return 0;
}

static int read_loader_name(struct boot_info *boot, const struct bytes *tag)
{
    const char *string = tag_string(tag, 8);
    if (!string)
        return refuse(boot, "The boot loader's name has no end.");
    boot->loader_name = string;
    return 0;
}

static int read_module(struct boot_info *boot, const struct bytes *tag)
{
    struct {
        u32 start, end;
    } place;
    const char *string = tag_string(tag, 16);
    if (!bytes_copy(tag, 8, &place, sizeof(place)) || !string || place.end < place.start)
        return refuse(boot, "The boot loader's description of a module is damaged.");
    if (boot->module_count == BOOT_MODULES)
        return refuse(boot, "The boot loader gives more than 16 modules: use fewer module2 lines.");
    boot->modules[boot->module_count++] = (struct boot_module){place.start, place.end, string};
    return 0;
}

static int add_range(struct boot_info *boot, u64 start, u64 end, u32 type)
{
    if (boot->range_count) {
        struct boot_range *last = &boot->ranges[boot->range_count - 1];
        if (last->end == start && last->type == type) {
            last->end = end;
            return 0;
        }
    }
    if (boot->range_count == BOOT_RANGES)
        return refuse(boot, "The firmware's memory map has more than 1024 ranges.");
    boot->ranges[boot->range_count++] = (struct boot_range){start, end, type};
    return 0;
}

static int read_memory_map(struct boot_info *boot, const struct bytes *tag)
{
    static const char damaged[] = "The boot loader's memory map is damaged.";
    struct {
        u32 entry_size, version;
    } head;
    struct {
        u64 start, length;
        u32 type, zero;
    } row;
    if (!bytes_copy(tag, 8, &head, sizeof(head)) || head.entry_size < sizeof(row))
        return refuse(boot, damaged);
    boot->range_count = 0;
    for (u64 at = 16; at < tag->count; at += head.entry_size) {
        u64 end;
        if (!bytes_copy(tag, at, &row, sizeof(row)) || __builtin_add_overflow(row.start, row.length, &end))
            return refuse(boot, damaged);
        if (row.length && add_range(boot, row.start, end, row.type))
            return ERR_INVALID;
    }
    return 0;
}

// UEFI 2.10, 7.2.3. Of this map only what the other one lacks is wanted; nothing depends on it.
static int read_efi_map(struct boot_info *boot, const struct bytes *tag)
{
    u32 descriptor_size;
    struct {
        u32 type, pad;
        u64 start, virtual, pages, attributes;
    } row;
    boot->efi = true;
    if (!bytes_copy(tag, 8, &descriptor_size, sizeof(descriptor_size)) || descriptor_size < sizeof(row))
        return 0;
    for (u64 at = 16; bytes_copy(tag, at, &row, sizeof(row)); at += descriptor_size) {
        bool special = row.type == EFI_CONVENTIONAL_MEMORY && row.attributes & EFI_MEMORY_SP;
        if (special && boot->special_count < BOOT_SPECIAL &&
            row.pages <= (UINT64_MAX - row.start) >> PAGE_SHIFT)
            boot->special[boot->special_count++] =
                (struct boot_range){row.start, row.start + (row.pages << PAGE_SHIFT), BOOT_MEMORY_RAM};
    }
    return 0;
}

static int read_framebuffer(struct boot_info *boot, const struct bytes *tag)
{
    struct {
        u64 hpa;
        u32 pitch, width, height;
        u8 bpp, type;
        u16 reserved;
    } __attribute__((packed)) head;
    struct boot_colour colours[3] = {0};
    struct boot_framebuffer *f = &boot->framebuffer;
    if (!bytes_copy(tag, 8, &head, sizeof(head)))
        return refuse(boot, "The boot loader's description of the framebuffer is damaged.");
    if (head.type == BOOT_FRAMEBUFFER_RGB && !bytes_copy(tag, 32, colours, sizeof(colours)))
        return refuse(boot, "The boot loader's description of the framebuffer's colours is damaged.");
    *f = (struct boot_framebuffer){
        .present = true,
        .hpa = head.hpa,
        .pitch = head.pitch,
        .width = head.width,
        .height = head.height,
        .bpp = head.bpp,
        .type = head.type,
        .red = colours[0],
        .green = colours[1],
        .blue = colours[2],
    };
    return 0;
}

// What is used of a section header: it has other places in ELF32 and ELF64.
struct section {
    u32 type, link;
    u64 address, size, entry_size;
};

static bool read_section(const struct bytes *tag, u32 header_size, u32 index, struct section *section)
{
    u64 at = 20 + (u64)index * header_size;
    if (header_size == 64) { // Elf64_Shdr
        return bytes_copy(tag, at + 4, &section->type, 4) && bytes_copy(tag, at + 16, &section->address, 8) &&
               bytes_copy(tag, at + 32, &section->size, 8) && bytes_copy(tag, at + 40, &section->link, 4) &&
               bytes_copy(tag, at + 56, &section->entry_size, 8);
    }
    struct { // Elf32_Shdr
        u32 name, type, flags, address, offset, size, link, info, alignment, entry_size;
    } narrow;
    if (header_size != sizeof(narrow) || !bytes_copy(tag, at, &narrow, sizeof(narrow)))
        return false;
    *section = (struct section){narrow.type, narrow.link, narrow.address, narrow.size, narrow.entry_size};
    return true;
}

static bool take_symbols(struct boot_info *boot, const struct section *symbols, const struct section *strings)
{
    u64 end;
    if (symbols->type != SHT_SYMTAB || strings->type != SHT_STRTAB || !symbols->address || !strings->address)
        return false;
    if ((symbols->entry_size != 16 && symbols->entry_size != 24) || !strings->size ||
        __builtin_add_overflow(symbols->address, symbols->size, &end) ||
        __builtin_add_overflow(strings->address, strings->size, &end))
        return false;
    boot->symbols = (struct boot_symbols){
        .symbols_hpa = symbols->address,
        .symbols_bytes = symbols->size - symbols->size % symbols->entry_size,
        .strings_hpa = strings->address,
        .strings_bytes = strings->size,
        .symbol_bytes = (u32)symbols->entry_size,
    };
    return true;
}

// A monitor without symbols still boots: what cannot be used here is left out, not refused.
static int read_sections(struct boot_info *boot, const struct bytes *tag)
{
    struct {
        u32 count, header_size, names;
    } head;
    struct section symbols, strings;
    if (!bytes_copy(tag, 8, &head, sizeof(head)))
        return refuse(boot, "The boot loader's copy of the ELF section headers is damaged.");
    for (u32 i = 0; i < head.count && read_section(tag, head.header_size, i, &symbols); i++) {
        if (symbols.type == SHT_SYMTAB && symbols.link < head.count &&
            read_section(tag, head.header_size, symbols.link, &strings) &&
            take_symbols(boot, &symbols, &strings))
            break;
    }
    return 0;
}

static int read_rsdp(struct boot_info *boot, const struct bytes *tag)
{
    u32 bytes = tag->count >= 8 + 36 ? 36 : 20;
    u8 copy[36];
    if (!bytes_copy(tag, 8, copy, bytes))
        return refuse(boot, "The boot loader's copy of the ACPI RSDP is damaged.");
    if (bytes > boot->rsdp_bytes) {
        memcpy(boot->rsdp, copy, bytes);
        boot->rsdp_bytes = bytes;
    }
    return 0;
}

static int read_load_base(struct boot_info *boot, const struct bytes *tag)
{
    if (!bytes_copy(tag, 8, &boot->load_base, sizeof(boot->load_base)))
        return refuse(boot, "The boot loader's load address is damaged.");
    boot->has_load_base = true;
    return 0;
}

static const struct {
    u32 type;
    int (*read)(struct boot_info *boot, const struct bytes *tag);
} readers[] = {
    {1, read_command_line}, {2, read_loader_name}, {3, read_module}, {6, read_memory_map},
    {8, read_framebuffer},  {9, read_sections},    {14, read_rsdp},  {15, read_rsdp},
    {17, read_efi_map},     {21, read_load_base},
};

static int read_tag(struct boot_info *boot, u32 type, const struct bytes *tag)
{
    for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
        if (readers[i].type == type)
            return readers[i].read(boot, tag);
    }
    return 0;
}

int multiboot2_parse(struct boot_info *boot, const void *info, u64 limit)
{
    struct bytes all = {info, limit};
    struct tag_header tag;
    memset(boot, 0, sizeof(*boot));
    boot->command_line = boot->loader_name = "";
    if (!bytes_copy(&all, 0, &boot->bytes, sizeof(boot->bytes)) || boot->bytes > limit)
        return refuse(boot, "The boot information is larger than the memory that it is in.");
    all.count = boot->bytes;
    for (u64 at = 8; bytes_copy(&all, at, &tag, sizeof(tag)); at += align_up(tag.size, TAG_ALIGNMENT)) {
        if (tag.size < sizeof(tag) || tag.size > all.count - at)
            return refuse(boot, "A tag of the boot information is longer or shorter than it can be.");
        if (tag.type == 0)
            return 0;
        struct bytes inside = {all.at + at, tag.size};
        if (read_tag(boot, tag.type, &inside))
            return ERR_INVALID;
    }
    return refuse(boot, "The boot information has no end tag.");
}

bool boot_has_ram(const struct boot_info *boot, u64 start, u64 end)
{
    bool ram = false;
    for (unsigned i = 0; i < boot->range_count; i++) {
        const struct boot_range *range = &boot->ranges[i];
        ram |= range->type == BOOT_MEMORY_RAM && start < range->end && range->start < end;
    }
    return ram;
}
