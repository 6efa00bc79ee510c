// See load_linux.h. Pure: also on the host. The image is foreign: linux_plan believes no field before its
// check.
#include <arch/lib.h>
#include "load_linux.h"

#define SECTOR              512u
#define SYSSIZE_UNIT        16u // the last one may be in the file in part: memtest86+
#define BOOT_FLAG           0xaa55u
#define HEADER_MAGIC        0x53726448u // "HdrS"
#define VERSION_64BIT       0x020cu     // 2.12: xloadflags
#define LOADED_HIGH         0x01u
#define XLF_KERNEL_64       0x01u
#define ENTRY_64            0x200u
#define LOADER_UNDEFINED    0xffu
#define SETUP_HEADER_START  offsetof(struct linux_boot_params, setup_sects)
#define SETUP_HEADER_NEEDED (offsetof(struct linux_boot_params, init_size) + 4)
#define SETUP_HEADER_LIMIT  0x290u // other fields of the zero page start here

// Where things lie in low memory. All of it is below GUEST_LOW_RAM_END and above what a BIOS would own.
#define PARAMS_GPA       0x10000ull
#define GDT_GPA          0x11000ull
#define TABLES_GPA       0x12000ull // the PML4, the PDPT, then one page directory for each mapped GiB
#define TABLES_GIB       4u
#define COMMAND_LINE_GPA 0x20000ull
#define COMMAND_LINE_END 0x30000ull
#define KERNEL_LOWEST    (1 * MIB)

// Of each archive (Linux: driver-api/early-userspace/buffer-format.rst). One that lz4 has packed does not say
// where it ends: the kernel takes four bytes of zeros for the end, and what else follows for more of it.
#define INITRD_ALIGN 4u
#define INITRD_GAP   4u // at least

_Static_assert(sizeof(struct linux_boot_params) == 4096, "the zero page is a page");
_Static_assert(offsetof(struct linux_boot_params, header_magic) == 0x202, "boot.rst: 0202/4 header");
_Static_assert(offsetof(struct linux_boot_params, init_size) == 0x260, "boot.rst: 0260/4 init_size");
_Static_assert(offsetof(struct linux_boot_params, e820_table) == 0x2d0, "zero-page.rst: 2D0 e820_table");

static unsigned long long mib_up(u64 bytes)
{
    return (bytes + MIB - 1) / MIB;
}

static int refuse(char *message, size_t size, const char *sentence)
{
    fmt(message, size, "%s", sentence);
    return ERR_INVALID;
}

// Takes the setup header over into the zero page.
static int read_header(struct linux_plan *plan, const struct linux_source *source, char *message, size_t size)
{
    static const char not_bzimage[] =
        "The kernel module is not a bzImage: give Linux's arch/x86/boot/bzImage or a distribution's vmlinuz.";
    struct linux_boot_params *p = &plan->params;
    if (source->kernel_bytes < SETUP_HEADER_LIMIT)
        return refuse(message, size, not_bzimage);
    memcpy((u8 *)p + SETUP_HEADER_START, (const u8 *)source->kernel + SETUP_HEADER_START,
           SETUP_HEADER_LIMIT - SETUP_HEADER_START);
    if (p->boot_flag != BOOT_FLAG || p->header_magic != HEADER_MAGIC)
        return refuse(message, size, not_bzimage);
    u64 end = offsetof(struct linux_boot_params, header_magic) + p->header_rest;
    if (p->version < VERSION_64BIT || !(p->loadflags & LOADED_HIGH) || end < SETUP_HEADER_NEEDED) {
        fmt(message, size,
            "The kernel is too old for the 64-bit boot protocol (its boot protocol is %u.%u): give a 64-bit kernel with protocol 2.12, which is Linux 3.8 or newer.",
            p->version >> 8, p->version & 0xff);
        return ERR_INVALID;
    }
    if (!(p->xloadflags & XLF_KERNEL_64))
        return refuse(
            message, size,
            "The kernel has no 64-bit entry point, as a 32-bit kernel (i386) has none: give one that is built for x86-64.");
    if (end < SETUP_HEADER_LIMIT)
        memset((u8 *)p + end, 0, SETUP_HEADER_LIMIT - end);
    return 0;
}

