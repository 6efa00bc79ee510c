// The Multiboot information: copied at the start, before anything is overwritten, and its tests: magic,
// flags, memory sizes, command line, memory map, modules, and where they lie. The run must end its command
// line with the word `end` and give the module sequence.txt (guest.mk). Sizes are not printed: they differ by
// machine.
#include "guest.h"

#define INFO_MAGIC 0x2BADB002u
#define SEQUENCE   20000u

enum info_flag {
    INFO_MEMORY = 1 << 0,
    INFO_COMMAND_LINE = 1 << 2,
    INFO_MODULES = 1 << 3,
    INFO_MAP = 1 << 6,
};
struct multiboot_info {
    u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length,
        mmap_addr;
};
struct multiboot_module {
    u32 start, end, string, reserved;
};
struct multiboot_range {
    u32 size;
    u64 base, length;
    u32 type;
} __attribute__((packed));

extern u8 image_start[], image_end[];
struct info info;
static u32 info_magic;
static struct multiboot_info raw;
static struct multiboot_module modules[8];
static char module_string[64];

static void use(u64 start, u64 size)
{
    if (info.used_count < INFO_RANGES)
        info.used[info.used_count++] = (struct range){start, start + size};
}

static void copy_string(char *to, size_t size, u32 gpa)
{
    const char *from = (const char *)(u64)gpa;
    size_t i = 0;
    for (; i + 1 < size && from[i]; i++)
        to[i] = from[i];
    to[i] = 0;
    use(gpa, i + 1);
}

static void copy_map(void)
{
    u64 end = (u64)raw.mmap_addr + raw.mmap_length;
    use(raw.mmap_addr, raw.mmap_length);
    for (u64 at = raw.mmap_addr; at < end;) {
        const struct multiboot_range *range = (const void *)at;
        if (range->type == 1 && info.ram_count < INFO_RANGES)
            info.ram[info.ram_count++] = (struct range){range->base, range->base + range->length};
        at += range->size + 4;
    }
}

static void copy_modules(void)
{
    const struct multiboot_module *list = (const void *)(u64)raw.mods_addr;
    info.module_count = raw.mods_count < ARRAY_SIZE(modules) ? raw.mods_count : ARRAY_SIZE(modules);
    use(raw.mods_addr, info.module_count * sizeof(*list));
    for (unsigned i = 0; i < info.module_count; i++) {
        modules[i] = list[i];
        use(list[i].start, list[i].end - list[i].start);
        copy_string(module_string, sizeof(module_string), list[i].string);
    }
}

void info_start(u32 magic, u32 address)
{
    info_magic = magic;
    raw = *(const struct multiboot_info *)(u64)address;
    info.address = address;
    info.flags = raw.flags;
    use(address, sizeof(raw));
    if (raw.flags & INFO_COMMAND_LINE)
        copy_string(info.command_line, sizeof(info.command_line), raw.cmdline);
    if (raw.flags & INFO_MAP)
        copy_map();
    if (raw.flags & INFO_MODULES)
        copy_modules();
    use((u64)image_start, (u64)(image_end - image_start));
}

static void test_header(void)
{
    expect("magic", info_magic, INFO_MAGIC);
    u32 want = INFO_MEMORY | INFO_COMMAND_LINE | INFO_MODULES | INFO_MAP;
    expect("flags", raw.flags & want, want);
    if (raw.mem_lower < 512 || raw.mem_lower > 640)
        fail("mem_lower: expected 512..640, got %u", raw.mem_lower);
}

static void test_command_line(void)
{
    const char *line = info.command_line;
    size_t length = strlen(line);
    if (length < 3 || memcmp(line + length - 3, "end", 4) || (length > 3 && line[length - 4] != ' '))
        fail("last word: expected 'end', got '%s'", line);
    for (size_t i = 0; i < length; i++) {
        if (line[i] < ' ' || line[i] > '~')
            fail("byte %lu: expected printable, got %x", i, (u8)line[i]);
    }
}

static void test_map(void)
{
    const struct range *low = NULL, *main = NULL;
    for (unsigned i = 0; i < info.ram_count; i++) {
        if (info.ram[i].start == 0)
            low = &info.ram[i];
        if (info.ram[i].start == MIB)
            main = &info.ram[i];
        for (unsigned j = 0; j < i; j++) {
            if (info.ram[i].start < info.ram[j].end && info.ram[j].start < info.ram[i].end)
                fail("ranges %u and %u: expected disjoint, got an overlap", j, i);
        }
    }
    if (!low || low->end > 640 * KIB || low->end < 512 * KIB)
        fail("low RAM: expected 0..512K-640K, got %lx", low ? low->end : 0);
    if (!main)
        fail("main RAM: expected a range from 1M, got none");
    else if (main->end - MIB < raw.mem_upper * KIB || main->end - MIB > (raw.mem_upper + 1024) * KIB)
        fail("main RAM: expected mem_upper (%uK), got %luK", raw.mem_upper, (u64)((main->end - MIB) / KIB));
}

// The next decimal line of the module text.
static bool next_number(const char **at, const char *end, u32 want)
{
    u32 number = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
        number = number * 10 + (u32)(**at - '0');
    return *at < end && *(*at)++ == '\n' && number == want;
}

static void test_module(void)
{
    expect("modules", info.module_count, 1);
    const char *at = (const char *)(u64)modules[0].start;
    const char *end = (const char *)(u64)modules[0].end;
    for (u32 want = 1; want <= SEQUENCE; want++) {
        if (!next_number(&at, end, want)) {
            fail("module: expected line %u, got other bytes", want);
            return;
        }
    }
    expect("module size", (u64)(end - at), 0);
    // GRUB puts the arguments after the file name or alone; the last word is ours.
    size_t length = strlen(module_string);
    if (length < 8 || memcmp(module_string + length - 8, "sequence", 9))
        fail("module string: expected to end in 'sequence', got '%s'", module_string);
}

static void test_places(void)
{
    const struct range image = info.used[info.used_count - 1];
    for (unsigned i = 0; i + 1 < info.used_count; i++) {
        const struct range *used = &info.used[i];
        if (used->start < PAGE_SIZE)
            fail("range %u: expected outside page 0, got %lx", i, used->start);
        if (used->start < image.end && image.start < used->end)
            fail("range %u: expected outside the image, got %lx..%lx", i, used->start, used->end);
    }
    if (info.address >= MIB || raw.mmap_addr >= MIB || raw.cmdline >= MIB || raw.mods_addr >= MIB)
        fail("information: expected below 1M, got %x, map %x, line %x, modules %x", info.address,
             raw.mmap_addr, raw.cmdline, raw.mods_addr);
}

static void test_in_ram(void)
{
    for (unsigned i = 0; i < info.used_count; i++) {
        bool inside = false;
        for (unsigned r = 0; r < info.ram_count; r++)
            inside |= info.used[i].start >= info.ram[r].start && info.used[i].end <= info.ram[r].end;
        if (!inside)
            fail("range %u: expected inside RAM, got %lx..%lx", i, info.used[i].start, info.used[i].end);
    }
}

static const struct test tests[] = {
    {"header", test_header}, {"command_line", test_command_line},
    {"map", test_map},       {"module", test_module},
    {"places", test_places}, {"in_ram", test_in_ram},
};
GROUP(group_info, "info", tests, true);
