// See guest_modules.h. Pure: also on the host.
#include <arch/lib.h>
#include "guest_modules.h"

// The rest of `text` after the word and spaces; NULL if it does not begin with the word.
static const char *after_word(const char *text, const char *word)
{
    size_t length = strlen(word);
    if (strncmp(text, word, length) || (text[length] && text[length] != ' '))
        return NULL;
    text += length;
    while (*text == ' ')
        text++;
    return text;
}

static bool is_kernel(struct guest_modules *modules, const struct boot_module *m)
{
    const char *linux_line = after_word(m->string, "linux");
    const char *multiboot_line = after_word(m->string, "multiboot");
    modules->kind = linux_line ? GUEST_LINUX : GUEST_MULTIBOOT;
    modules->command_line = linux_line ? linux_line : multiboot_line;
    return modules->command_line;
}

static bool is_initrd(const struct boot_module *m)
{
    const char *rest = after_word(m->string, "initrd");
    return rest && !*rest;
}

// What has no place beside the kernel: the first such module, or NULL.
static const struct boot_module *misfit(const struct guest_modules *modules, const struct boot_info *boot)
{
    for (unsigned i = 0; i < boot->module_count; i++) {
        const struct boot_module *m = &boot->modules[i];
        bool passed_on = modules->kernel && modules->kind == GUEST_MULTIBOOT && m > modules->kernel;
        if (m != modules->kernel && !passed_on && !is_initrd(m))
            return m;
        if (modules->kernel && modules->kind == GUEST_MULTIBOOT && m < modules->kernel)
            return m;
    }
    return NULL;
}

static int refuse_misfit(const struct guest_modules *modules, const struct boot_info *boot,
                         const struct boot_module *m, char *message, size_t size)
{
    struct guest_modules unused;
    unsigned number = (unsigned)(m - boot->modules) + 1;
    if (modules->kernel && m < modules->kernel)
        fmt(message, size,
            "Module %u comes before the Multiboot kernel, its words are `%.60s': put the kernel's module2 line first.",
            number, m->string);
    else if (is_kernel(&unused, m))
        fmt(message, size, "Module %u is a second kernel, its words are `%.60s': leave one of them.", number,
            m->string);
    else
        fmt(message, size,
            "It is not known what module %u is for, its words are `%.60s': they are `linux COMMAND-LINE', `multiboot COMMAND-LINE', or `initrd' alone.",
            number, m->string);
    return ERR_INVALID;
}

int guest_modules_sort(struct guest_modules *modules, const struct boot_info *boot, char *message,
                       size_t size)
{
    *modules = (struct guest_modules){0};
    for (unsigned i = 0; i < boot->module_count && !modules->kernel; i++)
        if (is_kernel(modules, &boot->modules[i]))
            modules->kernel = &boot->modules[i];
    const struct boot_module *wrong = misfit(modules, boot);
    if (wrong)
        return refuse_misfit(modules, boot, wrong, message, size);
    if (!modules->kernel) {
        fmt(message, size,
            "There is no guest kernel: give one to GRUB as `module2 FILE linux COMMAND-LINE` or `module2 FILE multiboot COMMAND-LINE`.");
        return ERR_INVALID;
    }
    for (unsigned i = 0; i < boot->module_count; i++)
        if (&boot->modules[i] != modules->kernel)
            modules->others[modules->other_count++] = &boot->modules[i];
    return 0;
}