// The kernel goes where it was linked to run: loaded lower it would only move itself up to there.
static int place_kernel(struct linux_plan *plan, const struct linux_source *source,
                        const struct guest_map *map, char *message, size_t size)
{
    const struct linux_boot_params *p = &plan->params;
    plan->kernel_offset = (u64)(p->setup_sects ? p->setup_sects + 1 : 5) * SECTOR;
    plan->kernel_bytes = (u64)p->syssize * SYSSIZE_UNIT;
    plan->kernel_gpa = p->pref_address;
    if (plan->kernel_offset + plan->kernel_bytes >= source->kernel_bytes + SYSSIZE_UNIT)
        return refuse(message, size, "The kernel module is cut short: copy the bzImage again.");
    if (plan->kernel_bytes > source->kernel_bytes - plan->kernel_offset)
        plan->kernel_bytes = source->kernel_bytes - plan->kernel_offset;
    if (plan->kernel_bytes <= ENTRY_64 || plan->kernel_bytes > p->init_size ||
        p->pref_address < KERNEL_LOWEST || p->pref_address > GUEST_DEVICE_HOLE)
        return refuse(message, size, "The kernel's setup header is damaged: copy the bzImage again.");
    if (!guest_map_is_ram(map, plan->kernel_gpa, p->init_size)) {
        fmt(message, size,
            "The kernel needs guest memory up to %lluM, and the guest has %lluM below 3G: raise mem=.",
            mib_up(plan->kernel_gpa + p->init_size), (unsigned long long)(map->low_end / MIB));
        return ERR_INVALID;
    }
    return 0;
}

// Where the next part begins, if all before it ends here.
static u64 initrd_next(u64 end)
{
    return align_up(end + INITRD_GAP, INITRD_ALIGN);
}

// With what lies between the parts; a part larger than any guest counts as that.
static u64 initrd_bytes(const struct linux_source *source)
{
    u64 bytes = 0;
    for (unsigned i = 0; i < source->initrd_count; i++) {
        u64 part = source->initrds[i].bytes;
        bytes = (i ? initrd_next(bytes) : 0) + (part < GUEST_MEM_MAX ? part : GUEST_MEM_MAX);
    }
    return bytes;
}

// The initrd goes as high as the kernel allows, so that it is out of the way of whatever grows from below.
static int place_initrd(struct linux_plan *plan, const struct linux_source *source,
                        const struct guest_map *map, char *message, size_t size)
{
    struct linux_boot_params *p = &plan->params;
    u64 bytes = initrd_bytes(source);
    u64 lowest = align_up(plan->kernel_gpa + p->init_size, PAGE_SIZE);
    u64 allowed = (u64)p->initrd_addr_max + 1;
    u64 ceiling = align_down(map->low_end < allowed ? map->low_end : allowed, PAGE_SIZE);
    u64 room = ceiling > lowest ? ceiling - lowest : 0;
    if (!bytes)
        return 0;
    if (bytes > room) {
        fmt(message, size,
            "The initrd of %lluM does not fit into the %lluM of guest memory above the kernel: %s.",
            mib_up(bytes), (unsigned long long)(room / MIB),
            ceiling < map->low_end ? "make it smaller" : "raise mem= or make it smaller");
        return ERR_INVALID;
    }
    plan->initrd_gpa = align_down(ceiling - bytes, PAGE_SIZE);
    p->ramdisk_image = (u32)plan->initrd_gpa;
    p->ramdisk_size = (u32)bytes;
    return 0;
}

static bool has_word(const char *line, const char *word)
{
    size_t length = strlen(word);
    for (; line; line = strchr(line, ' ')) {
        while (*line == ' ')
            line++;
        if (!strncmp(line, word, length) && (!line[length] || line[length] == ' '))
            return true;
    }
    return false;
}

