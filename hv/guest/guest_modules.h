// What the boot loader's modules are for, by the words of their `module2` lines. It looks at no module's
// content: the loaders do (load_linux.h, load_multiboot.h).
#pragma once

#include <arch/multiboot2.h>

enum guest_kind { GUEST_LINUX, GUEST_MULTIBOOT };

struct guest_modules {
    enum guest_kind kind;
    const struct boot_module *kernel;
    const char *command_line; // what follows the kernel's word
    unsigned other_count;
    const struct boot_module
        *others[BOOT_MODULES]; // in the boot loader's order: initrds of Linux, else the guest's modules
};

// Finds the kernel, the module whose first word is `linux` or `multiboot`. Beside a Linux kernel each module
// is an initrd, and its only word `initrd`. A Multiboot kernel comes first, and what follows goes to the
// guest under any words. `modules` points into *boot. ERR_INVALID with one sentence in message[size]: there
// is no kernel, there are two, or a module whose words fit neither.
int guest_modules_sort(struct guest_modules *modules, const struct boot_info *boot, char *message,
                       size_t size) must_check;
