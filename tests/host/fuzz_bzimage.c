// Fuzzes the Linux loader: any image either is refused with a sentence, or is written only to the guest's
// RAM, with the kernel and the initrd apart.

// link: hv/guest/load_linux.c hv/memory/guest_map.c
// max: 512
#include "fuzz_guest.h"
#include "hv/guest/load_linux.h"
#include <string.h>

static void load(const uint8_t *image, size_t size, u64 mem, u64 initrd_bytes)
{
    static struct linux_plan plan;
    static u8 initrd[3 * PAGE_SIZE];
    const struct linux_initrd parts[] = {{initrd, initrd_bytes / 2},
                                         {initrd, initrd_bytes - initrd_bytes / 2}};
    char message[256] = "";
    struct guest_map map;
    struct linux_source source = {
        .kernel = image,
        .kernel_bytes = size,
        .initrds = parts,
        .initrd_count = ARRAY_SIZE(parts),
        .command_line = "console=ttyS0",
        .rsdp_gpa = GUEST_ACPI_GPA,
    };
    guest_map_make(&map, mem);
    struct guest_ram ram = {fuzz_copy, fuzz_clear, &map};
    if (linux_plan(&plan, &source, &map, message, sizeof(message))) {
        if (!*message || strlen(message) + 1 == sizeof(message))
            abort();
        return;
    }
    linux_write(&plan, &source, &ram);
    if (plan.initrd_gpa && plan.initrd_gpa < plan.kernel_gpa + plan.params.init_size)
        abort();
}

// The input is: the image's size (2 bytes), the initrd's (2), then what the setup header is filled with; its
// magic numbers are put in unless the first byte of all is odd.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t boot_flag = 0xaa55, version = 0x020f;
    uint16_t sizes[2];
    if (size < sizeof(sizes))
        return 0;
    memcpy(sizes, data, sizeof(sizes));
    size_t image_size = sizes[0], room = image_size > 0x1f1 ? image_size - 0x1f1 : 0;
    uint8_t *image = calloc(1, image_size + 1);
    memcpy(image + 0x1f1 * (room > 0), data + 4, size - 4 < room ? size - 4 : room);
    if (image_size > 0x290 && !(sizes[0] & 1)) {
        memcpy(image + 0x1fe, &boot_flag, 2);
        memcpy(image + 0x202, "HdrS", 4);
        memcpy(image + 0x206, &version, 2);
        image[0x201] |= 0x62;
        image[0x211] |= 1;
        image[0x236] |= 1;
    }
    load(image, image_size, 64 * MIB, sizes[1] % (3 * PAGE_SIZE + 1));
    load(image, image_size, 4096 * MIB, 3 * PAGE_SIZE);
    free(image);
    return 0;
}
