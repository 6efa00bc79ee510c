// Fuzzes the Multiboot 1 loader: any kernel either is refused with a sentence, or is written only to the
// guest's RAM, with the information outside page 0 and outside every segment.

// link: hv/load_multiboot.c hv/guest_map.c
// max: 2048
#include "fuzz_guest.h"
#include "hv/load_multiboot.h"
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

// Puts the magic numbers in, and the program headers where the file is; the rest stays the fuzzer's.
static void make_plausible(uint8_t *image)
{
    static const u8 ident[7] = {0x7f, 'E', 'L', 'F', 1, 1, 1};
    static const u16 type_machine[2] = {2, 3}, sizes[3] = {52, 32, 3};
    static const u32 header[3] = {0x1badb002, 3, -(0x1badb002u + 3)}, phoff = 64, load_type = 1;
    memcpy(image, ident, sizeof(ident));
    memcpy(image + 16, type_machine, sizeof(type_machine));
    memcpy(image + 28, &phoff, 4);
    memcpy(image + 40, sizes, sizeof(sizes));
    memcpy(image + 52, header, sizeof(header));
    for (size_t at = phoff; at < phoff + 3 * 32; at += 32) {
        memcpy(image + at, &load_type, 4);
        image[at + 7] = image[at + 19] = image[at + 23] = 0; // offset, filesz, memsz below 16M
        image[at + 6] = 0;
        image[at + 15] &= 3; // paddr below 64M
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    load(copy, size);
    if (size >= 160) {
        make_plausible(copy);
        load(copy, size);
    }
    free(copy);
    return 0;
}