// Each was tried: bare Linux comes to its shell with it.
const char *linux_word_without_interrupts(const char *command_line)
{
    static const char *const words[] = {"acpi=off",    "acpi=noirq", "pci=noacpi",
                                        "pnpacpi=off", "noapic",     "nolapic"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (has_word(command_line, words[i]))
            return words[i];
    return NULL;
}

static int place_command_line(struct linux_plan *plan, const struct linux_source *source, char *message,
                              size_t size)
{
    u64 longest = COMMAND_LINE_END - COMMAND_LINE_GPA - 1;
    u64 length = strlen(source->command_line);
    if (plan->params.cmdline_size < longest)
        longest = plan->params.cmdline_size;
    if (length > longest) {
        fmt(message, size,
            "The guest's command line has %llu characters and its kernel takes %llu: shorten it.",
            (unsigned long long)length, (unsigned long long)longest);
        return ERR_INVALID;
    }
    plan->command_line_bytes = length + 1;
    plan->params.cmd_line_ptr = COMMAND_LINE_GPA;
    return 0;
}

static void fill_params(struct linux_plan *plan, const struct linux_source *source,
                        const struct guest_map *map)
{
    struct linux_boot_params *p = &plan->params;
    p->acpi_rsdp_addr = source->rsdp_gpa;
    p->type_of_loader = LOADER_UNDEFINED;
    p->loadflags = LOADED_HIGH;
    p->code32_start = (u32)plan->kernel_gpa;
    p->setup_data = 0;
    p->e820_entries = (u8)map->count;
    for (unsigned i = 0; i < map->count; i++) {
        p->e820_table[i].start = map->rows[i].start;
        p->e820_table[i].bytes = map->rows[i].end - map->rows[i].start;
        p->e820_table[i].type = map->rows[i].type;
    }
}

int linux_plan(struct linux_plan *plan, const struct linux_source *source, const struct guest_map *map,
               char *message, size_t size)
{
    memset(plan, 0, sizeof(*plan));
    if (read_header(plan, source, message, size) || place_kernel(plan, source, map, message, size))
        return ERR_INVALID;
    plan->params.ramdisk_image = plan->params.ramdisk_size = 0;
    if (place_initrd(plan, source, map, message, size) || place_command_line(plan, source, message, size))
        return ERR_INVALID;
    fill_params(plan, source, map);
    return 0;
}

static void write_u64(const struct guest_ram *ram, u64 gpa, u64 value)
{
    ram->copy(ram->context, gpa, &value, sizeof(value));
}

static void write_identity_tables(const struct guest_ram *ram)
{
    const u64 present_writable = 0x3, large = BIT(7);
    const u64 pdpt = TABLES_GPA + PAGE_SIZE, directories = pdpt + PAGE_SIZE;
    ram->clear(ram->context, TABLES_GPA, (2 + TABLES_GIB) * PAGE_SIZE);
    write_u64(ram, TABLES_GPA, pdpt | present_writable);
    for (u64 i = 0; i < TABLES_GIB; i++)
        write_u64(ram, pdpt + i * 8, (directories + i * PAGE_SIZE) | present_writable);
    for (u64 i = 0; i < TABLES_GIB * 512; i++)
        write_u64(ram, directories + i * 8, i * 2 * MIB | large | present_writable);
}

static const u64 gdt[] = {
    [LINUX_CODE_SELECTOR / 8] = 0x00af9b000000ffff, // 64-bit code, accessed
    [LINUX_DATA_SELECTOR / 8] = 0x00cf93000000ffff, // flat data, accessed
};

static void write_initrd(const struct linux_plan *plan, const struct linux_source *source,
                         const struct guest_ram *ram)
{
    u64 gpa = plan->initrd_gpa;
    for (unsigned i = 0; gpa && i < source->initrd_count; i++) {
        u64 start = i ? initrd_next(gpa) : gpa;
        ram->clear(ram->context, gpa, start - gpa);
        ram->copy(ram->context, start, source->initrds[i].data, source->initrds[i].bytes);
        gpa = start + source->initrds[i].bytes;
    }
}

struct linux_entry linux_write(const struct linux_plan *plan, const struct linux_source *source,
                               const struct guest_ram *ram)
{
    const u8 *kernel = source->kernel;
    ram->copy(ram->context, plan->kernel_gpa, kernel + plan->kernel_offset, plan->kernel_bytes);
    write_initrd(plan, source, ram);
    ram->copy(ram->context, COMMAND_LINE_GPA, source->command_line, plan->command_line_bytes);
    ram->copy(ram->context, PARAMS_GPA, &plan->params, sizeof(plan->params));
    ram->copy(ram->context, GDT_GPA, gdt, sizeof(gdt));
    write_identity_tables(ram);
    return (struct linux_entry){
        .rip = plan->kernel_gpa + ENTRY_64,
        .rsi = PARAMS_GPA,
        .cr3 = TABLES_GPA,
        .gdt_base = GDT_GPA,
        .gdt_limit = sizeof(gdt) - 1,
    };
}
