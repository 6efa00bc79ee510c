// Fuzzes the Multiboot 1 loader: any kernel either is refused with a sentence, or is written only to the
// guest's RAM, with the information outside page 0 and outside every segment.

// link: hv/guest/load_multiboot.c hv/memory/guest_map.c
// max: 2048
#include "fuzz_guest.h"
#include "hv/guest/load_multiboot.h"
#include <string.h>

static void check_info(const struct multiboot_plan *plan)
{
    u64 start = plan->info_gpa, end = start + plan->info_bytes;
    if (start < PAGE_SIZE || end > GUEST_LOW_RAM_END)
        abort();
    for (unsigned i = 0; i < plan->segment_count; i++) {
        const struct multiboot_segment *s = &plan->segments[i];
        if (s->gpa < end && start < s->gpa + s->bytes)
            abort();
    }
}

static void load(const uint8_t *image, size_t size)
{
    static const u8 module_data[5000];
    static const struct multiboot_module modules[] = {{module_data, 5000, "one"}, {module_data, 0, ""}};
    struct multiboot_plan plan;
    struct guest_map map;
    char message[256] = "";
    struct multiboot_source source = {image, size, "a b", ARRAY_SIZE(modules), modules};
    guest_map_make(&map, 64 * MIB);
    struct guest_ram ram = {fuzz_copy, fuzz_clear, &map};
    if (multiboot_plan(&plan, &source, &map, message, sizeof(message))) {
        if (!*message || strlen(message) + 1 == sizeof(message))
            abort();
        return;
    }
    check_info(&plan);
    multiboot_write(&plan, &source, &map, &ram);
}

// Puts the magic numbers in, and the program headers where the file is; the rest stays the fuzzer's. The
// Multiboot header lies behind the ELF header, where there is room before the program headers.
static void put_header(uint8_t *image, u32 flags)
{
    const u32 header[3] = {0x1badb002, flags, -(0x1badb002u + flags)};
    memcpy(image + 64, header, sizeof(header));
}

static void make_elf32(uint8_t *image)
{
    static const u8 ident[7] = {0x7f, 'E', 'L', 'F', 1, 1, 1};
    static const u16 type_machine[2] = {2, 3}, sizes[3] = {52, 32, 3};
    static const u32 phoff = 80, load_type = 1;
    memcpy(image, ident, sizeof(ident));
    memcpy(image + 16, type_machine, sizeof(type_machine));
    memcpy(image + 28, &phoff, 4);
    memcpy(image + 40, sizes, sizeof(sizes));
    put_header(image, 3);
    for (size_t at = phoff; at < phoff + 3 * 32; at += 32) {
        memcpy(image + at, &load_type, 4);
        image[at + 7] = image[at + 19] = image[at + 23] = 0; // offset, filesz, memsz below 16M
        image[at + 6] = 0;
        image[at + 15] &= 3; // paddr below 64M
    }
}

// Of the 64-bit fields the upper halves stay the fuzzer's in one input of four.
static void make_elf64(uint8_t *image)
{
    static const u8 ident[7] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    static const u16 type_machine[2] = {2, 62}, sizes[3] = {64, 56, 2};
    static const u64 phoff = 80;
    static const u32 load_type = 1;
    bool low = image[7] & 3;
    memcpy(image, ident, sizeof(ident));
    memcpy(image + 16, type_machine, sizeof(type_machine));
    memcpy(image + 32, &phoff, 8);
    memcpy(image + 52, sizes, sizeof(sizes));
    put_header(image, 3);
    for (size_t at = phoff; at < phoff + 2 * 56; at += 56) {
        memcpy(image + at, &load_type, 4);
        for (size_t field = at + 8; low && field < at + 56; field += 8)
            memset(image + field + 3, 0, 5);
    }
}

// A header with load addresses, which lie near each other.
static void make_addresses(uint8_t *image)
{
    u32 base = 0x100000u + image[0] * 4096u;
    put_header(image, 0x10003);
    for (size_t at = 76; at < 96; at += 4) {
        u16 offset;
        memcpy(&offset, image + at, sizeof(offset));
        u32 address = base + offset % 1024;
        memcpy(image + at, &address, sizeof(address));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const makers[])(uint8_t *) = {make_elf32, make_elf64, make_addresses};
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    load(copy, size);
    for (size_t i = 0; size >= 192 && i < ARRAY_SIZE(makers); i++) {
        memcpy(copy, data, size);
        makers[i](copy);
        load(copy, size);
    }
    free(copy);
    return 0;
}
