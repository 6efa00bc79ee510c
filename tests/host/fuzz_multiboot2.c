// Fuzzes the parser of the Multiboot2 boot information: whatever it takes must lie inside what it was given.

// link: arch/multiboot2.c
// max: 4096
#include <arch/multiboot2.h>
#include <stdlib.h>
#include <string.h>

static void check_string(const char *string, const uint8_t *info, size_t size)
{
    if (!*string)
        return;
    const uint8_t *at = (const uint8_t *)string;
    if (at < info || at >= info + size || at + strlen(string) >= info + size)
        abort();
}

static void check(const struct boot_info *boot, const uint8_t *info, size_t size)
{
    check_string(boot->command_line, info, size);
    check_string(boot->loader_name, info, size);
    for (unsigned i = 0; i < boot->module_count; i++) {
        check_string(boot->modules[i].string, info, size);
        if (boot->modules[i].end < boot->modules[i].start)
            abort();
    }
    for (unsigned i = 0; i < boot->range_count; i++) {
        if (boot->ranges[i].end <= boot->ranges[i].start)
            abort();
    }
    if (boot->bytes > size || boot->rsdp_bytes > sizeof(boot->rsdp))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct boot_info boot;
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    // Also with a right size, so that the fuzzer need not find it.
    for (int pass = 0; pass < 2; pass++) {
        int result = multiboot2_parse(&boot, copy, size);
        if (result && !boot.problem)
            abort();
        if (!result)
            check(&boot, copy, size);
        uint32_t total = (uint32_t)size;
        memcpy(copy, &total, size < 4 ? size : 4);
    }
    free(copy);
    return 0;
}
