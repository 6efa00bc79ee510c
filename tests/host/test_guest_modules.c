// What the boot loader's modules are for: each kind of guest, and each refusal.

// link: hv/guest/guest_modules.c
#include "support.h"

#include "hv/guest/guest_modules.h"

static struct boot_info boot;
static struct guest_modules modules;
static char message[256];

// The words of each module, up to NULL.
static int sort(const char *const *words)
{
    boot.module_count = 0;
    for (; words[boot.module_count]; boot.module_count++)
        boot.modules[boot.module_count].string = words[boot.module_count];
    return guest_modules_sort(&modules, &boot, message, sizeof(message));
}

static void refused_with(const char *const *words, const char *sentence)
{
    assert_int_equal(sort(words), ERR_INVALID);
    assert_string_equal(message, sentence);
}

static void linux_guest(void **state)
{
    (void)state;
    static const char *const words[] = {"initrd", "linux   console=ttyS0 multiboot", "initrd ", "initrd",
                                        NULL};
    assert_int_equal(sort(words), 0);
    assert_int_equal(modules.kind, GUEST_LINUX);
    assert_ptr_equal(modules.kernel, &boot.modules[1]);
    assert_string_equal(modules.command_line, "console=ttyS0 multiboot");
    assert_int_equal(modules.other_count, 3);
    assert_ptr_equal(modules.others[0], &boot.modules[0]);
    assert_ptr_equal(modules.others[1], &boot.modules[2]);
    assert_ptr_equal(modules.others[2], &boot.modules[3]);
}

static void multiboot_guest(void **state)
{
    (void)state;
    static const char *const words[] = {"multiboot", "linux what this guest wants", "", "multiboot", NULL};
    assert_int_equal(sort(words), 0);
    assert_int_equal(modules.kind, GUEST_MULTIBOOT);
    assert_string_equal(modules.command_line, "");
    assert_int_equal(modules.other_count, 3);
    assert_ptr_equal(modules.others[2], &boot.modules[3]);
}

static void no_kernel(void **state)
{
    (void)state;
    static const char none[] =
        "There is no guest kernel: give one to GRUB as `module2 FILE linux COMMAND-LINE` or `module2 FILE multiboot COMMAND-LINE`.";
    refused_with((const char *const[]){NULL}, none);
    refused_with((const char *const[]){"initrd", NULL}, none);
}

static void misfits(void **state)
{
    (void)state;
    refused_with(
        (const char *const[]){"linux", "initrd", "initramfs", NULL},
        "It is not known what module 3 is for, its words are `initramfs': they are `linux COMMAND-LINE', `multiboot COMMAND-LINE', or `initrd' alone.");
    refused_with(
        (const char *const[]){"linuxx a", NULL},
        "It is not known what module 1 is for, its words are `linuxx a': they are `linux COMMAND-LINE', `multiboot COMMAND-LINE', or `initrd' alone.");
    assert_int_equal(sort((const char *const[]){"linux", "initrd /initrd", NULL}), ERR_INVALID);
    assert_int_equal(sort((const char *const[]){"linux", "", NULL}), ERR_INVALID);
    refused_with((const char *const[]){"linux a", "multiboot b", NULL},
                 "Module 2 is a second kernel, its words are `multiboot b': leave one of them.");
    refused_with((const char *const[]){"linux a", "initrd", "linux a", NULL},
                 "Module 3 is a second kernel, its words are `linux a': leave one of them.");
    refused_with(
        (const char *const[]){"initrd", "multiboot", NULL},
        "Module 1 comes before the Multiboot kernel, its words are `initrd': put the kernel's module2 line first.");
}

// All that a line can hold: the sentence is whole, the words are cut.
static void long_words(void **state)
{
    (void)state;
    static char words[5000];
    memset(words, 'x', sizeof(words) - 1);
    assert_int_equal(sort((const char *const[]){words, NULL}), ERR_INVALID);
    assert_non_null(strstr(message, "`initrd' alone."));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linux_guest), cmocka_unit_test(multiboot_guest), cmocka_unit_test(no_kernel),
        cmocka_unit_test(misfits),     cmocka_unit_test(long_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
